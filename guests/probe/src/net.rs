//! Orders about a virtio network device ([`device`]): frames that are checked at both ends, frames of the test's making,
//! floods, and what no driver should send ([`hostile`]). One device is open at a time.
//!
//! Addresses on the order are numbers: `0x024248000002` and `0x0a000005`.

mod device;
mod frame;
pub mod hostile;

use crate::disk;
use crate::reply::{Arguments, Refusal, Reply, check};
use device::Nic;
use frame::{Kind, Peer};
use rt::timer::{self, Timer};
use rt::{print, println};
use spin::mutex::SpinMutex;

/// Most frames that are asked and not yet answered.
const MAX_WINDOW: usize = 64;
/// An answer that takes longer is not waited for: the frame is sent again. In milliseconds.
const AGAIN_MS: u64 = 200;
/// How often a flood lets others have their turn where they share a clock.
const TURNS_PER_S: u64 = 50_000;
/// Seconds without anything new.
const PATIENCE_S: u64 = 60;
/// How often the end is announced.
const ENDS: u32 = 20;
/// Bytes of a frame that are shown.
const SHOWN: u64 = 42;

static OPEN: SpinMutex<Option<Nic>> = SpinMutex::new(None);

/// Runs `body` on the open device.
fn with_nic(body: impl FnOnce(&mut Nic) -> Reply) -> Reply {
    body(OPEN.lock().as_mut().ok_or(Refusal::Error("no network device is open"))?)
}

/// Forgets the open device: its memory is wanted for something else.
pub fn close() {
    *OPEN.lock() = None;
}

/// Ticks of so many milliseconds.
fn ticks(milliseconds: u64) -> u64 {
    milliseconds * timer::frequency() / 1000
}

/// `nopen`
pub fn open(arguments: &mut Arguments) -> Reply {
    let (slot, ip) = (arguments.number()?, arguments.number()? as u32);
    disk::close();
    let nic = Nic::open(slot, ip, 0)?;
    println!("ok mac=0x{:012x} features=0x{:x}", frame::number(nic.mac), nic.features);
    *OPEN.lock() = Some(nic);
    Ok(())
}

fn peer(arguments: &mut Arguments) -> Result<Peer, Refusal> {
    Ok(Peer { mac: frame::mac(arguments.number()?), ip: arguments.number()? as u32 })
}

/// A frame that was asked: which, and when.
#[derive(Clone, Copy)]
struct Asked {
    sequence: u64,
    at: u64,
}

/// `nping`
pub fn ping(arguments: &mut Arguments) -> Reply {
    let peer = peer(arguments)?;
    let (bytes, count, window) = (arguments.number()?, arguments.number()?, arguments.number()? as usize);
    let again = ticks(arguments.optional()?.unwrap_or(AGAIN_MS));
    check((frame::LEAST..=frame::MOST).contains(&bytes), "58 to 1514 bytes")?;
    check((1..=MAX_WINDOW).contains(&window), "a window of 1 to 64")?;
    with_nic(|nic| {
        nic.drain();
        let begin = timer::now();
        let (resent, others) = ask_all(nic, peer, Asking { bytes, count, window, again })?;
        let ticks = timer::now() - begin;
        end(nic, peer);
        println!("ok done={count} resent={resent} others={others} ticks={ticks} hz={}", timer::frequency());
        Ok(())
    })
}

/// So many frames, of so many bytes, so many at a time, and after how many ticks one is asked again.
#[derive(Clone, Copy)]
struct Asking {
    bytes: u64,
    count: u64,
    window: usize,
    again: u64,
}

/// Asks `count` frames, `window` at a time, until each is answered; returns how many were asked again, and how many frames
/// came that are no answers.
fn ask_all(nic: &mut Nic, peer: Peer, asking: Asking) -> Result<(u64, u64), Refusal> {
    let Asking { bytes, count, window, again } = asking;
    let mut flying = [None::<Asked>; MAX_WINDOW];
    let (mut next, mut done, mut resent, mut others) = (0, 0, 0, 0);
    let mut progress = timer::now();
    while done < count {
        for slot in flying.iter_mut().take(window) {
            let now = timer::now();
            let sequence = match *slot {
                None if next < count => {
                    next += 1;
                    next - 1
                }
                Some(asked) if now - asked.at > again => {
                    resent += 1;
                    asked.sequence
                }
                _ => continue,
            };
            nic.send_checked(Kind::Ask, peer, sequence, bytes)?;
            *slot = Some(Asked { sequence, at: now });
        }
        nic.kick();
        let mut is_new = false;
        while let Some(received) = nic.receive() {
            let answer =
                nic.checked(received)?.filter(|(kind, ..)| *kind == Kind::Answer).map(|(_, sequence)| sequence);
            let own = flying.iter_mut().find(|slot| slot.is_some_and(|asked| Some(asked.sequence) == answer));
            match (own, answer) {
                (Some(slot), _) => (*slot, done, is_new) = (None, done + 1, true),
                // The answer to a frame that was asked twice.
                (None, Some(_)) => {}
                (None, None) => others += 1,
            }
            nic.give_back(received);
        }
        if is_new {
            progress = timer::now();
        } else {
            check(timer::now() - progress < ticks(1000 * PATIENCE_S), "no answer came in 60 s")?;
            nic.sleep(again / 4);
        }
    }
    Ok((resent, others))
}

