//! What is to be written and run to make a service of this program: pure, from what there is to steps.

use std::path::{Path, PathBuf};

use super::grant::Grant;
use serde_json::{json, Value};

/// The user of the service, if nobody says another.
pub(super) const SERVICE_USER: &str = "nuthatch";

/// Where drop-ins of the unit are.
pub(super) const DROP_INS: &str = "/etc/systemd/system/nuthatch.service.d";

/// The unit as it is in the sources.
const UNIT: &str = include_str!("../../../../systemd/nuthatch.service");

/// Where the program is, in that unit.
const UNIT_PROGRAM: &str = "/usr/local/bin/nuthatch";

/// Where a unit goes that no package has brought along.
const UNIT_PATH: &str = "/etc/systemd/system/nuthatch.service";

/// Where packages put units.
const PACKAGED: [&str; 2] =
    ["/usr/lib/systemd/system/nuthatch.service", "/lib/systemd/system/nuthatch.service"];

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Write a file.
    Write {
        /// Where.
        path: String,
        /// What.
        text: String,
    },
    /// Copy the program.
    Copy {
        /// From where it runs now.
        from: PathBuf,
        /// To where the service finds it.
        to: String,
    },
    /// Run a program of the system.
    Run(Vec<String>),
}

impl Step {
    /// As JSON.
    pub(super) fn told(&self) -> Value {
        match self {
            Self::Write { path, text } => json!({"write": path, "text": text}),
            Self::Copy { from, to } => json!({"copy": from.to_string_lossy(), "to": to}),
            Self::Run(words) => json!({"run": words}),
        }
    }

    /// For people; `whole`: with what is written.
    pub(super) fn shown(&self, whole: bool) -> String {
        match self {
            Self::Write { path, text } if whole => {
                let lines: Vec<String> = text.lines().map(|line| format!("    {line}\n")).collect();
                format!("write {path}\n{}", lines.concat())
            }
            Self::Write { path, .. } => format!("write {path}\n"),
            Self::Copy { from, to } => format!("copy  {} to {to}\n", from.display()),
            Self::Run(words) => format!("run   {}\n", words.join(" ")),
        }
    }
}

/// What is wanted.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// Where the program runs from.
    program: &'a Path,
    /// As whom the service runs.
    user: &'a str,
    /// Which folders it may use.
    grants: &'a [Grant],
}

impl<'a> Plan<'a> {
    /// For a program that runs from there.
    pub(super) const fn new(program: &'a Path, user: &'a str, grants: &'a [Grant]) -> Self {
        Self { program, user, grants }
    }

    /// All steps that lead there, also those that were done before. `has_user`: the service's own user is there; `is_there`: something
    /// stands at a path.
    pub(super) fn steps(&self, has_user: bool, is_there: impl Fn(&str) -> bool) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.user == SERVICE_USER && !has_user {
            let make = "useradd --system --user-group --no-create-home --home-dir /var/lib/nuthatch --shell /usr/sbin/nologin";
            steps.push(run(&format!("{make} {SERVICE_USER}")));
        }
        if !PACKAGED.iter().any(|path| is_there(path)) {
            let installed = ["/usr", "/opt"].iter().any(|place| self.program.starts_with(place));
            let program =
                if installed { self.program.to_string_lossy().into_owned() } else { UNIT_PROGRAM.into() };
            if !installed {
                steps.push(Step::Copy { from: self.program.to_path_buf(), to: UNIT_PROGRAM.into() });
            }
            let text =
                UNIT.replace(&format!("ExecStart={UNIT_PROGRAM}"), &format!("ExecStart={}", word(&program)));
            steps.push(Step::Write { path: UNIT_PATH.into(), text });
        }
        let path = format!("{DROP_INS}/user.conf");
        if self.user != SERVICE_USER || is_there(&path) {
            // An empty group is the user's own.
            let text = format!(
                "# Made by `nuthatch setup-service --user`.\n[Service]\nUser={}\nGroup=\n",
                self.user
            );
            steps.push(Step::Write { path, text });
        }
        let granted = self.grants.iter().filter_map(|grant| Some((grant, grant.drop_in()?)));
        steps.extend(granted.map(|(grant, text)| Step::Write { path: drop_in_path(&grant.directory), text }));
        steps
    }
}

