//! Properties of WebDAV: which are asked for, and what they are.

use super::locks::Lock;
use super::xml::{escaped, Element};
use crate::base::units::{Time, WallTime};
use crate::face::web::heads::{date_of, type_of};

/// Properties that a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// Those that are usual.
    All,
    /// The names of those.
    Names,
    /// These: namespace and name.
    These(Vec<(String, String)>),
}

/// What is known of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource {
    /// The path of its address, escaped.
    pub(super) href: String,
    /// Its name.
    pub(super) name: String,
    /// It can hold others.
    pub(super) is_directory: bool,
    /// Bytes of a file.
    pub(super) size: u64,
    /// When it changed, in nanoseconds since 1970.
    pub(super) mtime_ns: Option<i64>,
    /// Of a file, in quotes.
    pub(super) etag: String,
}

/// What is the same for all resources of an answer.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    /// What is asked for.
    pub(super) asked: Asked,
    /// Free and used bytes, where they are asked for and known.
    pub(super) quota: Option<(u64, u64)>,
}

/// The properties of `DAV:` that there are.
const KNOWN: [&str; 9] = [
    "resourcetype",
    "displayname",
    "getlastmodified",
    "creationdate",
    "getcontentlength",
    "getcontenttype",
    "getetag",
    "supportedlock",
    "lockdiscovery",
];

/// What the body of a PROPFIND asks for; None: it is none.
pub(super) fn asked(found: &[Element]) -> Option<Asked> {
    let (root, rest) = found.split_first()?;
    if !root.is_dav("propfind") {
        return None;
    }
    let first = rest.iter().find(|one| one.depth == 1 && one.space == "DAV:")?;
    match first.name.as_str() {
        "allprop" => Some(Asked::All),
        "propname" => Some(Asked::Names),
        "prop" => {
            let names =
                rest.iter().filter(|one| one.depth == 2).map(|one| (one.space.clone(), one.name.clone()));
            Some(Asked::These(names.collect()))
        }
        _ => None,
    }
}

impl Asked {
    /// Whether this property of `DAV:` is asked for by name.
    pub(super) fn names(&self, name: &str) -> bool {
        matches!(self, Self::These(names) if names.iter().any(|(space, known)| space == "DAV:" && known == name))
    }
}

/// A resource as a part of a multistatus. `locks`: those that hold it.
pub(super) fn response(resource: &Resource, around: &Surroundings, locks: &[&Lock], now: Time) -> String {
    let mut text = format!("<D:response><D:href>{}</D:href>", escaped(&resource.href));
    let value = |name: &str| value(resource, around, locks, now, name);
    let (mut there, mut missing) = (String::new(), String::new());
    match &around.asked {
        Asked::All => {
            for name in KNOWN {
                there.push_str(&value(name).map(|value| element(name, &value)).unwrap_or_default());
            }
        }
        Asked::Names => {
            for name in KNOWN.into_iter().filter(|name| value(name).is_some()) {
                there.push_str(&format!("<D:{name}/>"));
            }
        }
        Asked::These(names) => {
            for (space, name) in names {
                match Some(name).filter(|_| space == "DAV:").and_then(|name| value(name)) {
                    Some(value) => there.push_str(&element(name, &value)),
                    None => missing.push_str(&nothing(space, name)),
                }
            }
        }
    }
    text.push_str(&propstat(&there, "200 OK"));
    text.push_str(&propstat(&missing, "404 Not Found"));
    text.push_str("</D:response>\n");
    text
}

/// Properties with a status; nothing where there are none.
pub(super) fn propstat(properties: &str, status: &str) -> String {
    if properties.is_empty() {
        return String::new();
    }
    format!("<D:propstat><D:prop>{properties}</D:prop><D:status>HTTP/1.1 {status}</D:status></D:propstat>")
}

/// A property of any namespace without its value.
pub(super) fn nothing(space: &str, name: &str) -> String {
    match space {
        "DAV:" => format!("<D:{name}/>"),
        "" => format!("<{name} xmlns=\"\"/>"),
        _ => format!("<X:{name} xmlns:X=\"{}\"/>", escaped(space)),
    }
}

/// A property with its value, which is XML.
fn element(name: &str, value: &str) -> String {
    match value {
        "" => format!("<D:{name}/>"),
        _ => format!("<D:{name}>{value}</D:{name}>"),
    }
}

