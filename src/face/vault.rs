//! The commands around membership: `init`, `join`, `recover`, `invite`, `nodes`, `remove`.
//!
//! `init`, `join` and `recover` also work where no node runs yet: the node then runs inside this process until the
//! call is done. The recovery phrase is printed once and kept nowhere.

use std::io::{stderr, stdin, IsTerminal as _, Write as _};

use super::exit::{Exit, Fail};
use super::link::Link;
use super::options::{Init, Invite, Join, Recover, Remove, RoleName, Who};
use super::out::Out;
use super::report::{amount, items, nodes, short, word};
use super::secret::{join_code, recovery_phrase};
use super::show::{span, text};
use crate::base::units::Span;
use crate::feed::entry::Role;
use crate::node::api::{Call, Removal};
use qrcode::render::unicode::Dense1x2;
use qrcode::QrCode;
use serde_json::Value;

/// `init`: a new vault.
///
/// # Errors
/// When the node is a member already, or its home cannot be used.
pub fn init(link: &Link, out: Out, options: Init) -> Result<Exit, Fail> {
    let Who { name, site } = options.who;
    let mut found = Value::Null;
    let ending = link.call_anywhere(Call::Init { name, site }, &mut |value| {
        found = value;
        Ok(())
    })?;
    out.both(&found, vault_made)?;
    out.advice("Next: `nuthatch run` on this machine, then `nuthatch invite` for each other one.");
    Ok(ending.into())
}

/// What is told of a new vault.
fn vault_made(value: &Value) -> String {
    let words: Vec<&str> = word(value, "recovery_phrase").split_whitespace().collect();
    let mut out = format!(
        "A new vault ({}) with this node, {} ({}), as its first member.\n\nIts recovery phrase:\n\n",
        short(word(value, "vault")),
        text(word(value, "name")),
        short(word(value, "node"))
    );
    let rows = words.len().div_ceil(4);
    for row in 0..rows {
        let cells = (0..4).filter_map(|column| {
            let index = column * rows + row;
            words.get(index).map(|word| format!("{:>4} {word:<10}", index + 1))
        });
        out.push_str(cells.collect::<String>().trim_end());
        out.push('\n');
    }
    out.push_str(
        "\nWrite these words on paper now, in this order (down, then right), and keep them where fire does not\n\
         reach this house. They are shown only this once. Whoever has them can read everything; without\n\
         them nothing can be recovered if all full nodes are lost.\n",
    );
    out
}

/// `join`: into a vault, by code.
///
/// # Errors
/// When the code is wrong, or nobody answers.
pub fn join(link: &Link, out: Out, options: Join) -> Result<Exit, Fail> {
    let code = join_code(&options.code)?;
    let Who { name, site } = options.who;
    enter(link, out, Call::Join { code, peer: options.peer, name, site })
}

/// `recover`: back from the phrase.
///
/// # Errors
/// When the words are wrong, or no node of the vault answers.
pub fn recover(link: &Link, out: Out, options: Recover) -> Result<Exit, Fail> {
    let phrase = recovery_phrase(options.phrase_file.as_deref())?.to_string();
    let Who { name, site } = options.who;
    enter(link, out, Call::Recover { phrase, peer: options.peer, replace: options.replace, name, site })
}

/// Sends the call and tells how it goes.
fn enter(link: &Link, out: Out, call: Call) -> Result<Exit, Fail> {
    let bar = out.bar();
    let ending = link.call_anywhere(call, &mut |line| {
        if word(&line, "event") == "progress" {
            bar.say(text(word(&line, "message")));
            return if out.quiet { Ok(()) } else { out.value(&line) };
        }
        bar.clear();
        out.both(&line, entered)
    })?;
    bar.clear();
    out.advice("Next: leave `nuthatch run` running; `nuthatch status` shows how things are.");
    Ok(ending.into())
}

/// What is told when this node has become a member.
fn entered(line: &Value) -> String {
    let (node, vault) = (short(word(line, "node")), short(word(line, "vault")));
    let role = match word(line, "role") {
        "store" => "as a store node: it keeps sealed copies and can read nothing",
        _ => "as a full node",
    };
    let mut out = match word(line, "event") {
        "recovered" => format!("Recovered: this node ({node}) is in the vault {vault}, {role}.\n"),
        _ => {
            let name = text(word(line, "name"));
            format!("Joined: this node, {name} ({node}), is in the vault {vault}, {role}.\n")
        }
    };
    let adopted: Vec<String> = items(&line["adopted"]).filter_map(Value::as_str).map(text).collect();
    if !adopted.is_empty() {
        out.push_str(&format!("It has taken over: {}.\n", adopted.join(", ")));
    }
    out
}

