//! Many real nodes, one seed, virtual time. Beside what makes that (`cluster`, `net`, `disk`, `files`) stand the oracles (`check`)
//! and the stories: each file one kind of trouble.

#[cfg(test)]
mod away_stories;
#[cfg(test)]
mod backup_tests;
#[cfg(test)]
mod chart_stories;
pub mod check;
pub mod cluster;
#[cfg(test)]
mod collect_model;
#[cfg(test)]
mod collect_samples;
#[cfg(test)]
mod collect_stories;
#[cfg(test)]
mod compare_stories;
#[cfg(test)]
mod crowd;
pub mod disk;
#[cfg(test)]
mod drill_stories;
#[cfg(test)]
mod duties;
#[cfg(test)]
mod edit_stories;
#[cfg(test)]
mod erase_stories;
#[cfg(test)]
mod errand_stories;
#[cfg(test)]
mod evil_stories;
#[cfg(test)]
mod feed_stories;
mod file_answers;
mod file_puts;
pub mod files;
#[cfg(test)]
mod flood_stories;
#[cfg(test)]
mod guard_stories;
#[cfg(test)]
mod image_stories;
#[cfg(test)]
mod key_stories;
mod medium;
#[cfg(test)]
mod meeting_stories;
#[cfg(test)]
mod move_model;
#[cfg(test)]
mod move_stories;
pub mod net;
#[cfg(test)]
mod note_stories;
#[cfg(test)]
mod partial_stories;
#[cfg(test)]
mod partial_tests;
#[cfg(test)]
mod place_stories;
#[cfg(test)]
mod push_stories;
#[cfg(test)]
mod read_tests;
#[cfg(test)]
mod removal_stories;
#[cfg(test)]
mod repair_stories;
#[cfg(test)]
mod restore_tests;
#[cfg(test)]
mod share_tests;
#[cfg(test)]
mod silence_stories;
#[cfg(test)]
mod space_stories;
#[cfg(test)]
mod store;
#[cfg(test)]
mod stranger_stories;
#[cfg(test)]
mod turmoil;
#[cfg(test)]
mod turn_stories;

#[cfg(test)]
mod version_stories;
#[cfg(test)]
mod watch_stories;
