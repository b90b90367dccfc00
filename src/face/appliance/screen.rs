//! `appliance screen`: what stands on the console of the appliance: its name, where its page is, how it is.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::base::limits::WEB_PORT;
use crate::face::exit::{Exit, Fail};
use crate::face::link::Link;
use crate::face::out::Out;
use crate::face::report::word;
use crate::face::show::text;
use crate::io::os::hostname;
use crate::io::scope::addresses;
use crate::node::api::Call;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// `appliance screen`.
///
/// # Errors
/// When nobody reads it.
pub fn screen(link: &Link, out: Out, code: Option<&str>) -> Result<Exit, Fail> {
    let sentence = match link.value(&Call::Status) {
        Ok((value, _)) => text(word(&value, "summary")),
        Err(_) => "The node is not ready yet.".to_owned(),
    };
    out.text(&picture(&hostname(), &addresses(), &sentence, code))?;
    Ok(Exit::Done)
}

/// The text.
fn picture(name: &str, addresses: &[IpAddr], sentence: &str, code: Option<&str>) -> String {
    let mut out = format!("nuthatch {} on {}\n\n", env!("CARGO_PKG_VERSION"), text(name));
    let pages: Vec<String> = addresses.iter().map(|address| page(*address)).collect();
    if pages.is_empty() {
        out.push_str("No network yet: check the cable, or wifi in nuthatch-boot.toml.\n");
    } else {
        let _ = writeln!(out, "Web page:  http://{}.local:{WEB_PORT}", text(name));
    }
    for page in &pages {
        let _ = writeln!(out, "           {page}");
    }
    if let Some(code) = code {
        let _ = writeln!(out, "Code for the first password: {}", text(code));
    }
    let _ = writeln!(out, "\n{sentence}");
    // A camera reads dark on light, and a console is light on dark.
    let drawn = pages.first().and_then(|page| QrCode::with_error_correction_level(page, EcLevel::L).ok());
    if let Some(drawn) = drawn {
        let drawn =
            drawn.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
        let _ = writeln!(out, "\n{drawn}");
    }
    out
}

/// The page at an address.
fn page(address: IpAddr) -> String {
    match address {
        IpAddr::V4(four) => format!("http://{four}:{WEB_PORT}"),
        IpAddr::V6(six) => format!("http://[{six}]:{WEB_PORT}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_says_where_the_page_is() {
        let told = picture(
            "attic",
            &["192.168.1.30".parse().unwrap()],
            "This node is in no vault yet.",
            Some("12345678"),
        );
        assert!(told.contains("http://attic.local:7118\n           http://192.168.1.30:7118\n"), "{told}");
        assert!(told.contains("first password: 12345678"), "{told}");
        assert!(told.lines().count() > 15, "there is a picture: {told}");
        let told = picture("attic", &[], "x", None);
        assert!(told.contains("No network yet") && told.lines().count() < 8, "{told}");
    }
}
