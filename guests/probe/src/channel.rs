//! Orders about a channel: bytes that both ends can check, the doorbell, and what no honest end does. One channel is open at a
//! time.
//!
//! Byte n of a stream is a function of n and the order's seed, so that a byte lost, doubled or of another life is seen.

use crate::arch::{get, put};
use crate::interrupts;
use crate::reply::{Arguments, Refusal, Reply, check};
use blocks::Random;
use rt::arch::insn;
use rt::channel::{self, Channel, Continuity, ENDS};
use rt::timer::{self, Timer};
use rt::{gic, machine, println};
use spin::mutex::SpinMutex;

/// Seconds without anything new.
const PATIENCE_S: u64 = 10;
/// Bytes that are moved in one piece.
const PIECE: usize = 256;

static OPEN: SpinMutex<Option<Channel>> = SpinMutex::new(None);

fn with_channel(body: impl FnOnce(&mut Channel) -> Reply) -> Reply {
    body(OPEN.lock().as_mut().ok_or(Refusal::Error("no channel is open"))?)
}

/// `copen`
pub fn open(arguments: &mut Arguments) -> Reply {
    let name = arguments.next().ok_or(Refusal::Error("a name is missing"))?;
    let mut found = channel::find(name).ok_or(Refusal::Error("no such channel"))?;
    check(found.end.renew() == Continuity::Anew, "no epoch has begun")?;
    gic::set_edge(found.intid);
    gic::enable(found.intid, gic::PRIORITY);
    println!("ok channel={} capacity={}", found.number, found.end.capacity());
    *OPEN.lock() = Some(found);
    Ok(())
}

/// `cstate`
pub fn state(_: &mut Arguments) -> Reply {
    with_channel(|channel| {
        let is_anew = channel.end.renew() == Continuity::Anew;
        let end = &channel.end;
        println!(
            "ok anew={} peer={} available={} free={} rung={}",
            u8::from(is_anew),
            u8::from(end.has_peer()),
            end.available(),
            end.free(),
            interrupts::count(channel.intid)
        );
        Ok(())
    })
}

/// `cring`
pub fn ring(_: &mut Arguments) -> Reply {
    with_channel(|channel| {
        channel.ring_doorbell();
        println!("ok");
        Ok(())
    })
}

fn pattern(seed: u64, place: u64) -> u8 {
    (place.wrapping_mul(0x9e37_79b9).wrapping_add(seed) >> 8) as u8
}

/// `csay`
pub fn say(arguments: &mut Arguments) -> Reply {
    let (bytes, seed) = (arguments.number()?, arguments.number()?);
    with_channel(|channel| {
        let mut sleeps = 0;
        let mut done = 0;
        while done < bytes {
            check(channel.end.renew() == Continuity::Same, "the channel was cleared")?;
            let count = (bytes - done).min(PIECE as u64) as usize;
            let piece: [u8; PIECE] = core::array::from_fn(|n| pattern(seed, done + n as u64));
            let written = channel.end.write(piece.get(..count).unwrap_or_default());
            done += written as u64;
            if written > 0 {
                channel.ring_doorbell();
            } else {
                sleeps += 1;
                sleep_until(channel, |channel| channel.end.free() > 0)?;
            }
        }
        println!("ok said={done} sleeps={sleeps}");
        Ok(())
    })
}

/// `chear`
pub fn hear(arguments: &mut Arguments) -> Reply {
    let (bytes, seed) = (arguments.number()?, arguments.number()?);
    with_channel(|channel| {
        let mut sleeps = 0;
        let mut done = 0;
        while done < bytes {
            check(channel.end.renew() == Continuity::Same, "the channel was cleared")?;
            let mut piece = [0; PIECE];
            let count = (bytes - done).min(PIECE as u64) as usize;
            let read = channel.end.read(piece.get_mut(..count).unwrap_or_default());
            for byte in piece.iter().take(read) {
                let expected = pattern(seed, done);
                if *byte != expected {
                    return Err(Refusal::Wrong("another byte at", done, (*byte).into()));
                }
                done += 1;
            }
            if read > 0 {
                channel.ring_doorbell();
            } else {
                sleeps += 1;
                sleep_until(channel, |channel| channel.end.available() > 0)?;
            }
        }
        println!("ok heard={done} sleeps={sleeps}");
        Ok(())
    })
}

/// `clie`
pub fn lie(arguments: &mut Arguments) -> Reply {
    /// Words of the two ends' lines (crate `channel`).
    const LINES: u64 = 16;
    let (rounds, seed) = (arguments.number()?, arguments.number()?);
    with_channel(|channel| {
        let start = machine::channel_ipa(channel.number as usize).as_u64();
        let (epoch, positions) = (get::<u64>(start), 2 * u64::from(channel.end.capacity()));
        let words = LINES + positions / size_of::<u64>() as u64;
        let mut random = Random::new(seed);
        for _ in 0..rounds {
            let word = random.pick(&[LINES, LINES, words]);
            let position = random.pick(&[positions, positions, positions, 1 << 32]);
            let said = epoch.wrapping_add(random.below(8) / 7) << 32 | random.below(position);
            put(start + ENDS as u64 + random.below(word) * size_of::<u64>() as u64, said);
            channel.ring_doorbell();
        }
        println!("ok lies={rounds}");
        Ok(())
    })
}

/// `cwatch`
pub fn watch(arguments: &mut Arguments) -> Reply {
    let before = arguments.number()?;
    with_channel(|channel| {
        let intid = channel.intid;
        sleep_until(channel, |_| u64::from(interrupts::count(intid)) > before)?;
        let is_anew = channel.end.renew() == Continuity::Anew;
        println!("ok anew={} rung={}", u8::from(is_anew), interrupts::count(intid));
        Ok(())
    })
}

/// Sleeps until it is so, or the channel was cleared. The other end rings whenever it has done something; only the timer
/// that says how long to be patient ends a WFI otherwise.
fn sleep_until(channel: &mut Channel, mut is_so: impl FnMut(&mut Channel) -> bool) -> Reply {
    let until = Timer::Physical.count() + PATIENCE_S * timer::frequency();
    loop {
        // An interrupt between the look and the WFI stays pending, and ends it.
        insn::mask_irq();
        let is_over = Timer::Physical.count() >= until;
        if is_over || is_so(channel) || channel.end.is_over() {
            insn::unmask_irq();
            Timer::Physical.stop();
            return check(!is_over, "the other end says nothing");
        }
        Timer::Physical.set_deadline(until);
        Timer::Physical.enable();
        insn::wfi();
        insn::unmask_irq();
    }
}
