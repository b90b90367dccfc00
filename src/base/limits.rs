//! Every bound and timeout: unit, reason, and the relations that must hold between them.
//!
//! A number that limits a queue, a map, a retry, a wait or a length from outside stands in one of these files and nowhere else;
//! all are used from here.

mod absence;
mod compare;
mod content;
mod drill;
mod events;
mod guard;
mod lookup;
mod moving;
mod node;
mod outside;
mod peers;
mod placement;
mod replicate;
mod store;
mod watching;

pub use self::absence::*;
pub use self::compare::*;
pub use self::content::*;
pub use self::drill::*;
pub use self::events::*;
pub use self::guard::*;
pub use self::lookup::*;
pub use self::moving::*;
pub use self::node::*;
pub use self::outside::*;
pub use self::peers::*;
pub use self::placement::*;
pub use self::replicate::*;
pub use self::store::*;
pub use self::watching::*;
