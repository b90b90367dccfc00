//! Patterns against names: the examples of gitignore(5), and the fast match held against its definition.

use super::pattern::{tokens, tokens_match, Component, Pattern, Token};
use proptest::prelude::{any, prop_assert_eq, proptest};

/// Does the pattern match the path?
fn matches(glob: &str, path: &str) -> bool {
    Pattern::parse(glob.as_bytes()).unwrap().matches(path.as_bytes())
}

/// The definition of a component's match, which may take forever.
fn slow(tokens: &[Token], name: &[u8]) -> bool {
    match tokens.split_first() {
        None => name.is_empty(),
        Some((Token::Star | Token::Stars, rest)) => (0..=name.len()).any(|taken| slow(rest, &name[taken..])),
        Some((token, rest)) => {
            name.split_first().is_some_and(|(byte, name)| token.matches(*byte) && slow(rest, name))
        }
    }
}

#[test]
fn a_pattern_without_a_slash_matches_at_every_depth() {
    for (glob, path, expected) in [
        ("*.o", "a/b/c.o", true),
        ("*.o", "c.o/d", false),
        ("core", "a/core", true),
        ("core", "a/core2", false),
        ("c?re", "core", true),
        ("c*e*", "core", true),
        ("*", "x", true),
        ("**", "a/x", true),
        ("a**b", "axxb", true),
        (".*", ".git", true),
        (".*", "git", false),
    ] {
        assert_eq!(matches(glob, path), expected, "{glob} {path}");
    }
}

#[test]
fn a_pattern_with_a_slash_holds_from_its_directory_on() {
    for (glob, path, expected) in [
        ("/a", "a", true),
        ("/a", "b/a", false),
        ("a/b", "a/b", true),
        ("a/b", "x/a/b", false),
        ("a/b", "a/b/c", false),
        ("a/*", "a/b", true),
        ("a/*", "a/b/c", false),
        ("/*", "a", true),
        ("/*", "a/b", false),
        ("/**", "a/b", true),
    ] {
        assert_eq!(matches(glob, path), expected, "{glob} {path}");
    }
}

#[test]
fn two_stars_stand_for_directories() {
    for (glob, path, expected) in [
        ("**/a", "a", true),
        ("**/a", "x/y/a", true),
        ("**/a/b", "x/a/b", true),
        ("a/**", "a", false),
        ("a/**", "a/x", true),
        ("a/**", "a/x/y", true),
        ("a/**/b", "a/b", true),
        ("a/**/b", "a/x/y/b", true),
        ("a/**/b", "a/x/yb", false),
        ("a/**/b/*.c", "a/b/x/b/y.c", true),
        ("a/**/b/**/c", "a/b/b/c/c", true),
        ("a/**/b/**/c", "a/c/b", false),
        ("**/**/a", "a", true),
        ("****/a", "x/y/a", true),
        ("a/x**/b", "a/x/y/b", false),
    ] {
        assert_eq!(matches(glob, path), expected, "{glob} {path}");
    }
}

#[test]
fn brackets_hold_classes_and_a_backslash_takes_meaning_away() {
    for (glob, path, expected) in [
        ("[abc]", "b", true),
        ("[a-cx]", "x", true),
        ("[!a-c]", "b", false),
        ("[^a-c]", "d", true),
        ("[]x]", "]", true),
        ("[!]x]", "]", false),
        ("[a-]", "-", true),
        ("[a/]b", "ab", true),
        ("[a/]b", "/b", false),
        ("[[:digit:]_]", "7", true),
        ("[[:digit:]_]", "_", true),
        ("[[:upper:]]", "a", false),
        ("[[:x]", ":", true),
        ("[\\]]", "]", true),
        ("\\*", "*", true),
        ("\\*", "x", false),
        ("a\\?", "ab", false),
        ("**\\/a\\/b", "x/a/b", true),
    ] {
        assert_eq!(matches(glob, path), expected, "{glob} {path}");
    }
    let bytes = Pattern::parse(b"\xff*[\x80-\x90]").unwrap();
    assert!(bytes.matches(b"\xff\xfe\x85") && !bytes.matches(b"\xff\xfe\x95"), "names are bytes");
}

#[test]
fn a_pattern_that_can_match_nothing_is_none() {
    for glob in ["[a", "[", "[]", "a\\", "[[:nonsense:]]", "[a-"] {
        assert_eq!(Pattern::parse(glob.as_bytes()), None, "{glob}");
    }
}

#[test]
fn many_stars_do_not_take_forever() {
    let glob = ["*a".repeat(100), "**/*a/".repeat(100)].concat();
    let path = ["a".repeat(250), "/aaaaaaaaaaaaaaa".repeat(200)].concat();
    assert!(!matches(&format!("{glob}b"), &path));
}

proptest! {
    #[test]
    fn the_fast_match_is_the_slow_one(glob in "[ab*?]{0,9}", name in "[ab]{0,12}") {
        let tokens = tokens(glob.as_bytes()).unwrap();
        prop_assert_eq!(tokens_match(&tokens, name.as_bytes()), slow(&tokens, name.as_bytes()));
        let component = Component::new(&tokens);
        if component != Component::Any {
            prop_assert_eq!(component.matches(name.as_bytes()), slow(&tokens, name.as_bytes()));
        }
    }

    #[test]
    fn components_match_like_tokens(glob in "[ab*]{0,9}", name in "[ab]{0,12}") {
        // A star between slashes is `**`, a letter a component: the lists are matched by the same rule.
        let tokens = tokens(glob.as_bytes()).unwrap();
        let spread: Vec<String> = glob.chars().map(|one| if one == '*' { "**".into() } else { one.to_string() }).collect();
        let path: Vec<String> = name.chars().map(String::from).collect();
        let pattern = Pattern::parse(format!("/x/{}/x", spread.join("/")).as_bytes()).unwrap();
        if !glob.is_empty() && !name.is_empty() {
            let path = format!("x/{}/x", path.join("/"));
            prop_assert_eq!(pattern.matches(path.as_bytes()), slow(&tokens, name.as_bytes()));
        }
    }

    #[test]
    fn any_bytes_are_a_pattern_or_are_not(glob in proptest::collection::vec(any::<u8>(), 0..40), path in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Some(pattern) = Pattern::parse(&glob) {
            let _ = pattern.matches(&path);
        }
    }
}