/// What ends every plan; `changed`: something was written.
pub(super) fn end(changed: bool) -> Vec<Step> {
    if changed {
        vec![
            run("systemctl daemon-reload"),
            run("systemctl enable nuthatch.service"),
            run("systemctl restart nuthatch.service"),
        ]
    } else {
        vec![run("systemctl enable --now nuthatch.service")]
    }
}

/// As whom the service runs, from the drop-in that says so.
pub(super) fn user_of(drop_in: &str) -> String {
    let user = drop_in.lines().find_map(|line| line.strip_prefix("User="));
    user.unwrap_or(SERVICE_USER).to_owned()
}

/// A command of plain words.
fn run(line: &str) -> Step {
    Step::Run(line.split(' ').map(str::to_owned).collect())
}

/// A text as one word of a unit file.
pub(super) fn word(text: &str) -> String {
    let plain = |one: char| one.is_ascii_alphanumeric() || "/._-+,@~".contains(one);
    if text.chars().all(plain) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%"))
}

/// Where the drop-in for a folder is: a name that a person recognises, and no two folders have.
fn drop_in_path(directory: &str) -> String {
    let plain = |one: char| if one.is_ascii_alphanumeric() || one == '.' { one } else { '-' };
    let name: String = directory.chars().map(plain).take(80).collect();
    let digest = blake3::hash(directory.as_bytes()).to_hex();
    format!("{DROP_INS}/folder{name}-{}.conf", &digest.as_str()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_lies_about_is_installed_and_one_in_its_place_is_used() {
        let steps = |program: &str| Plan::new(Path::new(program), SERVICE_USER, &[]).steps(true, |_| false);
        let [Step::Copy { to, .. }, Step::Write { path, text }] = &steps("/home/anna/nuthatch")[..] else {
            panic!("other steps")
        };
        assert_eq!((to.as_str(), path.as_str()), (UNIT_PROGRAM, UNIT_PATH));
        assert_eq!(text, UNIT);
        let [Step::Write { text, .. }] = &steps("/opt/my tools/nuthatch")[..] else { panic!("other steps") };
        assert!(text.contains("\nExecStart=\"/opt/my tools/nuthatch\" run\n"), "{text}");
    }

    #[test]
    fn a_packaged_unit_is_left_alone_and_another_user_stays() {
        let program = Path::new("/usr/bin/nuthatch");
        let packaged = |path: &str| PACKAGED.contains(&path);
        assert_eq!(Plan::new(program, SERVICE_USER, &[]).steps(true, packaged), []);
        let steps = Plan::new(program, "anna", &[]).steps(true, packaged);
        let [Step::Write { text, .. }] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!(user_of(text), "anna");
        assert_eq!(user_of(""), SERVICE_USER);
        // And back again: what says the user is written anew, for it is read from there.
        let back = Plan::new(program, SERVICE_USER, &[])
            .steps(true, |path| packaged(path) || path.ends_with("user.conf"));
        assert!(matches!(&back[..], [Step::Write { text, .. }] if user_of(text) == SERVICE_USER));
    }

    #[test]
    fn words_of_a_unit_file_are_what_they_were() {
        assert_eq!(word("/srv/photos"), "/srv/photos");
        assert_eq!(word("/srv/our photos: 100%"), "\"/srv/our photos: 100%%\"");
        assert_eq!(word("a\"b\\c"), "\"a\\\"b\\\\c\"");
        let (one, other) = (drop_in_path("/srv/a b"), drop_in_path("/srv/a-b"));
        assert!(one.starts_with("/etc/systemd/system/nuthatch.service.d/folder-srv-a-b-") && one != other);
    }
}
