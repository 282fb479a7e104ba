//! N04, N06: a partition that sends what it must not. It harms nobody but itself, and is counted.

use super::probes::{ALICE, BOB, BROADCAST, MALLORY, Station, arp, ethernet, hex, udp};
use super::{Dropped, SHORT, boot};
use crate::conversation::Conversation;
use crate::life::History;
use crate::probe::field;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;

/// The gateway's address in number form: MAC and IPv4.
const GATEWAY: &str = "0x024248000001 0x0a000001";
/// How often each spoofed frame is sent.
const TIMES: u64 = 3;
/// Seed and rounds of an attack, and frames that its victim's peer has answered meanwhile.
const SEED: u64 = 5;
const ROUNDS: u64 = 2000;
const FRAMES: u64 = 3000;
/// EtherTypes.
const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const VLAN: u16 = 0x8100;
const IPV6: u16 = 0x86dd;

/// N04, N06.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "network_hostile",
    kinds: &[Kind::V3, Kind::V2],
    when: When::Always,
    seconds: 240,
    promises: &[
        promise("N04", "spoofed_frames_reach_nobody_and_are_counted"),
        promise("N06", "frames_of_any_length_and_header_leave_the_service_and_others_alone"),
        promise("N06", "nonsense_in_a_network_devices_rings_leaves_the_service_and_others_alone"),
    ],
    body: hostile,
}];

/// Boots the three probes, their devices open.
pub fn start(console: &mut Conversation, stations: &[&Station]) -> Result<()> {
    let ready: Vec<_> = stations.iter().map(|station| move |line: &str| station.probe.begins(line)).collect();
    let ready: Vec<&dyn Fn(&str) -> bool> = ready.iter().map(|begins| begins as _).collect();
    console.expect_lines("the first lives", SHORT, &ready)?;
    stations.iter().try_for_each(|station| station.open(console))
}

fn hostile(run: &mut Run) -> Result<()> {
    let (mut machine, _) = boot(run, "net-probes", |recipe| recipe)?;
    let console = &mut machine.console;
    start(console, &[&ALICE, &BOB, &MALLORY])?;
    run.promise("spoofed_frames_reach_nobody_and_are_counted", |_| spoofs(console));
    run.promise("frames_of_any_length_and_header_leave_the_service_and_others_alone", |_| {
        attack(console, &format!("nattack 0 {SEED} {ROUNDS} {} {GATEWAY}", BOB.address()))
    });
    run.promise("nonsense_in_a_network_devices_rings_leaves_the_service_and_others_alone", |_| {
        attack(console, &format!("vattack 0 {SEED} {ROUNDS}"))
    });
    Ok(())
}

/// Frames that are not Mallory's to send, and why they are dropped, as the switch says it.
fn forged() -> Vec<(Vec<u8>, &'static str)> {
    let own = udp((MALLORY.ip, 9), (BOB.ip, 9), b"");
    let offer = [&[2, 1, 6, 0][..], &[0; 12], &BOB.ip.octets(), &MALLORY.ip.octets()].concat();
    let everybody = Ipv4Addr::BROADCAST;
    vec![
        (ethernet(BOB.mac, ALICE.mac, IPV4, &own), "foreign MAC source"),
        (ethernet(BOB.mac, BROADCAST, IPV4, &own), "foreign MAC source"),
        (ethernet(BOB.mac, [0x03, 0x42, 0x48, 0, 0, 0x0c], IPV4, &own), "foreign MAC source"),
        (ethernet(BOB.mac, MALLORY.mac, IPV4, &udp((ALICE.ip, 9), (BOB.ip, 9), b"")), "foreign IPv4 source"),
        (ethernet(BROADCAST, MALLORY.mac, IPV4, &udp((ALICE.ip, 9), (everybody, 9), b"")), "foreign IPv4 source"),
        // No address yet is for who asks for one.
        (
            ethernet(BOB.mac, MALLORY.mac, IPV4, &udp((Ipv4Addr::UNSPECIFIED, 9), (BOB.ip, 9), b"")),
            "foreign IPv4 source",
        ),
        (
            ethernet(BOB.mac, MALLORY.mac, ARP, &arp(2, (MALLORY.mac, ALICE.ip), (BOB.mac, BOB.ip))),
            "foreign ARP sender",
        ),
        (
            ethernet(BROADCAST, MALLORY.mac, ARP, &arp(1, (MALLORY.mac, ALICE.ip), ([0; 6], BOB.ip))),
            "foreign ARP sender",
        ),
        (
            ethernet(BROADCAST, MALLORY.mac, ARP, &arp(1, (ALICE.mac, MALLORY.ip), ([0; 6], BOB.ip))),
            "foreign ARP sender",
        ),
        (ethernet(BOB.mac, MALLORY.mac, IPV4, &udp((MALLORY.ip, 67), (BOB.ip, 68), &offer)), "DHCP server"),
        (ethernet(BROADCAST, MALLORY.mac, IPV4, &udp((MALLORY.ip, 67), (everybody, 68), &offer)), "DHCP server"),
        (ethernet(BOB.mac, MALLORY.mac, VLAN, &[0, 1, 8, 0]), "VLAN tag"),
        (ethernet(BOB.mac, MALLORY.mac, IPV6, &[0x60]), "IPv6"),
    ]
}