/// `invite`: lets one more node in.
///
/// # Errors
/// When this node may not invite.
pub fn invite(link: &Link, out: Out, options: &Invite) -> Result<Exit, Fail> {
    let role = match options.role {
        RoleName::Full => Role::Full,
        RoleName::Store => Role::Store,
    };
    let bar = out.bar();
    let wait = !options.no_wait;
    let ending = link.lines(&Call::Invite { role, wait }, &mut |line| {
        bar.clear();
        out.value(&line)?;
        match word(&line, "event") {
            "open" => {
                if line["replaces"] == true {
                    out.text(
                        "The code that was shown before is of no use any more: this one takes its place.\n",
                    )?;
                }
                out.text(&invitation(&line, out.has_reader()))?;
                if wait {
                    bar.say("Waiting for the other node; Ctrl-C takes the code back.".to_owned());
                }
                Ok(())
            }
            "joined" => out.text(&format!(
                "{} ({}) has joined.\n",
                text(word(&line, "name")),
                short(word(&line, "node"))
            )),
            "closed" => out.text(closed(word(&line, "reason"))),
            _ => Ok(()),
        }
    })?;
    bar.clear();
    Ok(ending.into())
}

/// The code as it is shown; `drawn`: also as a QR code.
fn invitation(line: &Value, drawn: bool) -> String {
    let code = word(line, "code");
    let digits: String = code.chars().filter(char::is_ascii_digit).collect();
    let valid = amount(line, "expires_us")
        .map_or_else(|| "a while".to_owned(), |micros| span(Span::from_micros(micros)));
    let addresses: Vec<&str> = items(&line["addresses"]).filter_map(Value::as_str).collect();
    let mut out = format!("Code: {}   (for one node, good for {valid})\n", text(code));
    if drawn {
        // What a scanner gets: the code, and where to go with it.
        let peers: String = addresses.iter().map(|address| format!("&peer={address}")).collect();
        if let Ok(picture) = QrCode::new(format!("nuthatch:join?code={digits}{peers}")) {
            out.push_str(&format!("\n{}\n", picture.render::<Dense1x2>().build()));
        }
    }
    out.push_str(&format!("\nOn the other node:  nuthatch join {}\n", text(code)));
    for address in addresses {
        out.push_str(&format!("or, without mDNS:   nuthatch join {} --peer {}\n", text(code), text(address)));
    }
    out
}

/// Why an invitation ended.
fn closed(reason: &str) -> &'static str {
    match reason {
        "used" => "",
        "attempts" => {
            "The invitation is closed: too many wrong codes were tried. Invite again if it was a slip.\n"
        }
        "expired" => "The invitation has expired. Invite again.\n",
        _ => "The invitation is closed.\n",
    }
}

/// `nodes`: the members.
///
/// # Errors
/// When the node does not run or is no member.
pub fn list(link: &Link, out: Out) -> Result<Exit, Fail> {
    let (value, ending) = link.value(&Call::Nodes)?;
    out.both(&value, nodes)?;
    Ok(ending.into())
}

