//! The appliance that this program runs on: what the system's start has written down of it.
//!
//! Only our own system has that note (`/run/appliance`, made by images/init). Everywhere else the commands that would change the system say what to
//! use instead.

use std::path::{Path, PathBuf};

use crate::face::exit::Fail;

/// Where the note is.
pub const NOTE: &str = "/run/appliance";

/// One of the two places of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// The slot of a letter.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::A, Self::B].into_iter().find(|slot| slot.letter() == text)
    }

    /// Its letter.
    #[must_use]
    pub const fn letter(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// What is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Which image it is, such as `rpi-arm64`.
    pub target: String,
    /// The slot that runs.
    pub slot: Slot,
    /// Where the boot partition is mounted.
    pub boot: PathBuf,
    /// The partitions of both slots.
    pub slots: [PathBuf; 2],
    /// The release of the kernel that runs.
    pub kernel: String,
}

impl Machine {
    /// Reads the note: a line `key=value` each.
    ///
    /// # Errors
    /// When there is none, for then this is no appliance.
    pub fn read(note: &Path) -> Result<Self, Fail> {
        let text = std::fs::read_to_string(note).map_err(|_| {
            Fail::new(
                "no_appliance",
                "this system was not made from a nuthatch image, so it is not updated by a bundle",
                "use what nuthatch was installed with: `apt install ./nuthatch_*.deb`, a new container image, or a new binary",
            )
        })?;
        let value = |key: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            found.filter(|value| !value.is_empty()).ok_or_else(|| {
                Fail::new(
                    "no_appliance",
                    format!("{} does not say {key}", note.display()),
                    "restart the machine",
                )
            })
        };
        let slot = value("slot")?;
        let slot = Slot::parse(slot).ok_or_else(|| {
            Fail::new(
                "no_appliance",
                format!("{} names the slot {slot:?}", note.display()),
                "restart the machine",
            )
        })?;
        Ok(Self {
            target: value("target")?.to_owned(),
            slot,
            boot: value("boot")?.into(),
            slots: [value("slot_a")?.into(), value("slot_b")?.into()],
            kernel: value("kernel")?.to_owned(),
        })
    }

    /// The partition of a slot.
    #[must_use]
    pub fn partition(&self, slot: Slot) -> &Path {
        match slot {
            Slot::A => &self.slots[0],
            Slot::B => &self.slots[1],
        }
    }
}
