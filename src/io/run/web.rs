//! The web's port, and the certificate with which it is encrypted.

use std::path::Path;

use super::{Clock, Config, RunError, Setup, Web};
use crate::io::http::{Certificate, Tls};
use crate::io::tcp::TcpPort;
use crate::node::config_keys::WebListen;

/// The web's port, and how it is encrypted.
pub(super) struct WebPort {
    /// The socket.
    pub(super) port: TcpPort,
    /// With what; None: it is not.
    pub(super) tls: Option<Tls>,
    /// The certificate's fingerprint.
    pub(super) certificate: Option<String>,
}

impl WebPort {
    /// The socket, if it is wanted.
    pub(super) fn bind(web: Web, config: &Config) -> Result<Option<Self>, RunError> {
        let address = match (web, config.web) {
            (Web::Off, _) | (Web::Configured, WebListen::Off) => return Ok(None),
            (Web::At(address), _) | (Web::Configured, WebListen::At(address)) => Some(address),
            (Web::Configured, WebListen::Default) => None,
        };
        let port = TcpPort::bind(address).map_err(RunError::Web)?;
        Ok(Some(Self { port, tls: None, certificate: None }))
    }

    /// Encrypts it if that is configured, with the certificate in the home, which is made when there is none.
    pub(super) fn encrypt(&mut self, home: &Path, setup: &Setup, clock: Clock) -> Result<(), RunError> {
        if !setup.config.web_tls {
            return Ok(());
        }
        let name = setup.config.name.as_deref().unwrap_or(&setup.host_name);
        let names = names_of(&[name, &setup.host_name], &setup.config.web_hosts);
        let certificate = Certificate::open(home, &names, clock.now().wall).map_err(RunError::Api)?;
        let fingerprint = certificate.fingerprint();
        log::info!("the web page's certificate has the SHA-256 fingerprint {fingerprint}");
        self.certificate = Some(fingerprint);
        self.tls = Some(Tls::new(certificate).map_err(RunError::Api)?);
        Ok(())
    }
}

/// The names by which browsers may come: what is no name of a host is left out.
fn names_of(own: &[&str], hosts: &[String]) -> Vec<String> {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_name = |name: &&str| (1..=63).contains(&name.len()) && name.bytes().all(is_sign);
    let own = own.iter().copied().filter(is_name).map(|name| format!("{}.local", name.to_ascii_lowercase()));
    let mut names: Vec<String> = Vec::new();
    for name in own.chain(["localhost".to_owned()]).chain(hosts.iter().cloned()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_what_browsers_call_the_page() {
        let hosts = ["box.example.org".to_owned()];
        assert_eq!(names_of(&["Attic", "attic"], &hosts), ["attic.local", "localhost", "box.example.org"]);
        assert_eq!(names_of(&["Zo\u{eb}'s box", "nas"], &[]), ["nas.local", "localhost"]);
    }
}
