//! `nattack`: frames that no driver should send. Each header cut at every byte, every length up to beyond the longest, headers
//! of the device that promise what is not there, chains in pieces of any size.
//!
//! A device may answer a broken chain with DEVICE_NEEDS_RESET; it is reset then and must work again.

use super::device::{HEADER, LONGEST, Nic};
use super::frame::{self, HEADERS, Peer};
use super::{peer, with_nic};
use crate::arch::put;
use crate::reply::{Arguments, Reply};
use blocks::Random;
use rt::println;
use rt::virtio::queue::WRITE;

/// Features of a device that computes checksums and cuts segments (section 5.1.3), of which an attack asks for some.
const OFFLOADS: [u64; 5] = [1 << 0, 1 << 1, 1 << 7, 1 << 11, 1 << 15];
/// Most bytes of a header that is cut.
const CUT: u64 = 100;
/// Lengths about which something may go wrong.
const LENGTHS: [u64; 12] = [127, 128, 1514, 1518, 2048, 4096, 9000, 16_384, 65_535, 65_536, 65_550, LONGEST - HEADER];
/// Most pieces of a chain.
const PIECES: usize = 12;
/// EtherTypes and what follows them in the frames that are cut: see `header`.
const KINDS: u64 = 10;

/// `nattack`
pub fn attack(arguments: &mut Arguments) -> Reply {
    let (slot, seed, rounds) = (arguments.number()?, arguments.number()?, arguments.number()?);
    let (other, gateway) = (peer(arguments)?, peer(arguments)?);
    let everybody = Peer { mac: [0xff; 6], ip: u32::MAX };
    let mut attack = Attack { slot, random: Random::new(seed), frames: 0, broken: 0 };
    with_nic(|nic| {
        for to in [other, gateway, everybody] {
            attack.cut_headers(nic, to)?;
            attack.lengths(nic, to)?;
        }
        for round in 0..rounds {
            let to = attack.random.pick(&[other, gateway, everybody]);
            if round % 64 == 0 {
                let features = OFFLOADS.iter().filter(|_| attack.random.below(2) == 0).sum();
                nic.again(slot, features)?;
            }
            attack.anything(nic, to)?;
        }
        // As it was before.
        nic.again(slot, 0)
    })?;
    println!("ok frames={} broken={}", attack.frames, attack.broken);
    Ok(())
}

struct Attack {
    slot: u64,
    random: Random,
    frames: u64,
    broken: u64,
}

impl Attack {
    /// Sends a chain, and heals the device if that broke it.
    fn send(&mut self, nic: &mut Nic, pieces: &[(u64, u32, u16)]) -> Reply {
        self.frames += 1;
        let sent = nic.send_chain(pieces);
        nic.drain();
        if nic.is_broken() {
            self.broken += 1;
            return nic.again(self.slot, nic.features);
        }
        sent
    }

    /// Every kind of header, cut at each byte, the device's own too.
    fn cut_headers(&mut self, nic: &mut Nic, to: Peer) -> Reply {
        for kind in 0..KINDS {
            prepare(nic, to, kind);
            for bytes in 0..=CUT {
                self.send(nic, &[(0, (HEADER + bytes) as u32, 0)])?;
            }
        }
        for bytes in 1..HEADER {
            self.send(nic, &[(0, bytes as u32, 0)])?;
        }
        Ok(())
    }

    /// Frames of every length that might be special, with a sound beginning.
    fn lengths(&mut self, nic: &mut Nic, to: Peer) -> Reply {
        for kind in 0..KINDS {
            prepare(nic, to, kind);
            for length in LENGTHS {
                for bytes in [length - 1, length, length + 1] {
                    self.send(nic, &[(0, (HEADER + bytes) as u32, 0)])?;
                }
            }
        }
        Ok(())
    }

