//! What a person has put on the boot partition, as values: `nuthatch-boot.toml`, and the files that Raspberry Pi Imager makes.
//!
//! Text in, wishes and complaints out; touches no file. What is wrong is left out and said, the rest counts. The keys are
//! explained in docs/APPLIANCE.md.

use std::net::SocketAddr;

use toml_edit::{DocumentMut, ImDocument, Item, TableLike, Value};

/// All that can be wished.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Wishes {
    /// How the node is called; the host's name comes from it.
    pub name: Option<String>,
    /// The place that could burn down as one.
    pub site: Option<String>,
    /// A name of the time zone database.
    pub timezone: Option<String>,
    /// The wireless network.
    pub wifi: Option<Wifi>,
    /// Two letters; which channels the radio may use.
    pub country: Option<String>,
    /// Whether there is to be an SSH server.
    pub ssh: bool,
    /// Who may log in, a line each.
    pub keys: Vec<String>,
    /// A user and the hash of a password.
    pub user: Option<(String, String)>,
    /// Eight digits from another node.
    pub code: Option<String>,
    /// Where that node is.
    pub peer: Option<SocketAddr>,
    /// The disk that is to be formatted, by the name that the console shows.
    pub format: Option<String>,
}

/// A wireless network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wifi {
    /// Its name.
    pub ssid: String,
    /// Its password, or 64 hexadecimal digits made from it; empty: an open network.
    pub password: String,
    /// It does not tell its name.
    pub hidden: bool,
}

/// All keys of `nuthatch-boot.toml`, with their tables.
const KEYS: [&str; 13] = [
    "name",
    "site",
    "timezone",
    "wifi.ssid",
    "wifi.password",
    "wifi.country",
    "wifi.hidden",
    "ssh.enabled",
    "ssh.keys",
    "join.code",
    "join.peer",
    "data.disk",
    "data.format",
];

/// Those whose values nobody should find on the card later. Nor those of keys that do not exist, for they may be the same, misspelt.
const SECRETS: [&str; 2] = ["wifi.password", "join.code"];

impl Wishes {
    /// Takes over `nuthatch-boot.toml`; whether it said anything at all. Complaints go to `said`.
    ///
    /// # Errors
    /// When the file cannot be read as TOML: then nothing of it counts.
    pub fn read(&mut self, text: &str, said: &mut Vec<String>) -> Result<bool, String> {
        let document = parse(text)?;
        let root: &dyn TableLike = document.as_table();
        for (key, item) in leaves(root) {
            if !KEYS.contains(&key.as_str()) {
                said.push(format!("{key}: there is no such key{}", nearest(&key)));
                continue;
            }
            let Some(value) = item.as_value() else {
                said.push(format!("{key}: a value is wanted, not a table"));
                continue;
            };
            if let Err(why) = self.take(&key, value) {
                said.push(format!("{key}: {why}; left out"));
            }
        }
        self.check(root, said);
        Ok(!root.is_empty())
    }

    /// One key.
    fn take(&mut self, key: &str, value: &Value) -> Result<(), String> {
        match key {
            "name" => self.name = Some(name(text(value)?)?),
            "site" => self.site = Some(name(text(value)?)?),
            "timezone" => self.timezone = Some(zone(text(value)?)?),
            "wifi.ssid" => self.wifi_mut().ssid = ssid(text(value)?)?,
            "wifi.password" => self.wifi_mut().password = wifi_password(text(value)?)?,
            "wifi.country" => self.country = Some(country(text(value)?)?),
            "wifi.hidden" => self.wifi_mut().hidden = truth(value)?,
            "ssh.enabled" => self.ssh = truth(value)?,
            "ssh.keys" => self.keys = keys(value)?,
            "join.code" => self.code = Some(code(text(value)?)?),
            "join.peer" => {
                let peer = text(value)?.parse();
                self.peer = Some(peer.map_err(|_| "IP:PORT is wanted, such as 192.168.1.20:7117")?);
            }
            "data.disk" => self.format = Some(disk(text(value)?)?),
            "data.format" if text(value)? == "yes" => {}
            "data.format" => return Err("only \"yes\" formats a disk".into()),
            _ => return Err("there is no such key".into()),
        }
        Ok(())
    }

    /// What only makes sense together.
    fn check(&mut self, root: &dyn TableLike, said: &mut Vec<String>) {
        let agreed = find(root, "data", "format").and_then(Item::as_str) == Some("yes");
        if self.format.is_some() != agreed {
            said.push(
                "data: a disk is formatted only with both disk = \"NAME\" and format = \"yes\"; left out"
                    .into(),
            );
            self.format = None;
        }
        if self.wifi.as_ref().is_some_and(|wifi| wifi.ssid.is_empty()) {
            said.push("wifi: the name of the network (ssid) is missing; left out".into());
            self.wifi = None;
        }
        if self.peer.is_some() && self.code.is_none() {
            said.push("join: the code is missing; left out".into());
            self.peer = None;
        }
        self.ssh |= !self.keys.is_empty();
    }

