//! The page's files, which are compressed when the program is built (`build.rs`).

use bytes::Bytes;
use hyper::header::{
    HeaderMap, HeaderName, HeaderValue, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
};
use hyper::{Response, StatusCode};

use crate::io::http::{Answer, AnswerBody};

include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// One file of the page.
struct Asset {
    /// Below `/`.
    path: &'static str,
    /// In quotes, as HTTP wants it.
    etag: &'static str,
    /// Gzip.
    bytes: &'static [u8],
}

/// What a page may do: run our own scripts and speak with us, nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
    media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'self'; \
    frame-src 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The file at a path, if there is one.
pub(super) fn asset(path: &str, headers: &HeaderMap) -> Option<Answer> {
    let wanted = match path {
        "/" => "index.html",
        other => other.strip_prefix('/')?,
    };
    let asset = ASSETS.iter().find(|asset| asset.path == wanted)?;
    let is_known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == asset.etag.as_bytes());
    let body =
        if is_known { AnswerBody::empty() } else { AnswerBody::whole(Bytes::from_static(asset.bytes)) };
    let mut answer = Response::new(body);
    if is_known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = answer.headers_mut();
    // Every browser of the last twenty years takes gzip; over plain HTTP they take nothing better.
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(type_of(asset.path)));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ETAG, HeaderValue::from_static(asset.etag));
    add_policy(headers);
    Some(answer)
}

/// Says what a page of ours may do.
pub(super) fn add_policy(headers: &mut HeaderMap) {
    headers.insert(HeaderName::from_static("content-security-policy"), HeaderValue::from_static(POLICY));
}

/// The type of a file of the page.
fn type_of(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webmanifest" => "application/manifest+json",
        "json" => "application/json",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_each_file_has_a_type() {
        let sum: usize = ASSETS.iter().map(|asset| asset.bytes.len()).sum();
        assert!(sum <= 150_000, "{sum} bytes, compressed");
        assert!(ASSETS.iter().any(|asset| asset.path == "index.html"));
        for asset in ASSETS.iter().filter(|asset| !asset.path.ends_with(".txt")) {
            assert!(!type_of(asset.path).starts_with("text/plain"), "{} has no type", asset.path);
            assert_eq!(asset.bytes[..2], [0x1f, 0x8b]);
        }
    }

    #[test]
    fn what_the_browser_has_is_not_sent_again() {
        let first = asset("/", &HeaderMap::new()).unwrap();
        assert_eq!(first.status(), StatusCode::OK);
        let mut known = HeaderMap::new();
        known.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
        assert_eq!(asset("/", &known).unwrap().status(), StatusCode::NOT_MODIFIED);
        assert!(asset("/nothing", &known).is_none() && asset("/../Cargo.toml", &known).is_none());
    }
}
