//! Hooks as real processes: what they get, what is refused, what becomes of those that do not end.

use super::*;
use std::fs::{create_dir, read_to_string, set_permissions, write, Permissions};
use std::os::unix::fs::{symlink, PermissionsExt as _};
use tempfile::TempDir;

/// A home with a directory of hooks.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    create_dir(home.path().join("hooks")).unwrap();
    set_permissions(home.path().join("hooks"), Permissions::from_mode(0o755)).unwrap();
    home
}

/// Puts a hook there.
fn put(home: &TempDir, script: &str) -> PathBuf {
    let path = home.path().join("hooks/note");
    write(&path, script).unwrap();
    set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

/// Runs it.
fn run(home: &TempDir, body: &str, limit: Span) -> HookEnd {
    let run = HookRun { directory: "hooks".into(), name: "note", event: "note", body: body.into() };
    execute(home.path(), &home.path().join("hooks"), &run, limit)
}

/// Long enough for any that ends.
const LONG: Span = Span::from_secs(600);

/// Why it was not run.
fn refusal(home: &TempDir) -> String {
    match run(home, "{}", LONG) {
        HookEnd::Refused(why) => why,
        other => panic!("it was not refused: {other:?}"),
    }
}

#[test]
fn a_hook_gets_the_event_a_small_environment_and_the_home() {
    let home = home();
    put(&home, "#!/bin/sh\ncat > got\nenv | sort > environment\npwd > place\necho first line >&2\necho second >&2\nexit 3\n");
    let body = format!("{{\"message\":\"{}\"}}", "m".repeat(200_000));
    let end = run(&home, &body, LONG);
    assert_eq!(end, HookEnd::Ended { code: 3, line: "first line".into() });
    assert_eq!(read_to_string(home.path().join("got")).unwrap(), format!("{body}\n"));
    let environment = read_to_string(home.path().join("environment")).unwrap();
    // The shell itself sets a few.
    let given = environment
        .lines()
        .filter(|line| !["PWD=", "OLDPWD=", "SHLVL=", "_="].iter().any(|own| line.starts_with(own)));
    assert_eq!(given.collect::<Vec<_>>(), ["NUTHATCH_EVENT=note", &format!("PATH={SEARCH_PATH}")]);
    let place = read_to_string(home.path().join("place")).unwrap();
    assert_eq!(canonicalize(place.trim_end()).unwrap(), canonicalize(home.path()).unwrap());
}

#[test]
fn a_hook_that_reads_nothing_or_says_much_ends_all_the_same() {
    let home = home();
    put(&home, "#!/bin/sh\nexec 0<&-\nhead -c 1000000 /dev/zero >&2\nexit 0\n");
    let HookEnd::Ended { code: 0, line } = run(&home, &"b".repeat(500_000), LONG) else {
        panic!("it failed")
    };
    assert!(line.len() <= HOOK_LINE_BYTES_MAX && !line.contains('\0'));
    put(&home, "#!/bin/sh\nkill -9 $$\n");
    assert_eq!(run(&home, "{}", LONG), HookEnd::Killed { reason: "by signal 9".into(), line: String::new() });
    // Who leaves somebody behind with the pipe open has ended.
    put(&home, "#!/bin/sh\nsleep 600 &\necho $! > left\nexit 0\n");
    assert_eq!(run(&home, "{}", LONG), HookEnd::Ended { code: 0, line: String::new() });
    let left: i32 = read_to_string(home.path().join("left")).unwrap().trim().parse().unwrap();
    rustix::process::kill_process(Pid::from_raw(left).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn a_hook_that_does_not_end_is_killed_with_what_it_started() {
    let home = home();
    put(&home, "#!/bin/sh\nsleep 600 &\necho $$ $! > both\necho waiting >&2\nwait\n");
    // It may be killed before it has written anything: until it has, it gets more time.
    let mut limit = Span::from_millis(50);
    let both = loop {
        let end = run(&home, "{}", limit);
        let HookEnd::Killed { reason, .. } = end else { panic!("it was not killed: {end:?}") };
        assert!(reason.starts_with("after "), "{reason}");
        match read_to_string(home.path().join("both")) {
            Ok(both) if both.ends_with('\n') => break both,
            _ => limit = limit.times(2),
        }
    };
    for pid in both.split_whitespace() {
        // What it started is waited for by whoever the system gives it to, which takes a moment.
        let is_there = || {
            let stat = read_to_string(format!("/proc/{pid}/stat"));
            stat.is_ok_and(|stat| {
                !stat.contains(") Z ") && (stat.contains("(sleep)") || stat.contains("(note)"))
            })
        };
        while is_there() {
            std::thread::yield_now();
        }
    }
}

#[test]
fn what_others_could_change_and_what_is_no_executable_is_refused_in_words() {
    let home = home();
    assert_eq!(run(&home, "{}", LONG), HookEnd::Absent);
    let path = put(&home, "#!/bin/sh\nexit 0\n");
    let mode = |path: &Path, mode: u32| set_permissions(path, Permissions::from_mode(mode)).unwrap();
    mode(&path, 0o777);
    assert!(refusal(&home).contains("chmod go-w"), "{}", refusal(&home));
    mode(&path, 0o775);
    assert!(refusal(&home).contains("others may write"));
    mode(&path, 0o644);
    assert!(refusal(&home).contains("chmod +x"));
    mode(&path, 0o755);
    for wrong in [0o777, 0o1777] {
        mode(&home.path().join("hooks"), wrong);
        assert!(refusal(&home).contains("others may write"), "{wrong:o}");
    }
    mode(&home.path().join("hooks"), 0o755);
    mode(home.path(), 0o777);
    assert!(refusal(&home).contains("others may write"), "the directory above");
    mode(home.path(), 0o700);
    assert_eq!(run(&home, "{}", LONG), HookEnd::Ended { code: 0, line: String::new() });
    put(&home, "no interpreter is named here\n");
    assert!(refusal(&home).contains("#!/bin/sh"), "{}", refusal(&home));
    put(&home, "#!/does/not/exist\n");
    assert!(refusal(&home).contains("cannot be started"));
    std::fs::remove_file(&path).unwrap();
    create_dir(&path).unwrap();
    assert!(refusal(&home).contains("is no file"));
    std::fs::remove_dir(&path).unwrap();
    symlink("/bin/true", &path).unwrap();
    assert!(refusal(&home).contains("symbolic link"));
    if geteuid().is_root() {
        std::fs::remove_file(&path).unwrap();
        let path = put(&home, "#!/bin/sh\nexit 0\n");
        std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
        assert!(refusal(&home).contains("belongs to another user"), "{}", refusal(&home));
    }
}

#[test]
fn where_there_is_no_hook_no_thread_is_started_and_the_end_is_told() {
    let home = home();
    let (words, heard) = smol::channel::unbounded();
    let ask = |directory: &str| {
        let run = HookRun { directory: directory.into(), name: "note", event: "note", body: "{}".into() };
        start(home.path(), run, &words);
        heard.recv_blocking().unwrap()
    };
    let is_absent = |word: &Word| matches!(word, Word::Errand(ErrandEnd::Hook(HookEnd::Absent)));
    assert!(is_absent(&ask("hooks")) && is_absent(&ask("nowhere")));
    put(&home, "#!/bin/sh\nexit 0\n");
    let word = ask("hooks");
    assert!(matches!(word, Word::Errand(ErrandEnd::Hook(HookEnd::Ended { code: 0, .. }))), "{word:?}");
    // An absolute path is meant as it is.
    let word = ask(home.path().join("hooks").to_str().unwrap());
    assert!(matches!(word, Word::Errand(ErrandEnd::Hook(HookEnd::Ended { code: 0, .. }))), "{word:?}");
}
