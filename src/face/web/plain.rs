//! The page for browsers without JavaScript: it says so, and shows the status.

use hyper::header::{HeaderValue, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::assets::add_policy;
use crate::io::http::{Answer, AnswerBody};

/// The status as a page.
pub(super) fn page(status: &Value) -> Answer {
    let text = |key: &str| escape(status[key].as_str().unwrap_or_default());
    let mut items = String::new();
    for item in status["attention"].as_array().into_iter().flatten() {
        let words = item["message"].as_str().or_else(|| item["text"].as_str()).unwrap_or_default();
        items.push_str(&format!("<li>{}</li>", escape(words)));
    }
    let list = if items.is_empty() {
        String::new()
    } else {
        format!("<h2>What needs attention</h2><ul>{items}</ul>")
    };
    html(
        StatusCode::OK,
        &format!(
            "<h1>{}</h1><p>{}</p>{list}<p>This page shows more with JavaScript. <a href=\"/\">Try it</a></p>",
            text("name"),
            text("summary")
        ),
    )
}

/// Asks for a token, as browsers do without a page.
pub(super) fn ask() -> Answer {
    let mut answer = html(
        StatusCode::UNAUTHORIZED,
        "<h1>nuthatch</h1><p>Without JavaScript this node shows only its status, to whoever has a token: any name, and the token as the password.</p>",
    );
    answer.headers_mut().insert(
        WWW_AUTHENTICATE,
        HeaderValue::from_static("Basic realm=\"nuthatch token\", charset=\"UTF-8\""),
    );
    answer
}

/// A page.
fn html(status: StatusCode, body: &str) -> Answer {
    let text = format!("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>nuthatch</title><body>{body}</body></html>\n");
    let mut answer = Response::new(AnswerBody::whole(text));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    add_policy(headers);
    answer
}

/// Text as HTML.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_markup_stay_text() {
        assert_eq!(escape("<b>\"&'"), "&lt;b&gt;&quot;&amp;'");
    }
}
