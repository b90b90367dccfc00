//! Charts over steps, restarts, sleep and clocks that jump.

use super::series::{Bytes, Past};
use super::*;

/// A moment of a run that began when the clock showed `wall` seconds.
fn at(wall: i64, seconds: u64) -> Moment {
    let passed = i64::try_from(seconds).unwrap();
    Moment {
        time: Time::from_micros(seconds * 1_000_000),
        wall: WallTime::from_micros((wall + passed) * 1_000_000),
    }
}

/// Charts that begin with nothing.
fn fresh() -> Charts {
    let mut charts = Charts::default();
    charts.begin(at(WALL, 0), None);
    charts
}

/// The chart of a day: what was sent, newest last, without the unknown before.
fn sent(charts: &Charts) -> Vec<Option<u64>> {
    let shown = charts.series[0].shown();
    assert_eq!((shown.len(), charts.series[1].shown().len()), (CHART_DAY_STEPS, CHART_MONTH_STEPS));
    let known = shown.iter().map(|bytes| bytes.map(|bytes| bytes[0])).skip_while(Option::is_none);
    known.collect()
}

/// What is saved and read again in a run that begins at `now`.
fn again(charts: &mut Charts, end: Moment, now: Moment) -> Charts {
    let (_, bytes) = charts.setting(end).unwrap();
    let mut next = Charts::default();
    next.begin(now, decode(&bytes.unwrap()));
    next
}

/// Some day in 2026.
const WALL: i64 = 1_790_000_000;

#[test]
fn what_goes_through_is_summed_up_by_steps() {
    let mut charts = fresh();
    assert_eq!(sent(&charts), [Some(0)]);
    charts.look(at(WALL, 100), [7, 0, 0]);
    charts.look(at(WALL, 300), [10, 5, 0]);
    charts.look(at(WALL, 650), [11, 5, 0]);
    assert_eq!(sent(&charts), [Some(10), Some(1), Some(0)]);
    assert_eq!(charts.deadline(), Some(at(WALL, 900).time));
    let month = charts.series[1].shown();
    assert_eq!((month[CHART_MONTH_STEPS - 1], month[0]), (Some([11, 5, 0, 0]), None));
    let told = charts.series[0].json(at(WALL, 650));
    assert_eq!(told["end"], at(WALL, 900).wall.to_string());
    assert_eq!(told["sent_bytes"][CHART_DAY_STEPS - 3], 10);
    assert!(told["received_bytes"][0].is_null());
}

#[test]
fn a_day_and_a_month_are_all_that_is_kept() {
    let mut charts = fresh();
    for step in 1..=10_000 {
        charts.look(at(WALL, step * 300), [step, 0, 0]);
    }
    assert!(sent(&charts)[..CHART_DAY_STEPS - 1].iter().all(|bytes| *bytes == Some(1)));
    let month = charts.series[1].shown();
    assert!(month[..CHART_MONTH_STEPS - 1].iter().all(|bytes| *bytes == Some([24, 0, 0, 0])));
    let lengths = charts.series.each_ref().map(|series| series.past.len());
    assert_eq!(lengths, [CHART_DAY_STEPS - 1, CHART_MONTH_STEPS - 1]);
}

#[test]
fn saved_is_content_that_was_read_and_needed_no_room() {
    let mut charts = fresh();
    // 1,000 bytes are read; 300 of them are on their way to the disk, and are there a step later.
    charts.look(at(WALL, 300), [0, 0, 1_000]);
    (charts.stored, charts.stored_own) = (300, 300);
    charts.look(at(WALL, 600), [0, 0, 1_500]);
    // What comes from others is stored and saves nothing.
    charts.stored = 900;
    charts.look(at(WALL, 900), [0, 0, 1_500]);
    let shown: Vec<Bytes> = charts.series[0].shown().into_iter().flatten().collect();
    assert_eq!(shown, [[0, 0, 0, 1_000], [0, 0, 300, 200], [0, 0, 600, 0], [0; 4]]);
}

#[test]
fn a_restart_goes_on_in_the_step_it_was_in() {
    let mut charts = fresh();
    charts.look(at(WALL, 310), [10, 0, 0]);
    charts.look(at(WALL, 320), [15, 0, 0]);
    let mut next = again(&mut charts, at(WALL, 320), at(WALL + 350, 0));
    next.look(at(WALL + 350, 100), [1, 0, 0]);
    assert_eq!(sent(&next), [Some(10), Some(6)]);
    assert_eq!(next.deadline(), Some(at(0, 250).time));
}

#[test]
fn what_was_while_the_node_was_off_is_unknown() {
    let mut charts = fresh();
    charts.look(at(WALL, 310), [10, 0, 0]);
    let mut next = again(&mut charts, at(WALL, 310), at(WALL + 1_830, 0));
    assert_eq!(sent(&next), [Some(10), Some(0), None, None, None, None, Some(0)]);
    assert_eq!(next.deadline(), Some(at(0, 270).time));
    next.look(at(WALL + 1_830, 100), [3, 0, 0]);
    assert_eq!(sent(&next)[6], Some(3));
    // The month goes on in the same step.
    assert_eq!(next.series[1].shown()[CHART_MONTH_STEPS - 1], Some([13, 0, 0, 0]));
    // Off for two months: nothing of it is left to be shown.
    let next = again(&mut next, at(WALL + 1_830, 100), at(WALL + 5_200_000, 0));
    assert_eq!((sent(&next), next.series[1].shown().iter().flatten().count()), (vec![Some(0)], 1));
}

