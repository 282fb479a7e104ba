//! Sends and receives frames so that what a frame costs can be counted: the driver of a guest that does nothing else.
//!
//! Two partitions run it. The one whose MAC address ends with 2 sends; the other one takes what comes and reports the last
//! frame. Output:
//!
//! ```text
//! PHASE 0 net_guest_to_guest 3200       hints 100 + n and 127 bracket phase n for the plugin; so many frames
//! bench: net_guest_to_guest: ...        kicks and interrupts of the sender
//! BENCH-DONE
//! ```
//!
//! The driver is what Linux has, less its network stack: EVENT_IDX, INDIRECT_DESC and MRG_RXBUF, an interrupt acknowledged
//! in its handler, WFI while there is nothing to do. Frames have their usual full size. No offloads: a frame is a packet.
#![no_std]
#![no_main]

mod frame;
mod nic;

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use frame::{Kind, Peer};
use nic::{Nic, WINDOW};
use rt::arch::insn;
use rt::timer::{self, Timer};
use rt::{IntId, gic, machine, println, psci};

rt::guest!(main = main, interrupt = interrupt);

/// Both ends, and the gateway as a way to the host that QEMU's user network has.
const SENDER: Peer = Peer { mac: [0x02, 0x42, 0x48, 0, 0, 2], ip: [10, 0, 0, 2] };
const RECEIVER: Peer = Peer { mac: [0x02, 0x42, 0x48, 0, 0, 3], ip: [10, 0, 0, 3] };
const OUTSIDE: Peer = Peer { mac: [0x02, 0x42, 0x48, 0, 0, 1], ip: [10, 0, 2, 2] };
/// Discard (RFC 863).
const DISCARD: u16 = 9;
/// Frames of a phase.
const FRAMES: u64 = 3200;
/// Of these in flight: to the peer, whose buffers are few, and to the outside, where Linux's ring would hold twice as many.
const NEAR: u64 = 64;
const FAR: u64 = WINDOW;
/// Echo requests that are not answered: a request's element has come back long before its turn comes again.
const ASKED: u64 = 32;
/// Seconds of silence.
const IDLE_S: u64 = 2;

/// Interrupts of the device so far.
static INTERRUPTS: AtomicU64 = AtomicU64::new(0);

fn main() -> ! {
    let mut nic = Nic::open();
    gic::set_edge(machine::virtio_intid(0));
    gic::enable(machine::virtio_intid(0), gic::PRIORITY);
    gic::enable(Timer::Physical.intid(), gic::PRIORITY);
    if nic.mac() == SENDER.mac { measure(&mut nic) } else { answer(&mut nic) }
}

fn interrupt(intid: IntId) {
    if intid == machine::virtio_intid(0) {
        nic::transport().acknowledge();
        INTERRUPTS.store(INTERRUPTS.load(Relaxed) + 1, Relaxed);
    } else if intid == Timer::Physical.intid() && Timer::Physical.has_passed() {
        // Otherwise it was the deadline before, which nobody waited for any more.
        Timer::Physical.stop();
    }
}

fn measure(nic: &mut Nic) -> ! {
    // Until the peer is there and until the way out is, one at a time.
    nic.prepare(SENDER, RECEIVER, Kind::Datagram(DISCARD));
    until_answered(nic);
    phase::<100>(nic, "net_guest_to_guest", |nic| {
        send(nic, NEAR);
        nic.wait_received();
        assert!(nic.receive() == Some((FRAMES, 1)), "frames were lost");
    });
    nic.prepare(SENDER, OUTSIDE, Kind::Echo);
    until_answered(nic);
    phase::<102>(nic, "net_echo", echo);
    nic.prepare(SENDER, OUTSIDE, Kind::Datagram(DISCARD));
    phase::<101>(nic, "net_out", |nic| send(nic, FAR));
    println!("PHASE 3 net_idle {IDLE_S}");
    settle();
    insn::hint::<103>();
    sleep(IDLE_S * timer::frequency());
    insn::hint::<127>();
    println!("BENCH-DONE");
    // The last of none: the receiver ends, and then the machine does.
    nic.prepare(SENDER, RECEIVER, Kind::Datagram(DISCARD));
    nic.send(0, 0, 0);
    nic.kick();
    nic.wait_sent(1);
    psci::system_off()
}

