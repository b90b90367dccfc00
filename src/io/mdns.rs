//! Discovery on the local network, through the mdns-sd daemon (a thread of its own).
//!
//! Says what the core wants said, and hands on what is seen; an announcement is a hint, the handshake decides. The
//! daemon repeats what it found, and drops a listener that is slow: so listening is always drained, and begun again.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use mdns_sd::{
    IfKind, IfPredicate, Receiver, ResolvedService, ScopedIp, ServiceDaemon, ServiceEvent, ServiceInfo,
};
use smol::channel::Sender;
use smol::Timer;

use super::os::duration;
use super::udp::is_virtual;
use crate::base::limits::{INTERFACES_EVERY, MDNS_RETRY, SIGHTINGS_EVERY, SIGHTINGS_WAITING_MAX};
use crate::peer::discovery::Announcement;

/// The service type (RFC 6763).
const SERVICE: &str = "_nuthatch._udp.local.";

/// An announcement that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Where the announcer is: IPv4, IPv6, and link-local addresses last.
    pub addresses: Vec<SocketAddr>,
    /// What it says.
    pub announcement: Announcement,
}

/// The daemon, and what it says for us.
pub struct Mdns {
    /// The daemon's handle.
    daemon: ServiceDaemon,
    /// What is announced, and under which full name.
    said: Option<(Announcement, String)>,
}

impl std::fmt::Debug for Mdns {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Mdns").field("said", &self.said).finish_non_exhaustive()
    }
}

impl Mdns {
    /// Starts the daemon on the interfaces of these names; on all but loopback and virtual ones if there are none.
    ///
    /// # Errors
    /// When there is no network to speak on; a node works without.
    pub fn start(interfaces: &[String]) -> Result<Self, mdns_sd::Error> {
        let daemon = ServiceDaemon::new()?;
        let allowed = interfaces.to_vec();
        // A predicate is asked for interfaces that come later, too.
        let others = IfPredicate::new(move |interface| {
            !is_allowed(&allowed, &interface.name, interface.is_loopback())
        });
        daemon.disable_interface(IfKind::Predicate(others))?;
        let seconds = INTERFACES_EVERY.as_micros() / 1_000_000;
        daemon.set_ip_check_interval(u32::try_from(seconds).unwrap_or(u32::MAX))?;
        Ok(Self { daemon, said: None })
    }

    /// Says this from now on; None: nothing.
    pub fn announce(&mut self, announcement: Option<Announcement>) {
        if self.said.as_ref().map(|(said, _)| said) == announcement.as_ref() {
            return;
        }
        let name_before = self.said.take().map(|(_, name)| name);
        let Some(announcement) = announcement else {
            self.withdraw(name_before);
            return;
        };
        match service(&announcement).and_then(|info| {
            let name = info.get_fullname().to_owned();
            self.daemon.register(info).map(|()| name)
        }) {
            Ok(name) => {
                self.withdraw(name_before.filter(|before| *before != name));
                self.said = Some((announcement, name));
            }
            Err(error) => log::warn!("this node cannot be announced on the network: {error}"),
        }
    }

    /// Takes an announcement back.
    fn withdraw(&self, name: Option<String>) {
        if let Some(name) = name {
            if let Err(error) = self.daemon.unregister(&name) {
                log::debug!("an announcement could not be taken back: {error}");
            }
        }
    }

    /// Listens for others, for as long as the task lives. What is known is told again and again, for the daemon tells
    /// it only when it changes, and whoever begins to look for somebody wants to know who is there already.
    pub fn listen(&self, sightings: Sender<Sighting>) -> impl Future<Output = ()> {
        let daemon = self.daemon.clone();
        async move {
            let mut known = Known::default();
            loop {
                match daemon.browse(SERVICE) {
                    Ok(events) => {
                        while let Some(heard) = next_of(&events).await {
                            match heard {
                                Some(event) => known.hear(event, &sightings),
                                None => known.tell_all(&sightings),
                            }
                        }
                        log::debug!("listening to the network was cut off; it begins again");
                    }
                    Err(error) => log::debug!("cannot listen to the network: {error}"),
                }
                Timer::after(duration(MDNS_RETRY)).await;
            }
        }
    }

    /// Says good-bye, and ends the daemon.
    pub fn stop(mut self) {
        self.announce(None);
        if let Err(error) = self.daemon.shutdown() {
            log::debug!("the mDNS daemon did not end: {error}");
        }
    }
}

/// The next event; Some(None) if there was none for a while, None if there will be none.
async fn next_of(events: &Receiver<ServiceEvent>) -> Option<Option<ServiceEvent>> {
    let event = async { events.recv_async().await.ok().map(Some) };
    let time = async {
        Timer::after(duration(SIGHTINGS_EVERY)).await;
        Some(None)
    };
    smol::future::or(event, time).await
}

/// Nodes that are announced at present, by their full names.
#[derive(Debug, Default)]
struct Known {
    /// What each says.
    sightings: BTreeMap<String, Sighting>,
}

impl Known {
    /// Takes an event into account.
    fn hear(&mut self, event: ServiceEvent, told: &Sender<Sighting>) {
        match event {
            ServiceEvent::ServiceResolved(service) => {
                let Some(sighting) = sighting(&service) else { return };
                log::trace!("sighted {sighting:?}");
                tell(told, &sighting);
                if self.sightings.len() < SIGHTINGS_WAITING_MAX {
                    self.sightings.insert(service.get_fullname().to_owned(), sighting);
                }
            }
            ServiceEvent::ServiceRemoved(_, name) => {
                self.sightings.remove(&name);
            }
            _ => {}
        }
    }