#[test]
fn a_clock_that_is_set_later_tells_how_long_the_node_was_off() {
    let mut charts = fresh();
    charts.look(at(WALL, 310), [10, 0, 0]);
    // The board has no clock of its own: it begins in 1970, and learns a minute later that it was off for an hour.
    let mut next = again(&mut charts, at(WALL, 310), at(0, 0));
    assert!(next.series[0].json(at(0, 0))["end"].is_null());
    next.look(at(0, 40), [2, 0, 0]);
    assert_eq!(sent(&next), [Some(10), Some(2)]);
    next.look(at(WALL + 3_910, 60), [3, 0, 0]);
    let shown = sent(&next);
    assert_eq!((shown.len(), shown[0], shown[1], shown[13]), (14, Some(10), Some(3), Some(0)));
    assert_eq!(shown.iter().filter(|bytes| bytes.is_none()).count(), 11);
}

#[test]
fn a_clock_that_jumps_forth_and_back_changes_nothing() {
    let mut charts = fresh();
    charts.look(at(WALL, 310), [10, 0, 0]);
    for jump in [3_600, 86_400, 315_360_000] {
        charts.look(at(WALL + jump, 320), [10, 0, 0]);
        assert_eq!(*sent(&charts).last().unwrap(), Some(0));
        charts.look(at(WALL, 330), [10, 0, 0]);
    }
    charts.look(at(WALL, 900), [14, 0, 0]);
    let shown = sent(&charts);
    assert_eq!(shown.iter().flatten().sum::<u64>(), 14);
    assert!(shown.len() < 12, "{shown:?}");
    // Before it was ever set: there is nothing to compare with.
    charts.look(at(0, 910), [14, 0, 0]);
    assert_eq!(sent(&charts), shown);
}

#[test]
fn a_run_that_begins_with_an_earlier_clock_goes_on_where_the_last_one_ended() {
    let mut charts = fresh();
    charts.look(at(WALL, 310), [10, 0, 0]);
    let next = again(&mut charts, at(WALL, 310), at(WALL - 1_000_000, 0));
    assert_eq!(sent(&next), [Some(10), Some(0)]);
}

#[test]
fn what_was_asleep_is_unknown() {
    let mut charts = fresh();
    charts.look(at(WALL, 150), [10, 0, 0]);
    // Eight hours of sleep, in which this run's time stood still.
    charts.look(at(WALL + 28_800, 160), [12, 0, 0]);
    let shown = sent(&charts);
    assert_eq!((shown[0], shown.len(), *shown.last().unwrap()), (Some(12), 97, Some(0)));
    assert_eq!(shown.iter().filter(|bytes| bytes.is_none()).count(), 95);
}

#[test]
fn what_is_saved_is_small_and_anything_else_is_nothing() {
    let mut charts = fresh();
    for step in 1..=20_000 {
        charts.look(at(WALL, step * 300), [step * 1_000_000_000, step * 3_000, step * 50_000_000]);
    }
    let (_, bytes) = charts.setting(at(WALL, 6_000_100)).unwrap();
    let bytes = bytes.unwrap();
    assert!(bytes.len() < 16_000, "{} bytes", bytes.len());
    assert_eq!((charts.unsaved, charts.saved), (0, at(WALL, 6_000_100).time));
    assert!(decode(&bytes).is_some());
    for cut in 0..bytes.len() {
        assert!(decode(&bytes[..cut]).is_none());
    }
    let mut other = bytes;
    other[0] = 2;
    assert!(decode(&other).is_none());
}

#[test]
fn no_saved_numbers_bring_it_out_of_its_bounds() {
    let odd = |passed_us, past| SavedSeries { passed_us, current: [u64::MAX; 4], past };
    let unknown = vec![Past::Unknown(u64::MAX); 3];
    let saved = Saved {
        wall_us: i64::MAX,
        series: [odd(u64::MAX, unknown), odd(0, vec![Past::Bytes([u64::MAX; 4]); 5_000])],
    };
    let mut charts = Charts::default();
    charts.begin(at(WALL, 0), Some(saved));
    for (seconds, wall) in [(10, WALL), (20, i64::MAX / 2_000_000), (30, WALL), (40, -WALL), (1 << 40, WALL)]
    {
        charts.look(at(wall, seconds), [u64::MAX; 3]);
        assert!(charts.series.iter().all(|series| series.past.len() < series.steps_max));
        assert_eq!(charts.series[0].shown().len(), CHART_DAY_STEPS);
        let _ = (charts.series[0].json(at(wall, seconds)), charts.encode(at(wall, seconds)));
    }
}
