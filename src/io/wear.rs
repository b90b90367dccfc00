//! How worn the medium below a directory is, where the kernel says so to everybody: eMMC (JESD84-B51, `DEVICE_LIFE_TIME_EST`).
//!
//! Others tell only root, or not at all (SD cards, most USB disks): then it is unknown, and never guessed.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::os::Clock;
use crate::store::meter::Wear;

/// The wear of the medium that `directory` is on.
pub fn of(directory: &Path) -> Option<Wear> {
    let device = std::fs::metadata(directory).ok()?.dev();
    let (year, month, ..) = Clock::new().now().wall.civil();
    let place = format!("dev/block/{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    of_device(Path::new("/sys"), &place, year * 12 + i64::from(month))
}

/// The same for a place below sysfs, in that month (years times twelve and months).
fn of_device(sys: &Path, place: &str, month: i64) -> Option<Wear> {
    let device = std::fs::canonicalize(sys.join(place)).ok()?;
    // The directory of a partition lies in that of its disk.
    let disk = if device.join("partition").exists() { device.parent()? } else { &device };
    let read = |name: &str| std::fs::read_to_string(disk.join("device").join(name)).ok();
    // Two kinds of memory, each in steps: 1 is up to a tenth, 10 up to all of it, 11 beyond.
    let step = read("life_time")?
        .split_whitespace()
        .filter_map(|word| u8::from_str_radix(word.strip_prefix("0x")?, 16).ok())
        .filter(|step| (1..=11).contains(step))
        .max()?;
    let used = (step * 10).min(100);
    let made = read("date").and_then(|text| {
        let (month, year) = text.trim().split_once('/')?;
        Some(year.parse::<i64>().ok()? * 12 + month.parse::<i64>().ok()?)
    });
    let age_days =
        made.and_then(|made| u32::try_from(month - made).ok()).map(|months| months * DAYS_PER_MONTH);
    let days_left = age_days.map(|days| days * u32::from(100 - used) / u32::from(used));
    Some(Wear { used_percent_max: used, days_left })
}

/// Days of a month; a medium's age is known no better.
const DAYS_PER_MONTH: u32 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    /// A sysfs with one eMMC that says this of itself.
    fn sysfs(life_time: &str, date: &str) -> tempfile::TempDir {
        let sys = tempfile::tempdir().unwrap();
        let partition = sys.path().join("devices/mmcblk0/mmcblk0p2");
        std::fs::create_dir_all(&partition).unwrap();
        std::fs::create_dir_all(sys.path().join("devices/mmcblk0/device")).unwrap();
        std::fs::create_dir_all(sys.path().join("dev/block")).unwrap();
        std::fs::write(partition.join("partition"), "2\n").unwrap();
        let device = sys.path().join("devices/mmcblk0/device");
        std::fs::write(device.join("life_time"), life_time).unwrap();
        std::fs::write(device.join("date"), date).unwrap();
        std::os::unix::fs::symlink(partition, sys.path().join("dev/block/179:2")).unwrap();
        sys
    }

    #[test]
    fn a_medium_that_tells_its_wear_has_days_left() {
        let now = 2026 * 12 + 1;
        let wear = |life_time, date| of_device(sysfs(life_time, date).path(), "dev/block/179:2", now);
        let expected = |used_percent_max, days_left| Some(Wear { used_percent_max, days_left });
        assert_eq!(wear("0x02 0x01\n", "01/2025\n"), expected(20, Some(360 * 4)));
        assert_eq!(wear("0x01 0x0b\n", "01/2020\n"), expected(100, Some(0)));
        assert_eq!(wear("0x03 0x03\n", "soon\n"), expected(30, None));
        assert_eq!(wear("0x03 0x03\n", "06/2031\n"), expected(30, None), "a clock that is not set");
        assert_eq!(wear("0x00 0x00\n", "01/2025\n"), None, "zero stands for not told");
        assert_eq!(wear("", "01/2025\n"), None);
        assert_eq!(of_device(sysfs("0x01", "").path(), "dev/block/8:1", now), None);
        // Whatever this machine has, it is no reason to fail.
        let _ = of(Path::new("/"));
    }
}
