//! Bytes of a virtio entropy device.

use crate::arch::{get, put};
use crate::disk::close;
use crate::reply::{Arguments, Refusal, Reply, check};
use crate::shared::memory;
use crate::virtio::{self, ring, ring::Ring};
use rt::virtio::{VERSION_1, register};
use rt::{print, println, timer};

/// Virtio device ID.
const ENTROPY: u32 = 4;
/// Most bytes, a line's worth.
const MAX: u64 = 64;
/// Seconds that the device may take.
const PATIENCE_S: u64 = 60;

/// `entropy`
pub fn entropy(arguments: &mut Arguments) -> Reply {
    let (slot, bytes) = (arguments.number()?, arguments.number()?);
    check((1..=MAX).contains(&bytes), "1 to 64 bytes")?;
    let transport = virtio::find(slot)?;
    check(transport.read(register::DEVICE_ID) == ENTROPY, "no entropy device is there")?;
    close();
    crate::net::close();
    let agreed = virtio::begin(transport, VERSION_1)?;
    let mut ring = Ring::begin(transport, memory(), agreed)?;
    let at = memory() + ring::BYTES;
    (at..at + MAX).step_by(8).for_each(|at| put(at, 0_u64));
    ring.submit_buffer(at, bytes as u32);
    ring.kick();
    let end = timer::now() + PATIENCE_S * timer::frequency();
    let written = loop {
        if let Some(completion) = ring.completed()? {
            break completion.written;
        }
        check(timer::now() < end, "nothing came in 60 s")?;
    };
    transport.reset();
    check(u64::from(written) <= bytes, "more bytes than there was room for")?;
    print!("ok bytes={written} ");
    (at..at + u64::from(written)).for_each(|at| print!("{:02x}", get::<u8>(at)));
    println!();
    Ok::<(), Refusal>(())
}