    /// A header of the device that promises anything, some bytes changed, in pieces.
    fn anything(&mut self, nic: &mut Nic, to: Peer) -> Reply {
        prepare(nic, to, self.random.below(KINDS));
        for at in 0..HEADER {
            if self.random.below(3) == 0 {
                put(nic.made() + at, self.random.value() as u8);
            }
        }
        for _ in 0..self.random.below(4) {
            // Not the addresses: those are checked before anything else is looked at.
            put(nic.made() + HEADER + 12 + self.random.below(60), self.random.value() as u8);
        }
        let any = 1 + self.random.below(LONGEST - HEADER);
        let mut left = HEADER + self.random.pick(&[14, 42, 60, 66, 100, 1514, 9000, 65_549, any]);
        let (mut pieces, mut at, mut count) = ([(0, 0, 0); PIECES], 0, 0);
        for piece in &mut pieces {
            let few = self.random.below(16);
            let bytes = if count + 1 == PIECES {
                left
            } else {
                self.random.pick(&[few, few, 12, 54, left, left / 2]).min(left)
            };
            let flags = if self.random.below(200) == 0 { WRITE } else { 0 };
            *piece = (at, bytes as u32, flags);
            (at, left, count) = (at + bytes, left - bytes, count + 1);
            if left == 0 {
                break;
            }
        }
        self.send(nic, pieces.get(..count).unwrap_or(&pieces))
    }
}

/// Writes the beginning of a frame of that kind, with this guest's own addresses, behind a header of the device that asks
/// for nothing.
fn prepare(nic: &Nic, to: Peer, kind: u64) {
    let at = nic.made();
    (at..at + HEADER + CUT).for_each(|at| put(at, 0_u8));
    let beginning = frame::headers(Peer { mac: nic.mac, ip: nic.ip }, to, HEADERS + 300, 1);
    (0..).zip(beginning).for_each(|(at, byte)| nic.put_made(at, byte));
    let changes: &[(u64, u8)] = match kind {
        // ARP, a question.
        0 => &[(12, 8), (13, 6), (14, 0), (15, 1), (16, 8), (17, 0), (18, 6), (19, 4), (20, 0), (21, 1)],
        // From DHCP's client port to its server's.
        1 => &[(34, 0), (35, 68), (36, 0), (37, 67), (42, 1), (43, 1), (44, 6)],
        // To the name server.
        2 => &[(36, 0), (37, 53), (43, 1), (46, 1), (47, 0)],
        // ICMP echo.
        3 => &[(23, 1), (34, 8), (35, 0), (36, 0), (37, 0)],
        // TCP, SYN, an option of length 0.
        4 => &[(23, 6), (46, 0xf0), (47, 2), (54, 2), (55, 0)],
        // An IPv4 header of 60 bytes.
        5 => &[(14, 0x4f)],
        // A fragment at the far end.
        6 => &[(20, 0x3f), (21, 0xff)],
        // A VLAN tag.
        7 => &[(12, 0x81), (13, 0)],
        // IPv6.
        8 => &[(12, 0x86), (13, 0xdd), (14, 0x60)],
        // UDP to another subnet, longer than itself.
        _ => &[(16, 0xff), (17, 0xff), (30, 8), (31, 8), (32, 8), (33, 8), (38, 0xff), (39, 0xff)],
    };
    changes.iter().for_each(|&(at, byte)| nic.put_made(at, byte));
    if kind == 0 {
        (0..).zip(nic.mac).for_each(|(n, byte)| nic.put_made(22 + n, byte));
        (0..).zip(nic.ip.to_be_bytes()).for_each(|(n, byte)| nic.put_made(28 + n, byte));
        (0..).zip(to.ip.to_be_bytes()).for_each(|(n, byte)| nic.put_made(38 + n, byte));
    } else if kind < 7 || kind == KINDS - 1 {
        // What was changed in the IPv4 header is in its sum.
        let mut header = beginning;
        changes.iter().for_each(|&(at, byte)| {
            if let Some(slot) = header.get_mut(at as usize) {
                *slot = byte
            }
        });
        header[24..26].fill(0);
        let sum = frame::sum(&header[14..34]).to_be_bytes();
        (0..).zip(sum).for_each(|(n, byte)| nic.put_made(24 + n, byte));
    }
}