    /// Tells all of them.
    fn tell_all(&self, told: &Sender<Sighting>) {
        for sighting in self.sightings.values() {
            tell(told, sighting);
        }
    }
}

/// Hands a sighting on. If there is no room, it will be told again.
fn tell(told: &Sender<Sighting>, sighting: &Sighting) {
    let _ = told.try_send(sighting.clone());
}

/// Whether to speak on an interface.
fn is_allowed(allowed: &[String], name: &str, loopback: bool) -> bool {
    if allowed.is_empty() {
        !loopback && !is_virtual(name)
    } else {
        allowed.iter().any(|wanted| wanted == name)
    }
}

/// An announcement as a service. The host name is one of our own, so as not to contend for the machine's.
fn service(announcement: &Announcement) -> Result<ServiceInfo, mdns_sd::Error> {
    let plain: String = announcement
        .instance
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() { character } else { '-' })
        .collect();
    let host = format!("{plain}-node.local.");
    let txt = announcement.txt();
    let mut info = ServiceInfo::new(SERVICE, &announcement.instance, &host, "", announcement.port, &txt[..])?;
    // The names are random, hence nobody else's (RFC 6762, 8.1): probing would only delay what changes, such as that an
    // invitation is open.
    info.set_requires_probe(false);
    Ok(info.enable_addr_auto())
}

/// A service as an announcement; None if it is none of ours.
fn sighting(service: &ResolvedService) -> Option<Sighting> {
    let instance = service.get_fullname().strip_suffix(SERVICE)?.strip_suffix('.')?;
    let announcement =
        Announcement::read(instance, service.get_port(), |key| service.get_property_val_str(key))?;
    let mut addresses: Vec<SocketAddr> =
        service.get_addresses().iter().map(|ip| address(ip, announcement.port)).collect();
    addresses.sort_unstable_by_key(|address| match address.ip() {
        IpAddr::V4(ip) => (0, IpAddr::V4(ip)),
        IpAddr::V6(ip) => (if ip.is_unicast_link_local() { 2 } else { 1 }, IpAddr::V6(ip)),
    });
    Some(Sighting { addresses, announcement })
}

/// An address with its scope.
fn address(ip: &ScopedIp, port: u16) -> SocketAddr {
    match ip {
        ScopedIp::V6(six) if six.addr().is_unicast_link_local() => {
            SocketAddr::V6(SocketAddrV6::new(*six.addr(), port, 0, six.scope_id().index))
        }
        other => SocketAddr::new(other.to_ip_addr(), port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::discovery::State;

    #[test]
    fn a_service_says_what_the_announcement_says_and_is_read_back() {
        let announcement =
            Announcement { instance: "a1b2c3".into(), port: 7_117, state: State::New, tag: None };
        let service = service(&announcement).unwrap();
        assert_eq!(service.get_fullname(), "a1b2c3._nuthatch._udp.local.");
        assert_eq!(service.get_hostname(), "a1b2c3-node.local.");
        let found = sighting(&service.as_resolved_service()).unwrap();
        assert_eq!(found.announcement, announcement);
    }

    #[test]
    fn who_is_there_is_told_again_until_it_goes() {
        let announcement = Announcement { instance: "x".into(), port: 5, state: State::New, tag: None };
        let resolved = service(&announcement).unwrap().as_resolved_service();
        let name = resolved.get_fullname().to_owned();
        let (told, heard) = smol::channel::bounded(2);
        let mut known = Known::default();
        known.hear(ServiceEvent::ServiceResolved(Box::new(resolved)), &told);
        known.tell_all(&told);
        known.tell_all(&told);
        assert_eq!(heard.try_recv().unwrap().announcement, announcement);
        assert_eq!(heard.try_recv().unwrap().announcement, announcement);
        known.hear(ServiceEvent::ServiceRemoved(SERVICE.into(), name), &told);
        known.tell_all(&told);
        assert!(heard.try_recv().is_err());
    }

    #[test]
    fn interfaces_are_chosen_by_name_or_by_what_they_are() {
        for (name, loopback, wanted) in [
            ("eth0", false, true),
            ("wlan0", false, true),
            ("lo", true, false),
            ("docker0", false, false),
            ("veth12", false, false),
            ("br-1a2b", false, false),
            ("br0", false, true),
        ] {
            assert_eq!(is_allowed(&[], name, loopback), wanted, "{name}");
        }
        let only = ["lo".to_owned(), "veth1".to_owned()];
        assert!(is_allowed(&only, "lo", true) && is_allowed(&only, "veth1", false));
        assert!(!is_allowed(&only, "eth0", false));
    }

    #[test]
    fn addresses_are_ordered_by_how_likely_they_work_and_keep_their_scope() {
        let announcement = Announcement { instance: "x".into(), port: 5, state: State::New, tag: None };
        let mut service = service(&announcement).unwrap().as_resolved_service();
        for ip in ["fe80::1", "2001:db8::2", "10.0.0.3"] {
            service.addresses.insert(ip.parse::<IpAddr>().unwrap().into());
        }
        let found = sighting(&service).unwrap().addresses;
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.0.0.3:5", "[2001:db8::2]:5", "[fe80::1]:5"]
        );
    }
}
