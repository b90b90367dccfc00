//! What `status` says of the disk: bytes written, by cause, and how much life the medium has left.
//!
//! Nothing unknown is shown as good: where a medium does not tell, it says null.

use serde_json::{json, Value};

use crate::node::status::attention::{Concern, Severity};
use crate::store::service::StoreStats;

/// What was ever written; `per_stored_byte` is the write amplification, null before the first chunk.
pub(in crate::node) fn written(stats: &StoreStats) -> Value {
    let ever = stats.written_ever;
    let hundredths = ever.total().saturating_mul(100).checked_div(ever.payload);
    let times = hundredths.and_then(|times| u32::try_from(times).ok()).map(|times| f64::from(times) / 100.0);
    json!({
        "total_bytes": ever.total(),
        "segments_bytes": ever.segments,
        "index_bytes": ever.index,
        "state_bytes": ever.state,
        "temporary_bytes": ever.sets,
        "since_start_bytes": stats.written.total(),
        "per_stored_byte": times,
    })
}

/// How worn the medium is; null: it does not tell.
pub(in crate::node) fn life(stats: &StoreStats) -> Value {
    let life = |wear: crate::store::service::Wear| json!({"used_percent_max": wear.used_percent_max, "days_left": wear.days_left});
    stats.wear.map_or(Value::Null, life)
}

/// What `status` asks attention for where chunks were found damaged.
pub(in crate::node) fn damaged(stats: &StoreStats) -> Option<Concern> {
    let message =
        format!("{} chunks on this disk were found damaged; they are fetched again", stats.quarantined);
    let hint = "`nuthatch verify --all` says whether all is whole; think of replacing the disk".into();
    (stats.quarantined > 0).then_some(Concern { severity: Severity::Danger, message, hint })
}

/// A medium at its end needs attention.
pub(in crate::node) fn worn(stats: &StoreStats) -> Option<Concern> {
    let wear = stats.wear.filter(|wear| wear.used_percent_max >= WORN_PERCENT)?;
    let message =
        format!("the disk of this node says that up to {}% of its life is used", wear.used_percent_max);
    let hint =
        "replace it soon; `nuthatch status` says under \"what a fire would take\" what is on no other device"
            .into();
    Some(Concern { severity: Severity::Danger, message, hint })
}

/// From here on a person should think of a new disk.
const WORN_PERCENT: u8 = 90;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::service::{Wear, Written};

    #[test]
    fn what_is_unknown_is_null_and_a_worn_disk_needs_attention() {
        let mut stats = StoreStats::default();
        assert_eq!((written(&stats)["per_stored_byte"].clone(), life(&stats)), (Value::Null, Value::Null));
        assert_eq!(worn(&stats), None);
        stats.written_ever = Written { segments: 110, index: 10, state: 5, sets: 0, payload: 100 };
        assert_eq!(written(&stats)["per_stored_byte"], 1.25);
        stats.wear = Some(Wear { used_percent_max: 90, days_left: Some(40) });
        assert_eq!(life(&stats)["days_left"], 40);
        assert!(worn(&stats).is_some());
    }
}
