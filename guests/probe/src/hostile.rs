//! What a driver should not do to a virtio device: resets with requests in flight, and a device that is told nonsense.
//!
//! After a reset no byte of the guest's memory may change: all of it is canaries then.

use crate::access::{Kind, touch};
use crate::arch::{get, order, put};
use crate::disk::{Disk, close, with_disk};
use crate::net;
use crate::reply::{Arguments, Refusal, Reply, check};
use crate::shared::{self, memory};
use crate::virtio::{self, ring};
use blocks::Random;
use rt::arch::access::*;
use rt::board::board;
use rt::timer;
use rt::virtio::queue::{INDIRECT, NEXT, WRITE, describe};
use rt::virtio::{EVENT_IDX, INDIRECT_DESC, NETWORK, Transport, VERSION_1, register};
use rt::{println, psci};

/// Most microseconds between requests and the reset that cuts them off: so that a device has seen none of them, some, or
/// is done with most.
const DELAYS_US: [u64; 3] = [30, 300, 3000];
/// Microseconds that canaries are watched after most resets, and after one in [`LONG_WATCH`].
const WATCH_US: u64 = 50;
const LONG_WATCH_US: u64 = 5000;
const LONG_WATCH: u64 = 64;
/// Writes that a device's driver makes, in percent of a flood.
const WRITES: u64 = 30;
/// DeviceID of a console.
const CONSOLE: u32 = 3;
/// A word that no disk holds.
const CANARY: u64 = 0x6361_6e61_7279_0000;
/// Where rings and data of an attack lie, and how much memory that is.
const PLAYGROUND: u64 = 1 << 20;
/// Longest buffer in it.
const LONGEST: u64 = 1 << 16;
/// Where an attack's tables of descriptors lie in it.
const TABLES: [u64; 4] = [0x3000, 0x3400, 0x3800, 0x3c00];
const LOADS: [Leaf; 4] = [rt_load8, rt_load16, rt_load32, rt_load64];
const STORES: [Leaf; 4] = [rt_store8, rt_store16, rt_store32, rt_store64];

fn pause(us: u64) {
    let end = timer::now() + us * timer::frequency() / 1_000_000;
    while timer::now() < end {}
}

fn pause_somewhat(random: &mut Random) {
    let most = random.pick(&DELAYS_US);
    pause(random.below(most));
}