    /// The wireless network, made if there is none yet.
    fn wifi_mut(&mut self) -> &mut Wifi {
        self.wifi.get_or_insert_with(|| Wifi { ssid: String::new(), password: String::new(), hidden: false })
    }

    /// Takes over what makes sense here of the imager's `custom.toml`. Its other keys are none of ours.
    ///
    /// # Errors
    /// When it is no TOML.
    pub fn read_custom(&mut self, file: &str, said: &mut Vec<String>) -> Result<bool, String> {
        let document = parse(file)?;
        let root: &dyn TableLike = document.as_table();
        let renamed = [
            ("system", "hostname", "name"),
            ("wlan", "ssid", "wifi.ssid"),
            ("wlan", "password", "wifi.password"),
            ("wlan", "country", "wifi.country"),
            ("wlan", "hidden", "wifi.hidden"),
            ("ssh", "enabled", "ssh.enabled"),
            ("ssh", "authorized_keys", "ssh.keys"),
            ("locale", "timezone", "timezone"),
        ];
        for (table, key, own) in renamed {
            let Some(value) = find(root, table, key).and_then(Item::as_value) else { continue };
            if let Err(why) = self.take(own, value) {
                said.push(format!("custom.toml: {table}.{key}: {why}; left out"));
            }
        }
        let of_user = |key| find(root, "user", key).and_then(Item::as_str);
        if let (Some(user), Some(hash)) = (of_user("name"), of_user("password")) {
            self.read_user(&format!("{user}:{hash}"), "custom.toml", said);
        }
        self.check(root, said);
        Ok(!root.is_empty())
    }

    /// Takes over the line `user:hash` of `userconf.txt`.
    pub fn read_user(&mut self, line: &str, file: &str, said: &mut Vec<String>) {
        let first = line.trim_start_matches('\u{feff}').lines().next().unwrap_or_default().trim();
        let Some((user, hash)) = first.split_once(':') else {
            said.push(format!("{file}: a line such as user:$6$... is wanted; left out"));
            return;
        };
        let is_name = user.len() <= 31
            && user
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte))
            && user.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        let is_hash =
            hash.starts_with('$') && hash.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        if is_name && is_hash {
            self.user = Some((user.to_owned(), hash.to_owned()));
        } else {
            said.push(format!("{file}: a name in small letters and a hash as `openssl passwd -6` makes it are wanted; left out"));
        }
    }
}

/// The same file without its secrets, and with every line made a comment: it is read once.
#[must_use]
pub fn used(text: &str) -> String {
    let mut rest = String::new();
    // What is no TOML is not kept: nobody knows where a secret stands in it.
    if let Ok(mut document) = strip(text).parse::<DocumentMut>() {
        let keeps = |key: &str| KEYS.contains(&key) && !SECRETS.contains(&key);
        for (key, item) in document.iter_mut() {
            if let Some(table) = item.as_table_like_mut() {
                let secret =
                    |(inner, _): &(toml_edit::KeyMut<'_>, &mut Item)| !keeps(&format!("{key}.{inner}"));
                table.iter_mut().filter(secret).for_each(|(_, item)| *item = toml_edit::value("(wiped)"));
            } else if !keeps(&key) {
                *item = toml_edit::value("(wiped)");
            }
        }
        rest = document.to_string();
    }
    let commented = |line: &str| match line.trim() {
        "" => "\n".to_owned(),
        line if line.starts_with('#') => format!("{line}\n"),
        line => format!("#used# {line}\n"),
    };
    rest.lines().map(commented).collect()
}

/// Reads a file as TOML, whatever editor it comes from.
fn parse(text: &str) -> Result<ImDocument<String>, String> {
    if text.contains('\0') {
        return Err("is not UTF-8 text; save it as UTF-8".into());
    }
    let text = strip(text);
    ImDocument::parse(text.to_owned()).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line}: {}", error.message().replace('\n', ", "))
    })
}

/// Without the mark that some editors begin a file with. Windows' line ends are TOML's too.
fn strip(text: &str) -> &str {
    text.trim_start_matches('\u{feff}')
}

/// Every key of the file, with the name of its table.
fn leaves(root: &dyn TableLike) -> Vec<(String, &Item)> {
    let mut found = Vec::new();
    for (key, item) in root.iter() {
        match item.as_table_like() {
            Some(table) => found.extend(table.iter().map(|(inner, item)| (format!("{key}.{inner}"), item))),
            None => found.push((key.to_owned(), item)),
        }
    }
    found
}