/// The value of a property of `DAV:`, as XML.
fn value(
    resource: &Resource,
    around: &Surroundings,
    locks: &[&Lock],
    now: Time,
    name: &str,
) -> Option<String> {
    let is_file = !resource.is_directory;
    match name {
        "resourcetype" if is_file => Some(String::new()),
        "resourcetype" => Some("<D:collection/>".to_owned()),
        "displayname" => Some(escaped(&resource.name)),
        "getlastmodified" => resource.mtime_ns.map(date_of),
        "creationdate" => {
            resource.mtime_ns.map(|mtime_ns| WallTime::from_micros(mtime_ns.div_euclid(1_000)).to_string())
        }
        "getcontentlength" if is_file => Some(resource.size.to_string()),
        "getcontenttype" if is_file => Some(type_of(&resource.name).to_owned()),
        "getcontenttype" => Some("httpd/unix-directory".to_owned()),
        "getetag" if is_file => Some(escaped(&resource.etag)),
        "supportedlock" => Some(SUPPORTED.to_owned()),
        "lockdiscovery" => Some(locks.iter().map(|lock| active(lock, now)).collect()),
        "quota-available-bytes" if !is_file => around.quota.map(|(free, _)| free.to_string()),
        "quota-used-bytes" if !is_file => around.quota.map(|(_, used)| used.to_string()),
        _ => None,
    }
}

/// A lock as `lockdiscovery` tells it.
pub(super) fn active(lock: &Lock, now: Time) -> String {
    let scope = if lock.is_shared { "shared" } else { "exclusive" };
    let depth = if lock.is_deep { "infinity" } else { "0" };
    let seconds = lock.end.since(now).as_micros() / 1_000_000;
    let root = super::href_of(&lock.what, false);
    format!(
        "<D:activelock><D:locktype><D:write/></D:locktype><D:lockscope><D:{scope}/></D:lockscope><D:depth>{depth}</D:depth>\
         <D:owner>{}</D:owner><D:timeout>Second-{seconds}</D:timeout><D:locktoken><D:href>{}</D:href></D:locktoken>\
         <D:lockroot><D:href>{}</D:href></D:lockroot></D:activelock>",
        escaped(&lock.owner),
        escaped(&lock.token),
        escaped(&root)
    )
}

/// Which locks there can be.
const SUPPORTED: &str =
    "<D:lockentry><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>\
    <D:lockentry><D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>";
/// What a multistatus begins with.
pub(super) const HEAD: &str =
    "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:multistatus xmlns:D=\"DAV:\">\n";
/// What it ends with.
pub(super) const TAIL: &str = "</D:multistatus>\n";

#[cfg(test)]
mod tests {
    use super::super::xml::read;
    use super::*;

    fn resource() -> Resource {
        Resource {
            href: "/dav/f/a%3Cb".into(),
            name: "a<b&\"'\u{1}".into(),
            is_directory: false,
            size: 5,
            mtime_ns: Some(784_111_777_000_000_000),
            etag: "\"e\"".into(),
        }
    }

    #[test]
    fn properties_of_any_name_make_a_document() {
        let lock = Lock {
            token: "urn:uuid:1".into(),
            what: "f:a<b".into(),
            is_deep: true,
            is_shared: false,
            owner: "<x>&".into(),
            end: Time::from_micros(9_000_000),
        };
        let these = vec![
            ("DAV:".to_owned(), "getetag".to_owned()),
            ("urn:\"<".to_owned(), "z".to_owned()),
            (String::new(), "n".to_owned()),
        ];
        for asked in [Asked::All, Asked::Names, Asked::These(these)] {
            let around = Surroundings { asked, quota: None };
            let text =
                format!("{HEAD}{}{TAIL}", response(&resource(), &around, &[&lock], Time::from_micros(0)));
            let found = read(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert!(found.iter().any(|one| one.is_dav("getetag")));
            assert!(
                found[0].is_dav("multistatus")
                    && found.iter().all(|one| one.is_dav("multistatus") || one.depth > 0)
            );
        }
    }

    #[test]
    fn what_is_asked_for_is_understood() {
        let asked = |text: &str| asked(&read(text.as_bytes()).unwrap());
        assert_eq!(asked("<propfind xmlns='DAV:'><allprop/></propfind>"), Some(Asked::All));
        assert_eq!(asked("<propfind xmlns='DAV:'><propname/></propfind>"), Some(Asked::Names));
        let these = asked("<propfind xmlns='DAV:'><prop><getetag/><x xmlns='y'/></prop></propfind>").unwrap();
        assert!(these.names("getetag") && !these.names("x"));
        assert_eq!(asked("<other xmlns='DAV:'><allprop/></other>"), None);
        assert_eq!(asked("<propfind/>"), None);
    }
}