/// `remove`: a member, for good.
///
/// # Errors
/// When there is no such member, or it may not be removed from here.
pub fn remove(link: &Link, out: Out, options: Remove) -> Result<Exit, Fail> {
    if !options.yes && !options.keep {
        let node = text(&options.node);
        let question = format!("Remove {node} for good? It cannot come back under its old identity.");
        ask_first(out, &question, "removed")?;
    }
    let how = match (options.alone, options.now, options.keep) {
        (true, ..) => Removal::Alone,
        (_, true, _) => Removal::Now,
        (.., true) => Removal::Keep,
        _ => Removal::Drained,
    };
    let (value, ending) = link.value(&Call::Remove { node: options.node, how })?;
    out.both(&value, |value| {
        let (name, id) = (text(word(value, "name")), short(word(value, "removed")));
        if value.get("kept").is_some() {
            return format!("{name} stays a member.\n");
        }
        let what = if value["new_key"] == true {
            "It could read everything, and keeps what it had. What is backed up from now on is sealed with a new key,\n\
             which it does not get. If it was stolen, change the passwords that were in your files.\n"
        } else if value["role"] == "full" {
            "It could read everything, and keeps what it had. No new key could be begun here: nothing is backed up until\n\
             another full node begins one. `nuthatch status` says when that is so.\n"
        } else {
            "It never had a key: the sealed chunks on its disk tell nobody what is in them.\n"
        };
        let left: Vec<&str> = items(&value["left_behind"]).filter_map(Value::as_str).collect();
        let left = match &left[..] {
            [] => String::new(),
            left => format!(
                "No device backs up {} any more: another full one takes a folder over with `nuthatch folder attach NAME DIR`.\n",
                text(&left.join(", "))
            ),
        };
        if value.get("leaving").is_some() {
            let snapshots = amount(value, "snapshots").unwrap_or(0);
            let reads = if value["role"] == "full" { "Until then it reads what is new. " } else { "" };
            if snapshots == 0 {
                return format!("Others have what {name} holds; it is removed by itself as soon as all that it has written is known.\n{left}");
            }
            return format!(
                "{name} holds something of {snapshots} snapshots that other nodes do not have yet. It is removed by itself when they do;\n\
                 let it run until then. {reads}`nuthatch status` says how far that is.\n\
                 `nuthatch remove {name} --now` does not wait (it was stolen), `nuthatch remove {name} --keep` lets it stay.\n{left}"
            );
        }
        format!("{name} ({id}) is no member any more.\n{what}{left}")
    })?;
    Ok(ending.into())
}

/// Asks whether something shall be done for good; `done` is the word for it. A question that cannot be asked or answered is answered with
/// no.
pub(super) fn ask_first(out: Out, question: &str, done: &str) -> Result<(), Fail> {
    if out.json || !stdin().is_terminal() || !stderr().is_terminal() {
        let message = format!("nothing was {done}, for nobody can be asked here");
        return Err(Fail::new(
            "not_confirmed",
            message,
            format!("give --yes if it is to be {done} for good"),
        ));
    }
    let mut answer = String::new();
    let question = format!("{question} [y/N] ");
    let asked = stderr().write_all(question.as_bytes()).and_then(|()| stdin().read_line(&mut answer));
    if asked.is_err() || !matches!(answer.trim(), "y" | "Y" | "yes") {
        return Err(Fail::new("not_confirmed", format!("nothing was {done}"), "answer y, or give --yes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_phrase_is_numbered_in_columns() {
        let phrase: Vec<String> = (1..=24).map(|number| format!("w{number}")).collect();
        let told = vault_made(&json!({"recovery_phrase": phrase.join(" "), "name": "attic"}));
        assert!(told.contains("\n   1 w1           7 w7          13 w13         19 w19\n"), "{told}");
        for number in 1..=24 {
            assert!(told.contains(&format!("{number} w{number}")), "{number}");
        }
    }

    /// In a script, `remove` removed for good without a question.
    #[test]
    fn nothing_is_removed_where_nobody_can_be_asked_and_nothing_was_confirmed() {
        let home = tempfile::tempdir().unwrap();
        let link = Link::to(home.path().join("home"));
        let out = Out { json: true, quiet: true };
        let wanted = |yes| Remove { node: "attic".to_owned(), alone: false, now: false, keep: false, yes };
        let code = |fail: Fail| fail.error.map(|error| error.code.to_string());
        let refused = remove(&link, out, wanted(false)).unwrap_err();
        assert_eq!(code(refused).as_deref(), Some("not_confirmed"));
        // With --yes it gets as far as looking for a node that runs.
        let refused = remove(&link, out, wanted(true)).unwrap_err();
        assert_eq!(code(refused).as_deref(), Some("not_running"));
    }

    #[test]
    fn an_invitation_says_what_to_type_and_draws_only_for_a_person() {
        let line =
            json!({"code": "1234-5678", "expires_us": 600_000_000_u64, "addresses": ["10.0.0.7:7117"]});
        let told = invitation(&line, false);
        assert!(told.contains("Code: 1234-5678   (for one node, good for 10 min 00 s)"), "{told}");
        assert!(told.contains("nuthatch join 1234-5678 --peer 10.0.0.7:7117\n"), "{told}");
        assert!(!told.contains('\u{2588}') && invitation(&line, true).contains('\u{2588}'));
    }
}
