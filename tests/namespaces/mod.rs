//! A network of its own for each node: namespaces with one cable each to a switch, which is a bridge in a namespace of its own.
//!
//! Nothing of it touches the network of the machine. The names carry the id of the process that made them, so that runs do not
//! meet; whatever a process left that was killed, the next run removes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

/// What all namespaces of this test are called first.
const PREFIX: &str = "nuthatch-five-";
/// The port of each node.
const PORT: u16 = 7117;

/// The switch and all that is plugged into it; gone when dropped.
pub struct Network {
    /// The namespace of the bridge.
    switch: String,
    /// Sockets of the switch that are in use.
    count: u8,
}

impl Network {
    /// A switch without cables, or why there can be none here.
    pub fn new() -> Result<Self, String> {
        remove_left_over();
        let switch = format!("{PREFIX}{}-switch", std::process::id());
        ip(&["netns", "add", &switch])?;
        let network = Self { switch, count: 0 };
        network.switch(&["link", "add", "bridge", "type", "bridge"])?;
        // A switch that forwards multicast to everybody, as plain ones do.
        network.switch(&["link", "set", "bridge", "type", "bridge", "mcast_snooping", "0"])?;
        network.switch(&["link", "set", "bridge", "up"])?;
        network.end_of_a_cable(0)?;
        Ok(network)
    }

    /// Another namespace, with a cable to the switch, and the address of a node in it.
    pub fn plug_in(&mut self) -> (String, SocketAddr) {
        self.count += 1;
        let made = self.end_of_a_cable(self.count);
        made.expect("what can be done once can be done again");
        let address = SocketAddr::from((Ipv4Addr::new(10, 77, 17, self.count), PORT));
        (self.namespace(self.count), address)
    }

    /// Pulls the cable of a node, by its address, or plugs it in again.
    pub fn set_cable(&self, address: SocketAddr, is_in: bool) {
        let SocketAddr::V4(address) = address else { panic!("{address} is none of ours") };
        let cable = format!("cable{}", address.ip().octets()[3]);
        let done = self.switch(&["link", "set", &cable, if is_in { "up" } else { "down" }]);
        done.expect("a cable can be moved");
    }

    /// A namespace with an interface at the end of a cable.
    fn end_of_a_cable(&self, number: u8) -> Result<(), String> {
        let (namespace, cable) = (self.namespace(number), format!("cable{number}"));
        ip(&["netns", "add", &namespace])?;
        let ends = ["netns", &namespace, "type", "veth", "peer", "name", &cable, "netns", &self.switch];
        ip(&[&["link", "add", "eth0"], ends.as_slice()].concat())?;
        self.switch(&["link", "set", &cable, "master", "bridge", "up"])?;
        let address = format!("10.77.17.{number}/24");
        for words in [
            ["addr", "add", address.as_str(), "dev", "eth0"].as_slice(),
            &["link", "set", "lo", "up"],
            &["link", "set", "eth0", "up"],
            &["route", "add", "default", "dev", "eth0"],
        ] {
            ip(&[&["-n", namespace.as_str()], words].concat())?;
        }
        Ok(())
    }

    /// What the namespace of a node is called.
    fn namespace(&self, number: u8) -> String {
        format!("{PREFIX}{}-{number}", std::process::id())
    }

    /// Does something in the namespace of the switch.
    fn switch(&self, words: &[&str]) -> Result<(), String> {
        ip(&[&["-n", self.switch.as_str()], words].concat())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        remove(|maker| maker == std::process::id());
    }
}

/// Removes what a run left that had no time for it.
fn remove_left_over() {
    remove(|maker| !Path::new(&format!("/proc/{maker}")).exists());
}

/// Removes the namespaces of those processes; cables and bridges go with them.
fn remove(which: impl Fn(u32) -> bool) {
    let listed = Command::new("ip").args(["netns", "list"]).output();
    let Ok(listed) = listed else { return };
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if maker.and_then(|maker| maker.parse().ok()).is_some_and(&which) {
            let _ = ip(&["netns", "del", name]);
        }
    }
}

/// Runs `ip`; what it says if it fails.
fn ip(words: &[&str]) -> Result<(), String> {
    let done = Command::new("ip").args(words).stdin(Stdio::null()).output();
    let done = done.map_err(|error| format!("there is no program `ip` (iproute2): {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("`ip {}`: {}", words.join(" "), String::from_utf8_lossy(&done.stderr).trim()))
}
