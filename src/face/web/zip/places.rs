//! What an archive is asked for: one place or several, what each is called in it, and what it is called itself.

use std::collections::HashSet;

use crate::face::routes::query_values;
use crate::face::web::rights::folder_of;
use crate::node::api::ApiError;

/// What is to be in an archive: at least one place, and none of the same name as another one.
pub(super) fn places(query: Option<&str>) -> Result<Vec<String>, ApiError> {
    let places = query_values(query, "what")?;
    let refused = |message: String, hint| Err(ApiError::new("bad_request", message, hint));
    if places.is_empty() {
        return refused("the query has no what".to_owned(), "add it after the question mark");
    }
    let mut names = HashSet::new();
    match places.iter().find(|what| !names.insert(last_of(what))) {
        Some(what) => refused(
            format!("two of what is asked for would be called '{}' in the archive", last_of(what)),
            "ask for the directory that they are in, or for two archives",
        ),
        None => Ok(places),
    }
}

/// The folder and the snapshot of `NAME[@SNAPSHOT][:PATH]`.
pub(super) fn head_of(what: &str) -> &str {
    what.split_once(':').map_or(what, |(head, _)| head)
}

/// The path in it; empty: all of the folder.
fn path_of(what: &str) -> &str {
    what.split_once(':').map_or("", |(_, path)| path.trim_matches('/'))
}

/// What it is called in an archive.
pub(super) fn last_of(what: &str) -> &str {
    match path_of(what) {
        "" => folder_of(what),
        path => path.rsplit('/').next().unwrap_or(path),
    }
}

/// What an archive of these is called: as the one, or as the directory that several are in.
pub(super) fn name_for(places: &[String]) -> String {
    let head = head_of(&places[0]).replace('@', " ");
    let path = path_of(&places[0]);
    if let [_] = places {
        return if path.is_empty() { head } else { last_of(&places[0]).to_owned() };
    }
    let above = path.rsplit_once('/').map_or("", |(above, _)| above);
    let is_in_it = |what: &String| path_of(what).rsplit_once('/').map_or("", |(above, _)| above) == above;
    match above.rsplit('/').next() {
        Some(name) if !name.is_empty() && places.iter().all(is_in_it) => name.to_owned(),
        _ => head,
    }
}

/// What comes before all names of a restore: all of a folder is unpacked into a directory of its name.
pub(super) fn below(what: &str) -> &[u8] {
    if path_of(what).is_empty() {
        folder_of(what).as_bytes()
    } else {
        b""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Result<Vec<String>, String> {
        places(Some(query)).map_err(|error| error.code)
    }

    #[test]
    fn an_archive_is_called_as_what_is_in_it() {
        for (query, name) in [
            ("what=photos", "photos"),
            ("what=photos@1a2b3c", "photos 1a2b3c"),
            ("what=photos:lake/day%201/", "day 1"),
            ("what=photos:lake/a.jpg&what=photos:lake/b.jpg", "lake"),
            ("what=photos:a.jpg&what=photos:b.jpg", "photos"),
            ("what=photos:lake/a.jpg&what=photos:sea/b.jpg", "photos"),
        ] {
            assert_eq!(name_for(&asked(query).unwrap()), name, "{query}");
        }
        assert_eq!((below("photos@1a2b3c"), below("photos:lake")), (&b"photos"[..], &b""[..]));
    }

    #[test]
    fn nothing_and_two_of_one_name_are_refused() {
        for wrong in ["", "other=x", "what=photos:a/x&what=photos:b/x", "what=photos&what=photos", "what=%FF"]
        {
            assert_eq!(asked(wrong), Err("bad_request".to_owned()), "{wrong}");
        }
    }
}
