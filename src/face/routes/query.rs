//! Queries behind a question mark, and percent-encoding.

use std::str::FromStr;

use super::bad;
use crate::node::api::ApiError;

/// The parts of a query.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Splits `a=b&c=d`; both sides may be escaped.
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        let parts = text.split('&').filter(|part| !part.is_empty());
        let split = |part: &str| {
            let (key, value) = part.split_once('=').unwrap_or((part, "true"));
            Ok((unescape(key)?, unescape(value)?))
        };
        Ok(Self(parts.map(split).collect::<Result<_, ApiError>>()?))
    }

    /// The value of a key that may be left out.
    pub(super) fn value(&self, key: &str) -> Option<String> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    }

    /// All values of a key, in their order.
    fn values(self, key: &str) -> Vec<String> {
        self.0.into_iter().filter(|(name, _)| name == key).map(|(_, value)| value).collect()
    }

    /// The value of a key that may not.
    pub(super) fn wanted(&self, key: &str) -> Result<String, ApiError> {
        self.value(key)
            .ok_or_else(|| bad(format!("the query has no {key}"), "add it after the question mark"))
    }

    /// A key that is a whole number; None when left out.
    pub(super) fn number<T: FromStr>(&self, key: &str) -> Result<Option<T>, ApiError> {
        let read = |text: String| {
            text.parse().map_err(|_| bad(format!("{key} cannot be {text}"), "give a whole number"))
        };
        self.value(key).map(read).transpose()
    }

    /// A key that is true or false; false when left out.
    pub(super) fn flag(&self, key: &str) -> Result<bool, ApiError> {
        match self.value(key).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(bad(format!("{key} cannot be {other}"), "give true or false")),
        }
    }
}

/// The value of a key in a query; None when it is not there.
pub(in crate::face) fn query_value(query: Option<&str>, key: &str) -> Result<Option<String>, ApiError> {
    Ok(Query::parse(query.unwrap_or_default())?.value(key))
}

/// All values of a key in a query, in their order.
pub(in crate::face) fn query_values(query: Option<&str>, key: &str) -> Result<Vec<String>, ApiError> {
    Ok(Query::parse(query.unwrap_or_default())?.values(key))
}

/// Percent-encodes all but the unreserved characters of RFC 3986, section 2.3.
pub(in crate::face) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Takes percent-encoding away.
pub(in crate::face) fn unescape(text: &str) -> Result<String, ApiError> {
    let wrong = || bad("the address is not escaped right".to_owned(), "escape as UTF-8 with %XX");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2).ok_or_else(wrong)?;
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = behind;
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}
