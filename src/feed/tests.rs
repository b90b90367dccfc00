//! What holds of feeds as a whole, told as stories; tests of single parts stand beside them.

mod entry;
mod erase;
mod order;
mod roster;
pub(super) mod view;