/// Sends one frame every now and then until an answer comes, which has no other cause; then takes what else comes.
fn until_answered(nic: &mut Nic) {
    while nic.receive().is_none() {
        nic.send(0, 0, 1);
        nic.kick();
        sleep(timer::frequency() / 50);
        while nic.take_sent().is_some() {}
    }
    sleep(timer::frequency() / 50);
    while nic.receive().is_some() {}
}

/// Brackets a phase of [`FRAMES`].
#[inline(never)]
fn phase<const HINT: u8>(nic: &mut Nic, name: &str, body: impl FnOnce(&mut Nic)) {
    println!("PHASE {} {name} {FRAMES}", HINT - 100);
    settle();
    let (kicks, interrupts) = (nic.kicks(), INTERRUPTS.load(Relaxed));
    insn::hint::<HINT>();
    body(nic);
    insn::hint::<127>();
    let (kicks, interrupts) = (nic.kicks() - kicks, INTERRUPTS.load(Relaxed) - interrupts);
    println!("bench: {name}: {FRAMES} frames, {kicks} kicks, {interrupts} interrupts");
}

/// Sends [`FRAMES`], `window` in flight.
fn send(nic: &mut Nic, window: u64) {
    let (mut begun, mut done) = (0, 0);
    while begun < window.min(FRAMES) {
        nic.send(begun, begun, FRAMES);
        begun += 1;
    }
    nic.kick();
    while done < FRAMES {
        while let Some(element) = nic.take_sent() {
            done += 1;
            if begun < FRAMES {
                nic.send(element, begun, FRAMES);
                begun += 1;
            }
        }
        nic.kick();
        if done < FRAMES {
            nic.wait_sent(begun - done);
        }
    }
}

/// Sends [`FRAMES`] echo requests, [`ASKED`] unanswered.
fn echo(nic: &mut Nic) {
    let (mut begun, mut done) = (0, 0);
    while done < FRAMES {
        while nic.receive().is_some() {
            done += 1;
        }
        while nic.take_sent().is_some() {}
        while begun < FRAMES && begun - done < ASKED {
            nic.send(begun % WINDOW, begun, FRAMES);
            begun += 1;
        }
        nic.kick();
        if done < FRAMES {
            nic.wait_received();
        }
    }
}

/// Takes all that comes, and after the last frame of a number of them says how many there were.
fn answer(nic: &mut Nic) -> ! {
    nic.prepare(RECEIVER, SENDER, Kind::Datagram(DISCARD));
    let mut seen = 0;
    loop {
        while let Some((number, count)) = nic.receive() {
            seen += 1;
            if count == 0 {
                psci::system_off();
            }
            if number + 1 == count {
                nic.send(0, seen, 1);
                seen = 0;
            }
        }
        while nic.take_sent().is_some() {}
        nic.kick();
        nic.wait_received();
    }
}

/// Waits for an interrupt and takes it; `has_come` is asked while interrupts are masked, so none is missed.
pub fn wait(has_come: impl Fn() -> bool) {
    while !has_come() {
        insn::wfi();
        insn::unmask_irq();
        insn::mask_irq();
    }
}

/// Sleeps so many ticks; an interrupt ends no sleep.
fn sleep(ticks: u64) {
    let timer = Timer::Physical;
    let end = timer.count() + ticks;
    timer.set_deadline(end);
    timer.enable();
    wait(|| timer.count() >= end);
}

/// Two milliseconds for what this guest printed to leave the machine.
fn settle() {
    sleep(timer::frequency() / 500);
}
