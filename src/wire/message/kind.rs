//! Numbers of the messages; never used again for something else.

/// Hello.
pub const HELLO: u8 = 1;
/// FeedHave.
pub const FEED_HAVE: u8 = 2;
/// FeedWant.
pub const FEED_WANT: u8 = 3;
/// FeedEntries.
pub const FEED_ENTRIES: u8 = 4;
/// Offer.
pub const OFFER: u8 = 5;
/// Want.
pub const WANT: u8 = 6;
/// Stored.
pub const STORED: u8 = 7;
/// Get.
pub const GET: u8 = 8;
/// Chunk.
pub const CHUNK: u8 = 9;
/// Missing.
pub const MISSING: u8 = 10;
/// Status.
pub const STATUS: u8 = 11;
/// Who.
pub const WHO: u8 = 12;
/// Known.
pub const KNOWN: u8 = 13;
// 14 Digest, 15 Range, 16 Challenge and 17 Proof are kept for reconciliation and audit.
/// Cancel.
pub const CANCEL: u8 = 18;
/// Checked.
pub const CHECKED: u8 = 21;
