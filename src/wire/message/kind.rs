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
/// Digest.
pub const DIGEST: u8 = 14;
/// Range.
pub const RANGE: u8 = 15;
/// Challenge.
pub const CHALLENGE: u8 = 16;
/// Proof.
pub const PROOF: u8 = 17;
/// Cancel.
pub const CANCEL: u8 = 18;
/// Decline.
pub const DECLINE: u8 = 19;
/// Checked.
pub const CHECKED: u8 = 21;
/// Leaving.
pub const LEAVING: u8 = 22;
/// Confirmed.
pub const CONFIRMED: u8 = 23;