/// A key in a table.
fn find<'a>(root: &'a dyn TableLike, table: &str, key: &str) -> Option<&'a Item> {
    root.get(table)?.as_table_like()?.get(key)
}

/// What was perhaps meant: the same last word, or the same beginning.
fn nearest(key: &str) -> String {
    let last = key.rsplit('.').next().unwrap_or(key).to_ascii_lowercase();
    let same = |known: &&&str| {
        let own = known.rsplit('.').next().unwrap_or(known);
        own == last || last.starts_with(own) || last.len() > 2 && own.starts_with(&last[..3.min(last.len())])
    };
    match KEYS.iter().find(same) {
        Some(known) if last.is_ascii() => format!("; did you mean {known}?"),
        _ => format!("; the keys are {}", KEYS.join(", ")),
    }
}

/// A text.
fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "a text in quotes is wanted".to_owned())
}

/// True or false.
fn truth(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "true or false is wanted".to_owned())
}

/// A name of a node or site.
fn name(text: &str) -> Result<String, String> {
    let good = (1..=64).contains(&text.len()) && !text.chars().any(char::is_control);
    good.then(|| text.to_owned())
        .ok_or_else(|| "1 to 64 bytes without control characters are wanted".to_owned())
}

/// A name of the time zone database. Whether it is there is seen when it is used.
fn zone(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
    let good = (1..=64).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('/');
    good.then(|| text.to_owned()).ok_or_else(|| "a name such as Europe/Berlin is wanted".to_owned())
}

/// The name of a wireless network.
fn ssid(text: &str) -> Result<String, String> {
    let good = (1..=32).contains(&text.len());
    good.then(|| text.to_owned()).ok_or_else(|| "1 to 32 bytes are wanted".to_owned())
}

/// The password of a wireless network.
fn wifi_password(text: &str) -> Result<String, String> {
    let phrase =
        (8..=63).contains(&text.len()) && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let key = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let good = text.is_empty() || phrase || key;
    good.then(|| text.to_owned())
        .ok_or_else(|| "8 to 63 ASCII characters, or a key of 64 hexadecimal digits, are wanted".to_owned())
}

/// A country.
fn country(text: &str) -> Result<String, String> {
    let good = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    good.then(|| text.to_ascii_uppercase()).ok_or_else(|| "two letters such as DE are wanted".to_owned())
}

/// Public keys.
fn keys(value: &Value) -> Result<Vec<String>, String> {
    let wanted = || "a list of public keys is wanted, each as in an id_ed25519.pub".to_owned();
    let one = |value: &Value| {
        let line = value.as_str().map(str::trim).filter(|line| !line.chars().any(char::is_control))?;
        let kind = line.split(' ').next()?;
        let good = (kind.starts_with("ssh-") || kind.starts_with("ecdsa-") || kind.starts_with("sk-"))
            && line.split(' ').nth(1).is_some_and(|key| key.len() > 30);
        good.then(|| line.to_owned())
    };
    match value {
        Value::Array(list) => list.iter().map(|value| one(value).ok_or_else(wanted)).collect(),
        value => Ok(vec![one(value).ok_or_else(wanted)?]),
    }
}

/// A join code: eight digits, perhaps in groups.
fn code(text: &str) -> Result<String, String> {
    let digits: String = text.chars().filter(|digit| !matches!(digit, ' ' | '-')).collect();
    let good = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    good.then_some(digits)
        .ok_or_else(|| "the eight digits that `nuthatch invite` shows are wanted".to_owned())
}