/// Bob hears of none of them, but of what comes behind them.
fn spoofs(console: &mut Conversation) -> Result<()> {
    /// A DHCP offer's bytes, as far as its options.
    const BYTES: usize = 300;
    let from = BOB.listen(console)?;
    let frames = forged();
    for (frame, _) in &frames {
        MALLORY.probe.ok(console, &format!("nsend {} {BYTES} {TIMES}", hex(frame)))?;
    }
    let said = MALLORY.probe.ok(console, &format!("nping {} 60 1 1", BOB.address()))?;
    let resent = field(&said, "resent").with_context(|| format!("no number in {said:?}"))?;
    let heard = BOB.heard(console, from)?;
    // She asks again where an answer is late.
    ensure!(
        (1..=1 + resent).contains(&heard.0) && heard.1 == 0,
        "of {} spoofed frames Bob heard {heard:?}",
        frames.len()
    );
    let mut wanted = Dropped::default();
    frames.iter().for_each(|(_, reason)| wanted.add(reason, TIMES));
    Dropped::expect(console, MALLORY.probe.name, &wanted)?;
    for other in [ALICE, BOB] {
        let said = Dropped::said(console, other.probe.name);
        ensure!(said == Dropped::default(), "{} is charged with what Mallory did: {said:?}", other.probe.name);
    }
    Ok(())
}

/// Mallory attacks while Alice and Bob talk; then all three can.
fn attack(console: &mut Conversation, order: &str) -> Result<()> {
    let talk = format!("nping {} 1514 {FRAMES} 8", BOB.address());
    let listens = BOB.listen(console)?;
    let talks = ALICE.begin(console, &talk)?;
    let attacks = MALLORY.begin(console, order)?;
    ensure!(!ALICE.probe.has_answered(console, talks, &talk), "Alice was done before Mallory began");
    let said = MALLORY.done(console, attacks, order)?;
    let broken = field(&said, "broken").with_context(|| format!("no number in {said:?}"))?;
    ensure!(broken > 0, "nothing was broken by it: it was no attack");
    ALICE.done(console, talks, &talk).context("while Mallory attacked")?;
    let (answered, _) = BOB.heard(console, listens)?;
    ensure!(answered >= FRAMES, "Bob answered {answered} of {FRAMES}");
    let service = History::ask(console, "service")?;
    ensure!(service.restarts == 0 && service.faults == 0, "the service is {service:?}");
    // His device is a device again.
    MALLORY.open(console)?;
    let listens = BOB.listen(console)?;
    MALLORY.probe.ok(console, &format!("nping {} 200 20 4", BOB.address()))?;
    BOB.heard(console, listens).map(drop)
}