/// Tells the peer that this was all. It may be gone already.
fn end(nic: &mut Nic, peer: Peer) {
    for _ in 0..ENDS {
        if nic.send_checked(Kind::End, peer, 0, frame::LEAST).is_err() {
            return;
        }
        nic.kick();
        let until = timer::now() + ticks(AGAIN_MS);
        while timer::now() < until {
            while let Some(received) = nic.receive() {
                let is_ended = matches!(nic.checked(received), Ok(Some((Kind::Ended, _))));
                nic.give_back(received);
                if is_ended {
                    return;
                }
            }
            nic.sleep(ticks(AGAIN_MS / 4));
        }
    }
}

/// `necho`
pub fn echo(_: &mut Arguments) -> Reply {
    with_nic(|nic| {
        let (mut answered, mut others) = (0_u64, 0_u64);
        let mut shown = [0; SHOWN as usize];
        let mut progress = timer::now();
        loop {
            let mut is_over = false;
            while let Some(received) = nic.receive() {
                progress = timer::now();
                let from = nic.sender(received);
                match nic.checked(received)? {
                    Some((Kind::Ask, sequence)) => {
                        nic.send_checked(Kind::Answer, from, sequence, received.bytes)?;
                        answered += 1;
                    }
                    Some((Kind::End, _)) => {
                        nic.send_checked(Kind::Ended, from, 0, frame::LEAST)?;
                        is_over = true;
                    }
                    _ => {
                        others += 1;
                        (0..).zip(&mut shown).for_each(|(at, byte)| *byte = nic.byte(received, at));
                    }
                }
                nic.give_back(received);
            }
            nic.kick();
            if is_over {
                break;
            }
            check(timer::now() - progress < ticks(2000 * PATIENCE_S), "no end came in 120 s")?;
            nic.sleep(ticks(AGAIN_MS));
        }
        print!("ok answered={answered} others={others} last=");
        shown.iter().for_each(|byte| print!("{byte:02x}"));
        println!();
        Ok(())
    })
}

/// A frame of the test's making: what it begins with, in hexadecimal digits, and its length; the rest is zeros.
fn made(nic: &mut Nic, arguments: &mut Arguments) -> Result<u64, Refusal> {
    let digits = arguments.next().ok_or(Refusal::Error("a frame is missing"))?;
    let bytes = arguments.number()?;
    check(bytes <= device::LONGEST, "at most 80000 bytes")?;
    nic.finish_sending()?;
    let mut at = 0;
    for pair in digits.as_bytes().chunks(2) {
        let byte = core::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
        nic.put_made(at, byte.ok_or(Refusal::Error("not hexadecimal digits"))?);
        at += 1;
    }
    (at..bytes).for_each(|at| nic.put_made(at, 0));
    Ok(bytes)
}

/// `nsend`
pub fn send(arguments: &mut Arguments) -> Reply {
    with_nic(|nic| {
        let bytes = made(nic, arguments)?;
        let count = arguments.optional()?.unwrap_or(1);
        for _ in 0..count {
            nic.send_made(bytes)?;
            nic.kick();
        }
        nic.finish_sending()?;
        println!("ok sent={count}");
        Ok(())
    })
}

/// Sees to it that a timer is due soon. Under `-icount` QEMU runs a core until one is, so without it each core would go on
/// for 25 ms, and who sends beside whom would depend on the rings' sizes. Nobody takes the interrupt.
fn take_turns() {
    let now = timer::now();
    if Timer::Virtual.deadline() <= now {
        Timer::Virtual.set_deadline(now + timer::frequency() / TURNS_PER_S);
        Timer::Virtual.enable();
    }
}

/// `nflood`
pub fn flood(arguments: &mut Arguments) -> Reply {
    with_nic(|nic| {
        let bytes = made(nic, arguments)?;
        let duration = ticks(arguments.number()?);
        if let Some(at) = arguments.optional()? {
            let at = ticks(at);
            check(Timer::Physical.count() < at, "that time has passed")?;
            while let Some(rest @ 1..) = at.checked_sub(Timer::Physical.count()) {
                nic.sleep(rest);
            }
        }
        let begin = timer::now();
        let mut frames = 0_u64;
        while timer::now() - begin < duration {
            take_turns();
            // As many as there is place for now, before the device is looked at again.
            for _ in 0..nic.places() {
                nic.send_made(bytes)?;
                frames += 1;
            }
            nic.kick();
            nic.collect_sent();
        }
        Timer::Virtual.stop();
        let flying = nic.flying();
        println!("ok frames={} ticks={} hz={}", frames - flying, timer::now() - begin, timer::frequency());
        Ok(())
    })
}

/// `uptime`
pub fn uptime(_: &mut Arguments) -> Reply {
    println!("ok {}", Timer::Physical.count() / ticks(1));
    Ok(())
}

/// `nsink`
pub fn sink(arguments: &mut Arguments) -> Reply {
    let (duration, patience) = (ticks(arguments.number()?), ticks(1000 * PATIENCE_S));
    with_nic(|nic| {
        nic.drain();
        let (mut frames, mut bytes) = (0_u64, 0_u64);
        let (mut begin, asked) = (None::<u64>, timer::now());
        loop {
            let now = timer::now();
            if begin.is_some_and(|begin| now - begin >= duration) {
                break;
            }
            check(begin.is_some() || now - asked < patience, "no frame came in 60 s")?;
            while let Some(received) = nic.receive() {
                // The first one begins the time and does not count.
                match begin {
                    None => begin = Some(timer::now()),
                    Some(_) => (frames, bytes) = (frames + 1, bytes + received.bytes),
                }
                nic.give_back(received);
            }
            nic.kick();
            nic.sleep(ticks(1));
        }
        let ticks = begin.map_or(0, |begin| timer::now() - begin);
        println!("ok frames={frames} bytes={bytes} ticks={ticks} hz={}", timer::frequency());
        Ok(())
    })
}
