//! Probes on a network, their addresses, and frames of the test's making.

use crate::conversation::Conversation;
use crate::probe::{Answer, Probe, field};
use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// Who has a network device of `tests/systems/net-probes.toml`.
pub struct Station {
    /// Its guest.
    pub probe: Probe,
    /// Its addresses.
    pub mac: [u8; 6],
    pub ip: Ipv4Addr,
    /// Its device's place among the partition's.
    slot: u64,
}

const fn station(name: &'static str, digit: u8, slot: u64) -> Station {
    let mac = [0x02, 0x42, 0x48, 0, 0, 9 + digit];
    Station { probe: Probe { name, digit }, mac, ip: Ipv4Addr::new(10, 0, 0, 1 + digit), slot }
}

pub const ALICE: Station = station("alice", 1, 0);
pub const BOB: Station = station("bob", 2, 0);
pub const MALLORY: Station = station("mallory", 3, 0);
/// Of `tests/systems/net-limits.toml`: she has a disk, which comes first.
pub const LIMITED: Station = station("alice", 1, 1);

/// Everybody.
pub const BROADCAST: [u8; 6] = [0xff; 6];

impl Station {
    /// Opens its device, which must have the address that the system file gives it.
    pub fn open(&self, console: &mut Conversation) -> Result<()> {
        let said = self.probe.ok(console, &format!("nopen {} {:#x}", self.slot, u32::from(self.ip)))?;
        let mac = field(&said, "mac").with_context(|| format!("no address in {said:?}"))?;
        ensure!(mac == number(self.mac), "{} has the address {mac:#x}", self.probe.name);
        Ok(())
    }

    /// Its addresses as an order has them.
    pub fn address(&self) -> String {
        format!("{:#x} {:#x}", number(self.mac), u32::from(self.ip))
    }

    /// Begins to answer; what it answers comes behind the place that this returns.
    pub fn listen(&self, console: &mut Conversation) -> Result<usize> {
        self.begin(console, "necho")
    }

    /// How many frames it answered, and how many came beside.
    pub fn heard(&self, console: &Conversation, from: usize) -> Result<(u64, u64)> {
        let said = self.done(console, from, "necho")?;
        let of = |name| field(&said, name).with_context(|| format!("{} heard {said:?}", self.probe.name));
        Ok((of("answered")?, of("others")?))
    }

    /// Gives an order; its answer comes behind the place that this returns.
    pub fn begin(&self, console: &mut Conversation, order: &str) -> Result<usize> {
        self.probe.begin(console, order)
    }

    /// What it said to an order that was given behind `from`.
    pub fn done(&self, console: &Conversation, from: usize, order: &str) -> Result<String> {
        match self.probe.answer_behind(console, from, order, super::WORK)? {
            Answer::Ok(said) => Ok(said),
            other => anyhow::bail!("{}: `{order}` ended in {other:x?}", self.probe.name),
        }
    }
}

/// An address as one number.
pub fn number(mac: [u8; 6]) -> u64 {
    mac.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Ethernet, and what is in it.
pub fn ethernet(to: [u8; 6], from: [u8; 6], kind: u16, content: &[u8]) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes(), content].concat()
}

/// A datagram over IPv4 and UDP.
pub fn udp(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), content: &[u8]) -> Vec<u8> {
    let length = |more: usize| u16::try_from(content.len() + more).unwrap_or(u16::MAX).to_be_bytes();
    let [source, destination] = [from.0.octets(), to.0.octets()];
    let mut ip = [&[0x45, 0], &length(28)[..], &[0, 1, 0x40, 0, 64, 17, 0, 0], &source, &destination].concat();
    let words = ip.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum = words.sum::<u32>();
    let sum = !((sum + (sum >> 16)) as u16);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    [&ip[..], &from.1.to_be_bytes(), &to.1.to_be_bytes(), &length(8), &[0, 0], content].concat()
}

/// ARP for IPv4: a question (1) or an answer (2).
pub fn arp(operation: u8, sender: ([u8; 6], Ipv4Addr), target: ([u8; 6], Ipv4Addr)) -> Vec<u8> {
    let addresses = [&sender.0[..], &sender.1.octets(), &target.0, &target.1.octets()].concat();
    [&[0, 1, 8, 0, 6, 4, 0, operation][..], &addresses].concat()
}

/// As an order has it.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uplink::Frame;

    #[test]
    fn a_datagram_is_what_the_capture_reads() {
        let (from, to) = ((ALICE.ip, 67), (BOB.ip, 68));
        let frame = Frame(ethernet(BOB.mac, ALICE.mac, 0x0800, &udp(from, to, b"content")));
        let datagram = frame.udp().unwrap();
        assert_eq!((datagram.source, datagram.destination, datagram.payload), (from, to, &b"content"[..]));
        // A sum over the header and its sum is all ones.
        let words = frame.0[14..34].chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
        let sum: u32 = words.sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }
}
