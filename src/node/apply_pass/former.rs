//! What the tree had before a merge: where its version is level with the new one, what stands on the disk is that, and nothing is
//! written. So two devices that had the same files before they shared them write none of them.

use super::{applied, see, Apply, Out, Version};
use crate::file::merge::is_level;

impl Apply {
    /// What the tree before had at a key: None while it waits.
    pub(super) fn former_at(
        &mut self,
        key: &[u8],
        out: &mut Out<'_>,
    ) -> Result<Option<Option<Version>>, String> {
        loop {
            match see(&mut self.former, out)? {
                None => return Ok(None),
                Some(false) => return Ok(Some(None)),
                Some(true) => {}
            }
            let former = &mut self.former;
            if former.key() >= key {
                let read = Version::read(former.key(), former.value(), former.tail(), false);
                return Ok(Some(read.filter(|version| version.key == key)));
            }
            former.advance();
        }
    }
}

/// What stands at a path counts as the new version if that is level with the one that was applied: nothing is written then.
pub(super) fn adopted(
    was: applied::Applied,
    former: Option<Version>,
    version: Option<&Version>,
) -> applied::Applied {
    let (Some(former), Some(version)) = (former, version) else { return was };
    let is_level = is_level((&former.entry, &former.tail), (&version.entry, &version.tail));
    if former.dot == was.dot && is_level {
        applied::Applied { dot: version.dot, ..was }
    } else {
        was
    }
}
