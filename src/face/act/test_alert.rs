//! `test-alert`: whether hooks and alerts work, before they are needed.

use crate::face::exit::{Exit, Fail};
use crate::face::link::Link;
use crate::face::out::Out;
use crate::face::report::word;
use crate::face::show::text;
use crate::node::api::Call;
use clap::Args;
use serde_json::Value;

/// Options of `test-alert`.
#[derive(Debug, Args)]
pub struct TestAlert {
    /// Of which event the hooks are run; `test` when left out.
    #[arg(value_name = "EVENT")]
    pub event: Option<String>,
}

/// `test-alert`.
pub(super) fn test_alert(link: &Link, out: Out, options: TestAlert) -> Result<Exit, Fail> {
    let call = Call::TestAlert { event: options.event };
    link.lines(&call, &mut |line| out.both(&line, tried)).map(Exit::from)
}

/// A line of it.
fn tried(line: &Value) -> String {
    let what = match line["hook"].as_str() {
        Some(name) => format!("hook {name}"),
        None => format!("alert to {}", word(line, "alert")),
    };
    format!("{:<22}  {}\n", text(&what), text(word(line, "result")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_says_what_was_tried_and_what_came_of_it() {
        let hook = tried(
            &json!({"hook": "any", "is_there": true, "result": "ended with exit code 0", "done": true}),
        );
        assert_eq!(hook, "hook any                ended with exit code 0\n");
        let alert = tried(&json!({"alert": "10.0.0.2", "result": "delivered", "done": true}));
        assert_eq!(alert, "alert to 10.0.0.2       delivered\n");
    }
}
