//! Loads, stores and jumps at any intermediate physical address, faults reported.
//!
//! Own RAM is reached where the runtime maps it. Everything else goes through a window of two 1 GiB blocks of TTBR1
//! that slides over the address space: Device, and Normal non-cacheable executable.

use crate::arch;
use crate::reply::{Arguments, Refusal, Reply};
use aarch64_cpu::registers::{VBAR_EL1, Writeable as _};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use rt::arch::access::*;
use rt::board::board;
use rt::println;
use rt::trap::{Fault, attempt};

const GIB: u64 = 1 << 30;
/// Level-1 block: valid, AF, inner shareable.
const BLOCK: u64 = 0x701;
/// MAIR index 0 (Device), execute-never.
const DEVICE: u64 = BLOCK | 0b11 << 53;
/// MAIR index 2 (Normal non-cacheable).
const NORMAL: u64 = BLOCK | 2 << 2;
/// No device of the guest machine, no RAM, nothing on QEMU's board.
const NOWHERE: u64 = 0x0b00_0000;

/// The GiB that the window shows; all ones = none.
static SHOWN: AtomicU64 = AtomicU64::new(!0);

/// How a leaf touches memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Loads and stores below 1 GiB: device registers.
    Data,
    /// Instruction fetch.
    Code,
}

/// The vectors go where no instruction can be fetched from: every exception's vector is an abort in turn. The
/// window, not the identity map, whose device half the guest's own translation makes execute-never.
pub fn unplug_vectors() {
    let vectors = locate(NOWHERE, Kind::Code);
    VBAR_EL1.set(vectors);
    rt::arch::insn::isb();
}

/// Makes the window usable.
pub fn open_window() {
    arch::enable_window();
}

/// Runs a leaf on an address; `far` of a fault is that address space's, not the window's.
pub fn touch(leaf: Leaf, address: u64, value: u64, kind: Kind) -> Result<u64, Fault> {
    let at = locate(address, kind);
    // SAFETY: the leaf is one of `rt::arch::access`; what a store or jump does when it does not fault is the test's
    // own doing, and the canaries and the runtime's memory are not in reach of the tests' addresses.
    unsafe { attempt(leaf, at, value) }.map_err(|fault| Fault {
        far: if fault.far >= arch::WINDOW { (fault.far & (GIB - 1)) | (address & !(GIB - 1)) } else { fault.far },
        ..fault
    })
}

/// Where the window shows a device register, until it moves on.
pub fn shown(address: u64) -> u64 {
    locate(address, Kind::Data)
}

/// The virtual address at which the leaf reaches this address.
fn locate(address: u64, kind: Kind) -> u64 {
    let (base, bytes) = board().ram;
    if address.checked_sub(base).is_some_and(|offset| offset < bytes) && address < 4 * GIB {
        return address;
    }
    let gib = address & !(GIB - 1);
    if SHOWN.swap(gib, Relaxed) != gib {
        let output = gib & ((1 << 48) - 1);
        arch::set_window(0, output | DEVICE);
        arch::set_window(1, output | NORMAL);
    }
    let is_normal = kind == Kind::Code || gib != 0;
    arch::WINDOW + if is_normal { GIB } else { 0 } + (address & (GIB - 1))
}

fn load(arguments: &mut Arguments, leaf: Leaf) -> Reply {
    let value = touch(leaf, arguments.number()?, 0, Kind::Data)?;
    println!("ok 0x{value:x}");
    Ok(())
}

fn store(arguments: &mut Arguments, leaf: Leaf) -> Reply {
    touch(leaf, arguments.number()?, arguments.number()?, Kind::Data)?;
    println!("ok");
    Ok(())
}

/// `read8`
pub fn read8(arguments: &mut Arguments) -> Reply {
    load(arguments, rt_load8)
}
/// `read16`
pub fn read16(arguments: &mut Arguments) -> Reply {
    load(arguments, rt_load16)
}
/// `read32`
pub fn read32(arguments: &mut Arguments) -> Reply {
    load(arguments, rt_load32)
}
/// `read64`
pub fn read64(arguments: &mut Arguments) -> Reply {
    load(arguments, rt_load64)
}
/// `write8`
pub fn write8(arguments: &mut Arguments) -> Reply {
    store(arguments, rt_store8)
}
/// `write16`
pub fn write16(arguments: &mut Arguments) -> Reply {
    store(arguments, rt_store16)
}
/// `write32`
pub fn write32(arguments: &mut Arguments) -> Reply {
    store(arguments, rt_store32)
}
/// `write64`
pub fn write64(arguments: &mut Arguments) -> Reply {
    store(arguments, rt_store64)
}

/// `exec`
pub fn exec(arguments: &mut Arguments) -> Reply {
    touch(rt_jump, arguments.number()?, 0, Kind::Code)?;
    println!("ok");
    Ok(())
}

/// `stray`
pub fn stray(_: &mut Arguments) -> Reply {
    let value = touch(rt_load32, NOWHERE, 0, Kind::Data)?;
    Err(Refusal::Wrong("no fault at", NOWHERE, value))
}

/// `canary`
pub fn canary(arguments: &mut Arguments) -> Reply {
    let is_fill = match arguments.next() {
        Some("fill") => true,
        Some("check") => false,
        _ => return Err(Refusal::Error("canary fill or canary check")),
    };
    let (start, bytes) = (arguments.number()?, arguments.number()?);
    let end = start.checked_add(bytes).ok_or(Refusal::Error("the range wraps"))?;
    let (ram, ram_bytes) = board().ram;
    let is_own = start >= rt::arch::free_ram() && end <= ram + ram_bytes && start % 8 == 0;
    if !is_own {
        return Err(Refusal::Error("not in free own RAM, or not aligned to 8 bytes (see machine)"));
    }
    for address in (start..end).step_by(8) {
        if is_fill {
            touch(rt_store64, address, pattern(address), Kind::Data)?;
        } else {
            let value = touch(rt_load64, address, 0, Kind::Data)?;
            if value != pattern(address) {
                return Err(Refusal::Wrong("canary changed at", address, value));
            }
        }
    }
    println!("ok");
    Ok(())
}

/// Differs at every address, so that a shifted or repeated copy is seen too.
fn pattern(address: u64) -> u64 {
    address.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) ^ 0x6275_6c6b_6865_6164
}