/// The name of a disk.
fn disk(text: &str) -> Result<String, String> {
    let good = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    good.then(|| text.to_owned())
        .ok_or_else(|| "a disk's name or serial number as the console shows it is wanted".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1dCB0aGlzIGlzIG5vIHJlYWwga2V5 ada@lap";

    /// Reads a file: wishes and complaints.
    fn read(text: &str) -> (Wishes, Vec<String>) {
        let (mut wishes, mut said) = (Wishes::default(), Vec::new());
        assert_eq!(wishes.read(text, &mut said), Ok(!text.is_empty()));
        (wishes, said)
    }

    #[test]
    fn everything_can_be_said_with_windows_line_ends_too() {
        let file = format!(
            "\u{feff}name = \"Attic box\"\nsite = \"home\"\ntimezone = \"Europe/Berlin\"\n\
            [wifi]\nssid = \"B\u{fc}hne\"\npassword = \"correct horse\"\ncountry = \"de\"\n\
            [ssh]\nkeys = [\"{KEY}\"]\n[join]\ncode = \"1234-5678\"\npeer = \"192.168.1.20:7117\"\n\
            [data]\ndisk = \"sda\"\nformat = \"yes\"\n"
        );
        for file in [file.clone(), file.replace('\n', "\r\n")] {
            let (wishes, said) = read(&file);
            assert_eq!(said, Vec::<String>::new());
            assert_eq!(wishes.name.as_deref(), Some("Attic box"));
            assert_eq!(wishes.country.as_deref(), Some("DE"));
            assert_eq!(wishes.wifi.as_ref().map(|wifi| wifi.password.as_str()), Some("correct horse"));
            assert_eq!((wishes.ssh, wishes.keys.as_slice()), (true, [KEY.to_owned()].as_slice()));
            assert_eq!(wishes.code.as_deref(), Some("12345678"));
            assert_eq!(wishes.format.as_deref(), Some("sda"));
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_the_rest_counts() {
        let (wishes, said) = read(
            "nmae = 1\nsite = \"home\"\n[wifi]\npasswort = \"x\"\nssid = \"net\"\npassword = \"short\"\n[join]\ncode = \"12\"\n",
        );
        assert_eq!(wishes.site.as_deref(), Some("home"));
        assert!(wishes.code.is_none() && wishes.name.is_none());
        assert!(said[0].starts_with("nmae: there is no such key"), "{said:?}");
        assert!(said[1].contains("did you mean wifi.password?"), "{said:?}");
        assert!(said[2].starts_with("wifi.password: 8 to 63"), "{said:?}");
        assert!(said[3].starts_with("join.code: the eight digits"), "{said:?}");
        let mut wishes = Wishes::default();
        let broken = wishes.read("name = \"a\"\nsite = home\n", &mut Vec::new());
        assert!(broken.as_ref().is_err_and(|why| why.starts_with("line 2: ")), "{broken:?}");
    }

    #[test]
    fn a_disk_is_formatted_only_after_a_clear_yes() {
        for data in [
            "disk = \"sda\"",
            "disk = \"sda\"\nformat = \"no\"",
            "disk = \"sda\"\nformat = true",
            "format = \"yes\"",
        ] {
            let (wishes, said) = read(&format!("[data]\n{data}\n"));
            assert_eq!(wishes.format, None, "{data}");
            assert!(!said.is_empty(), "{data}");
        }
    }

    #[test]
    fn a_file_that_was_used_has_no_secrets_and_says_nothing() {
        let file = "# mine\nname = \"attic\" # here\n[wifi]\nssid = \"net\"\npassword = \"\"\"correct\nhorse\"\"\"\n[join]\ncode = \"1234-5678\"\n";
        let after = used(file);
        assert!(after.contains("# mine\n#used# name = \"attic\" # here\n"), "{after}");
        assert!(!after.contains("horse") && !after.contains("5678"), "{after}");
        let (mut nothing, mut said) = (Wishes::default(), Vec::new());
        assert_eq!(nothing.read(&after, &mut said), Ok(false));
        assert_eq!((nothing, said), (Wishes::default(), Vec::new()));
        let misspelt = used("passwort = \"horse\"\n[wifi]\npasswd = \"horse\"\nssid = \"net\"\n");
        assert!(!misspelt.contains("horse") && misspelt.contains("net"), "{misspelt}");
        assert_eq!(used("password = \"horse\n"), "");
        assert_eq!(
            used("[wifi]\r\npassword = \"horse\"\r\n"),
            "#used# [wifi]\n#used# password = \"(wiped)\"\n"
        );
    }

    #[test]
    fn the_imagers_files_are_understood() {
        let (mut wishes, mut said) = (Wishes::default(), Vec::new());
        let custom = format!(
            "config_version = 1\n[system]\nhostname = \"attic\"\n[user]\nname = \"ada\"\npassword = \"$5$x$y\"\npassword_encrypted = true\n\
            [ssh]\nenabled = true\nauthorized_keys = [\"{KEY}\"]\n[wlan]\nssid = \"net\"\npassword = \"correct horse\"\ncountry = \"GB\"\n\
            [locale]\nkeymap = \"gb\"\ntimezone = \"Europe/London\"\n"
        );
        assert_eq!(wishes.read_custom(&custom, &mut said), Ok(true));
        assert_eq!(said, Vec::<String>::new());
        assert_eq!(wishes.user, Some(("ada".into(), "$5$x$y".into())));
        assert_eq!((wishes.name.as_deref(), wishes.ssh), (Some("attic"), true));
        wishes.read_user("Eve;rm:x\n", "userconf.txt", &mut said);
        assert_eq!(said.len(), 1);
        assert_eq!(wishes.user, Some(("ada".into(), "$5$x$y".into())));
    }
}