fn canary(at: u64) -> u64 {
    CANARY ^ at.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn fill(ranges: &[(u64, u64)]) {
    for &(start, end) in ranges {
        (start..end).step_by(8).for_each(|at| put(at, canary(at)));
    }
}

fn must_be_untouched(ranges: &[(u64, u64)]) -> Reply {
    for &(start, end) in ranges {
        if let Some(at) = (start..end).step_by(8).find(|&at| get::<u64>(at) != canary(at)) {
            return Err(Refusal::Wrong("memory changed after a reset: address, value", at, get(at)));
        }
    }
    Ok(())
}

/// `rebind`: again and again requests in flight, a reset, and nothing more lands.
pub fn rebind(arguments: &mut Arguments) -> Reply {
    let (rounds, seed) = (arguments.number()?, arguments.number()?);
    let mut random = Random::new(seed);
    let (mut flown, mut cut_off) = (0, 0);
    with_disk(|disk| {
        for round in 0..rounds {
            flown += disk.flood(&mut random, WRITES);
            pause_somewhat(&mut random);
            cut_off += disk.reset_in_flight()?;
            let shared = disk.shared();
            fill(&shared);
            pause(if round % LONG_WATCH == 0 { LONG_WATCH_US } else { WATCH_US });
            must_be_untouched(&shared)?;
            disk.begin_again()?;
            disk.spot_check(&mut random)?;
        }
        Ok(())
    })?;
    println!("ok rounds={rounds} flown={flown} cut_off={cut_off}");
    Ok(())
}

/// `flyingreset`: requests in flight, most of them into this guest's RAM, and SYSTEM_RESET.
pub fn flying_reset(arguments: &mut Arguments) -> Reply {
    let (slot, seed) = (arguments.number()?, arguments.number()?);
    let (mut disk, mut random) = (Disk::open(slot, EVENT_IDX | INDIRECT_DESC)?, Random::new(seed));
    disk.flood(&mut random, WRITES);
    pause_somewhat(&mut random);
    psci::system_reset()
}

/// `vread`: every offset of a transport page, in every size, so many times.
pub fn read_all(arguments: &mut Arguments) -> Reply {
    let (slot, rounds) = (arguments.number()?, arguments.number()?);
    let base = virtio::find(slot)?.base();
    rt::cpu::without_interrupts(|| {
        for _ in 0..rounds {
            for (shift, load) in LOADS.into_iter().enumerate() {
                for offset in (0..rt::machine::VIRTIO_STRIDE).step_by(1 << shift) {
                    touch(load, base + offset, 0, Kind::Data)?;
                }
            }
        }
        Ok(())
    })
    .map_err(Refusal::Fault)?;
    println!("ok status=0x{:x}", touch(rt_load32, base + register::INTERRUPT_STATUS, 0, Kind::Data)?);
    Ok(())
}

/// `vattack`: registers written with anything, rings of anything, at the transport in this slot. In the end the device
/// must be a device again, and this guest's other memory as it was.
pub fn attack(arguments: &mut Arguments) -> Reply {
    let (slot, seed, rounds) = (arguments.number()?, arguments.number()?, arguments.number()?);
    let transport = virtio::find(slot)?;
    close();
    net::close();
    // What is to be sent is what a network device or a console looks for by itself.
    let queues = if [NETWORK, CONSOLE].contains(&transport.read(register::DEVICE_ID)) { 2 } else { 1 };
    let mut random = Random::new(seed);
    let (behind, end) = (memory() + PLAYGROUND, shared::ram().1);
    // Up to the device tree, if it lies near the end.
    let end = board().device_tree.filter(|tree| (behind..end).contains(tree)).unwrap_or(end) & !7;
    check(end > behind, "this guest's RAM is too small")?;
    let others = [(behind, end)];
    fill(&others);
    let (mut faults, mut broken, mut received) = (0_u64, 0_u64, 0_u64);
    for _ in 0..rounds {
        match random.below(4) {
            0 => (0..16).for_each(|_| faults += u64::from(write_anything(transport, &mut random).is_err())),
            1 => hand_over_anything(transport, &mut random)?,
            n => {
                let queue = (n as u32) % queues;
                let is_broken = u64::from(ring_of_anything(transport, queue, &mut random)?);
                broken += is_broken;
                received += if queue == 0 { is_broken } else { 0 };
            }
        }
    }
    transport.reset();
    check(transport.read(register::STATUS) == 0, "the device is not reset")?;
    pause(LONG_WATCH_US);
    must_be_untouched(&others)?;
    println!("ok faults={faults} broken={broken} received={received}");
    Ok(())
}

/// A store of any size, anywhere in the page, of anything.
fn write_anything(transport: Transport, random: &mut Random) -> Result<u64, rt::trap::Fault> {
    let size = random.below(4) as usize;
    // Registers that do something lie in the first 256 bytes.
    let bound = random.pick(&[0x100, 0x100, 0x200, rt::machine::VIRTIO_STRIDE]);
    let mut offset = random.below(bound);
    if random.below(8) != 0 {
        offset &= !((1 << size) - 1);
    }
    touch(STORES[size], transport.base() + offset, random.value(), Kind::Data)
}

/// A place in the playground with room for the longest buffer that may lie there.
fn inside(random: &mut Random) -> u64 {
    memory() + random.below(PLAYGROUND - LONGEST)
}

/// Where no byte, or not every byte of something long, is this guest's RAM.
fn outside(random: &mut Random) -> u64 {
    let (ram, bytes) = board().ram;
    match random.below(7) {
        0 => ram + bytes - 8,
        1 => ram - 8,
        2 => u64::MAX - 7,
        3 => rt::machine::VIRTIO.as_u64(),
        4 => ram + bytes,
        5 => 0,
        _ => random.next() | 1 << 63,
    }
}

/// A buffer: in the playground, or nowhere, or from there to nowhere.
fn buffer(random: &mut Random) -> (u64, u32) {
    let long = random.pick(&[16, 4096, 0x8000_0000, u32::MAX]);
    match random.below(4) {
        0 => (outside(random), long),
        1 => (inside(random), random.pick(&[0x8000_0000, u32::MAX])),
        _ => (inside(random), random.pick(&[0, 1, 16, 512, 4096, LONGEST as u32])),
    }
}

/// A descriptor of anything, in a table of this many.
fn describe_anything(random: &mut Random, table: u64, number: u64, count: u64) {
    let (mut at, mut bytes) = buffer(random);
    let any = random.next() as u16;
    let flags = random.pick(&[0, NEXT, NEXT, NEXT, NEXT | WRITE, WRITE, INDIRECT, INDIRECT | NEXT, any]);
    if flags & INDIRECT != 0 && random.below(4) != 0 {
        (at, bytes) = (TABLES.map(|offset| memory() + offset)[random.below(4) as usize], 16 * random.below(20) as u32);
    }
    let following = (number + 1) as u16;
    let next = random.pick(&[following, following, following, number as u16, 0, count as u16, any]);
    describe(table, number as u16, at, bytes, flags, next);
}

/// A queue of any size at any place, and kicks of queues that do not exist.
fn hand_over_anything(transport: Transport, random: &mut Random) -> Reply {
    let features = random.next() | VERSION_1;
    virtio::begin(transport, features)?;
    let size = random.pick(&[0, 3, 16, 256, 257, 0x8000, u32::MAX]);
    let mut part = || {
        let at = if random.below(2) == 0 { inside(random) } else { outside(random) };
        // What the parts must be aligned to.
        if random.below(4) == 0 { at } else { at & !15 }
    };
    transport.hand_over(0, size, [part(), part(), part()]);
    transport.ready();
    for queue in [0, 1, 3, 4, 255, 0xffff_0000] {
        transport.notify(queue);
    }
    pause(random.below(WATCH_US));
    Ok(())
}

/// A sound queue whose descriptors are not; true if the device said so.
fn ring_of_anything(transport: Transport, queue: u32, random: &mut Random) -> Result<bool, Refusal> {
    const SIZE: u64 = 16;
    let (table, driver, device) = (memory(), memory() + 0x1000, memory() + 0x2000);
    virtio::begin(transport, VERSION_1 | random.pick(&[0, INDIRECT_DESC, EVENT_IDX, INDIRECT_DESC | EVENT_IDX]))?;
    (table..device + 0x1000).step_by(8).for_each(|at| put(at, 0_u64));
    for number in 0..SIZE {
        describe_anything(random, table, number, SIZE);
        TABLES.iter().for_each(|offset| describe_anything(random, memory() + offset, number, SIZE));
    }
    for slot in 0..SIZE {
        let any = random.next() as u16;
        put(driver + 4 + 2 * slot, random.pick(&[slot as u16, slot as u16, slot as u16, 0, 16, any]));
    }
    transport.hand_over(queue, SIZE as u32, [table, driver, device]);
    transport.ready();
    order();
    let any = random.next() as u16;
    put(driver + 2, random.pick(&[1, 1, 8, 16, 17, 0x8000, any]));
    order();
    transport.notify(queue);
    pause(random.below(WATCH_US));
    Ok(transport.is_broken())
}

/// What the ring's own module gives a driver that behaves lies in the playground too.
const _: () = assert!(ring::BYTES <= PLAYGROUND);
