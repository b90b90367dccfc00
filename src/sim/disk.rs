//! A disk in memory that loses what a real one may lose.
//!
//! Owns the worst case of what [`Disk`] promises: a crash keeps any subset of the writes, cuts and names that were
//! not synced, tears writes at 512 bytes, leaves zeros where a length was kept and its bytes were not; after a
//! failed sync what was written since is visible but gone. Refuses to draw randomness of its own: the generator is
//! an argument. Read `store/disk.rs` first.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use rand_core::RngCore;

use super::medium::{apply_name, length, parent, place, power, NameChange, State};
use crate::store::disk::{Disk, DiskError, DiskErrorKind};

/// What one disk call is made to do instead of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This one call fails: a medium error.
    Io,
    /// This one call fails: no space.
    Full,
    /// This call fails for lack of space, and from then on there is none at all: until [`SimDisk::set_capacity`].
    Fills,
    /// Power is lost in this call: it and all later ones fail until [`SimDisk::crash`].
    PowerLoss,
}

/// A disk; clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    /// Shared between the clones.
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk with room for `capacity` bytes.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self { state: Arc::new(Mutex::new(State { capacity, ..State::default() })) }
    }

    /// Calls made so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Syncs of files made so far that succeeded.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Files that need not be kept in memory.
    #[must_use]
    pub fn let_go_of(&self) -> BTreeSet<String> {
        self.state().let_go.clone()
    }

    /// The `count`-th call from now (0: the next one) suffers `fault`. Several may be set.
    pub fn fail_after(&self, count: u64, fault: Fault) {
        let mut state = self.state();
        let call = state.calls + count;
        state.faults.insert(call, fault);
    }

    /// The `count`-th call from now that syncs a file fails and loses what it should have made durable.
    pub fn fail_sync_after(&self, count: u64) {
        let mut state = self.state();
        let sync = state.syncs + count;
        state.sync_faults.insert(sync);
    }

    /// Forgets all faults that were set.
    pub fn heal(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.sync_faults.clear();
        state.off = false;
    }

    /// Whether its power was lost: nothing that it answers says anything of what lies on it.
    pub fn is_off(&self) -> bool {
        self.state().off
    }

    /// The power goes, now: every call fails until [`SimDisk::crash`] or [`SimDisk::heal`].
    pub fn turn_off(&self) {
        self.state().off = true;
    }

    /// Changes the size of the disk.
    pub fn set_capacity(&self, capacity: u64) {
        self.state().capacity = capacity;
    }

    /// Turns over the bits of `mask` in one byte of a file, durably: rot.
    ///
    /// # Panics
    /// When there is no such byte.
    pub fn flip_bits(&self, name: &str, offset: u64, mask: u8) {
        let mut state = self.state();
        let inode = *state.names.get(name).expect("the file is there");
        let file = state.files.get_mut(&inode).expect("names point to files");
        file.bytes[place(offset)] ^= mask;
    }

    /// All files with their lengths.
    #[must_use]
    pub fn files(&self) -> Vec<(String, u64)> {
        let state = self.state();
        state.names.iter().map(|(name, inode)| (name.clone(), length(&state.files[inode].bytes))).collect()
    }

    /// The bytes of a file, if there is one.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(name).map(|inode| state.files[inode].bytes.clone())
    }

    /// Power is lost and comes back: what was not synced may be there, wholly or in part, or not. Faults are gone. The
    /// disk after that is given; this one and its clones, which the dead process may still hold, never have power again.
    #[must_use]
    pub fn lose_power(&self, rng: &mut dyn RngCore) -> Self {
        let mut state = self.state();
        let mut after = std::mem::take(&mut *state);
        *state = State { off: true, ..State::default() };
        after.crash(rng);
        Self { state: Arc::new(Mutex::new(after)) }
    }

    /// The same, in place: whoever used the disk must be gone before, for nothing keeps it from going on.
    pub fn crash(&self, rng: &mut dyn RngCore) {
        self.state().crash(rng);
    }

    /// A copy of this disk as it might look after a crash now; this one goes on.
    #[must_use]
    pub fn image(&self, rng: &mut dyn RngCore) -> Self {
        let mut state = self.state().clone();
        state.crash(rng);
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A copy as it is now, with everything in it.
    #[must_use]
    pub fn bare_copy(&self) -> Self {
        let state = self.state().copy();
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// From now on it is noted what each call is for.
    pub fn trace(&self) {
        self.state().traced = Some(Vec::new());
    }

    /// What each call since then was for, by its verb.
    #[must_use]
    pub fn traced(&self) -> Vec<&'static str> {
        self.state().traced.take().unwrap_or_default()
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// From now on a copy of the disk is kept before each call.
    pub fn watch(&self) {
        self.state().watched = Some(Vec::new());
    }

    /// The copies since the last time, oldest first; none are kept any more after `watch` was not called again.
    #[must_use]
    pub fn watched(&self) -> Vec<Self> {
        let copies = self.state().watched.take().unwrap_or_default();
        copies.into_iter().map(|state| Self { state: Arc::new(Mutex::new(state)) }).collect()
    }

    /// The state; a panic of another user does not matter to a plain value.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Disk for SimDisk {
    fn list(&self, directory: &str) -> Result<Vec<String>, DiskError> {
        let mut state = self.state();
        power(state.begin("list", directory)?, "list", directory)?;
        if !directory.is_empty() && !state.directories.contains(directory) {
            return Err(DiskError::new("list", directory, DiskErrorKind::NotFound, "no such directory"));
        }
        let names = state.names.keys().chain(state.directories.iter());
        let mut found: Vec<String> = names
            .filter(|name| parent(name) == directory)
            .map(|name| name.rsplit('/').next().unwrap_or(name).to_owned())
            .collect();
        found.sort();
        Ok(found)
    }

    fn create_dir(&self, directory: &str) -> Result<(), DiskError> {
        let mut state = self.state();
        let off = state.begin("create", directory)?;
        if state.directories.insert(directory.to_owned()) {
            state.pending_names.push(NameChange::Directory(directory.to_owned()));
        }
        power(off, "create", directory)
    }

    fn len(&self, name: &str) -> Result<u64, DiskError> {
        let mut state = self.state();
        power(state.begin("measure", name)?, "measure", name)?;
        Ok(length(&state.file("measure", name)?.bytes))
    }

    fn exists(&self, name: &str) -> Result<bool, DiskError> {
        let mut state = self.state();
        power(state.begin("look for", name)?, "look for", name)?;
        Ok(state.names.contains_key(name) || state.directories.contains(name))
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let mut state = self.state();
        power(state.begin("read", name)?, "read", name)?;
        let file = state.file("read", name)?;
        let start = place(offset).min(file.bytes.len());
        let end = start.saturating_add(buffer.len()).min(file.bytes.len());
        buffer[..end - start].copy_from_slice(&file.bytes[start..end]);
        Ok(end - start)
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let mut state = self.state();
        let off = state.begin("write", name)?;
        let grows = match state.names.get(name) {
            Some(inode) => (offset + length(bytes)).saturating_sub(length(&state.files[inode].bytes)),
            None => offset + length(bytes),
        };
        let room = state.capacity.saturating_sub(state.used());
        if room == 0 && !state.names.contains_key(name) {
            return Err(DiskError::new("write", name, DiskErrorKind::Full, "no space left"));
        }
        let file = state.file_or_new(name)?;
        if grows > room {
            let part = place(length(bytes).saturating_sub(grows - room));
            if room > 0 && part > 0 {
                file.write(offset, &bytes[..part]);
            }
            return Err(DiskError::new("write", name, DiskErrorKind::Full, "no space left"));
        }
        file.write(offset, bytes);
        power(off, "write", name)
    }

    fn set_len(&self, name: &str, new: u64) -> Result<(), DiskError> {
        let mut state = self.state();
        let off = state.begin("cut", name)?;
        let room = state.capacity.saturating_sub(state.used());
        let file = state.file("cut", name)?;
        if new.saturating_sub(length(&file.bytes)) > room {
            return Err(DiskError::new("cut", name, DiskErrorKind::Full, "no space left"));
        }
        file.set_len(new);
        power(off, "cut", name)
    }

    fn sync(&self, name: &str) -> Result<(), DiskError> {
        let mut state = self.state();
        let planned = state.faults.get(&state.calls).copied();
        let begun = state.begin("sync", name);
        let turn = state.syncs;
        // Space may be found to lack only when pages are written back: they are lost then as well.
        let is_planned = matches!(planned, Some(Fault::Io | Fault::Full | Fault::Fills));
        let is_doomed = begun.is_err() && is_planned || begun.is_ok() && state.sync_faults.remove(&turn);
        let file = state.file("sync", name)?;
        if is_doomed {
            file.sync_failed();
            begun?;
            return Err(DiskError::new("sync", name, DiskErrorKind::Io, "medium error"));
        }
        if begun? {
            return power(true, "sync", name);
        }
        file.sync();
        state.syncs += 1;
        Ok(())
    }

    fn sync_dir(&self, directory: &str) -> Result<(), DiskError> {
        let mut state = self.state();
        let off = state.begin("sync", directory)?;
        if off {
            return power(true, "sync", directory);
        }
        let (now, later) = std::mem::take(&mut state.pending_names)
            .into_iter()
            .partition(|change| change.stands_in(directory));
        state.pending_names = later;
        let now: Vec<NameChange> = now;
        let State { durable_names, durable_directories, .. } = &mut *state;
        for change in &now {
            apply_name(change, durable_names, durable_directories);
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let mut state = self.state();
        let off = state.begin("rename", from)?;
        let Some(inode) = state.names.remove(from) else {
            return Err(DiskError::new("rename", from, DiskErrorKind::NotFound, "no such file"));
        };
        state.names.insert(to.to_owned(), inode);
        state.pending_names.push(NameChange::Rename(from.to_owned(), to.to_owned(), inode));
        power(off, "rename", from)
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        let mut state = self.state();
        let off = state.begin("remove", name)?;
        if state.names.remove(name).is_none() {
            return Err(DiskError::new("remove", name, DiskErrorKind::NotFound, "no such file"));
        }
        state.pending_names.push(NameChange::Remove(name.to_owned()));
        power(off, "remove", name)
    }

    fn let_go(&self, name: &str) {
        self.state().let_go.insert(name.to_owned());
    }

    fn free_bytes(&self) -> Result<u64, DiskError> {
        let mut state = self.state();
        power(state.begin("measure", "")?, "measure", "")?;
        Ok(state.capacity.saturating_sub(state.used()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    /// A disk with one durable file of 2,000 ones.
    fn prepared() -> SimDisk {
        let disk = SimDisk::new(1 << 20);
        disk.write_at("a", 0, &[1; 2_000]).unwrap();
        disk.sync("a").unwrap();
        disk.sync_dir("").unwrap();
        disk
    }

    #[test]
    fn what_was_synced_survives_every_crash() {
        for seed in 0..50 {
            let disk = prepared();
            disk.write_at("a", 2_000, &[2; 3_000]).unwrap();
            disk.write_at("b", 0, &[3; 10]).unwrap();
            disk.crash(&mut ChaCha8Rng::seed_from_u64(seed));
            assert_eq!(disk.content("a").unwrap()[..2_000], [1; 2_000]);
        }
    }

    #[test]
    fn crashes_lose_keep_tear_and_zero_what_was_not_synced() {
        let (mut lost, mut whole, mut zeros, mut mixed, mut unnamed) = (0, 0, 0, 0, 0);
        for seed in 0..200 {
            let disk = prepared();
            disk.write_at("a", 1_000, &[2; 3_000]).unwrap();
            disk.write_at("b", 0, &[3; 10]).unwrap();
            let image = disk.image(&mut ChaCha8Rng::seed_from_u64(seed));
            let bytes = image.content("a").unwrap();
            match bytes.len() {
                2_000 if bytes.iter().all(|byte| *byte == 1) => lost += 1,
                4_000 if bytes[1_000..].iter().all(|byte| *byte == 2) => whole += 1,
                4_000 if bytes[2_000..].iter().all(|byte| *byte == 0) => zeros += 1,
                _ => mixed += 1,
            }
            unnamed += u32::from(image.content("b").is_none());
        }
        assert!(
            lost > 0 && whole > 0 && zeros > 0 && mixed > 0 && unnamed > 0,
            "{lost} {whole} {zeros} {mixed} {unnamed}"
        );
    }

    #[test]
    fn a_good_sync_does_not_save_what_a_failed_one_gave_up() {
        let mut gone = 0;
        for seed in 0..20 {
            let disk = prepared();
            disk.write_at("a", 2_000, &[2; 100]).unwrap();
            disk.fail_sync_after(0);
            assert!(disk.sync("a").is_err());
            assert_eq!(disk.content("a").unwrap()[2_000..], [2; 100], "still seen by readers");
            disk.write_at("a", 2_100, &[3; 100]).unwrap();
            disk.sync("a").unwrap();
            disk.crash(&mut ChaCha8Rng::seed_from_u64(seed));
            assert_eq!(disk.content("a").unwrap()[2_100..], [3; 100]);
            gone += u32::from(disk.content("a").unwrap()[2_000..2_100] == [0; 100]);
        }
        assert!(gone > 0);
    }

    #[test]
    fn a_rename_is_the_old_file_or_the_new_one() {
        let (mut old, mut new) = (0, 0);
        for seed in 0..50 {
            let disk = prepared();
            disk.write_at("t", 0, &[9; 5]).unwrap();
            disk.sync("t").unwrap();
            disk.rename("t", "a").unwrap();
            disk.crash(&mut ChaCha8Rng::seed_from_u64(seed));
            match disk.content("a").unwrap().len() {
                2_000 => old += 1,
                5 => new += 1,
                other => panic!("{other} bytes"),
            }
        }
        assert!(old > 0 && new > 0);
    }

    #[test]
    fn a_full_disk_refuses_and_says_so() {
        let disk = SimDisk::new(100);
        assert_eq!(disk.write_at("a", 0, &[0; 101]).unwrap_err().kind, DiskErrorKind::Full);
        assert!(disk.free_bytes().unwrap() < 100);
    }
}
