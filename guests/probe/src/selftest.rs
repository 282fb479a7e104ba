//! Self-tests of what a vCPU owns: timers, caches, registers, debug and performance monitors, console.

use crate::access::{Kind, touch};
use crate::arch;
use crate::interrupts;
use crate::reply::{Arguments, Refusal, Reply, check};
use crate::sysreg::{Encoding, named, read_register, write_register};
use rt::arch::access::*;
use rt::board::board;
use rt::timer::{self, Timer};
use rt::trap::attempt;
use rt::{gic, machine, print, println};

/// A pattern.
const PATTERN: u64 = 0x5a5a_5a5a_5a5a_5a5a;

/// `timer`: each timer's interrupt comes once, after its deadline.
pub fn timers(_: &mut Arguments) -> Reply {
    let late_virtual = fires_once(Timer::Virtual)?;
    let late_physical = fires_once(Timer::Physical)?;
    println!(
        "ok vct={} pct={} late_virtual={late_virtual} late_physical={late_physical}",
        Timer::Virtual.count(),
        Timer::Physical.count()
    );
    Ok(())
}

fn fires_once(timer: Timer) -> Result<u64, Refusal> {
    gic::enable(timer.intid(), gic::PRIORITY);
    let before = interrupts::count(timer.intid());
    let start = timer.count();
    let deadline = start + timer::frequency() / 1000;
    timer.set_deadline(deadline);
    timer.enable();
    let end = deadline + timer::frequency();
    let taken_at = loop {
        let now = timer.count();
        check(now >= start, "the counter went backwards")?;
        if interrupts::count(timer.intid()) != before {
            break interrupts::timer_taken_at();
        }
        if now > end {
            timer.stop();
            return Err(Refusal::Wrong("no interrupt in a second: INTID, passed", timer.intid().number().into(), 0));
        }
    };
    check(taken_at >= deadline, "an interrupt before the deadline")?;
    // The handler stopped the timer: nothing more may come.
    let quiet = timer.count() + timer::frequency() / 500;
    while timer.count() < quiet {}
    check(interrupts::count(timer.intid()) == before + 1, "more than one interrupt for one deadline")?;
    Ok(taken_at - deadline)
}

/// `setway`: a pattern in memory survives DC CISW of every line of every data or unified cache (CLIDR, CCSIDR).
pub fn set_way(_: &mut Arguments) -> Reply {
    const WORDS: u64 = 4096;
    let base = rt::arch::free_ram();
    for word in 0..WORDS {
        touch(rt_store64, base + 8 * word, word ^ PATTERN, Kind::Data)?;
    }
    let read = |name| read_register(named(name).expect("NAMES has it"));
    let (clidr, has_wide_ccsidr) = (read("CLIDR")?, read("ID_AA64MMFR2")? >> 20 & 0xf != 0);
    let mut lines = 0_u64;
    for level in 0..7 {
        // Ctype: 2 data, 3 separate, 4 unified.
        if !(2..=4).contains(&(clidr >> (3 * level) & 7)) {
            continue;
        }
        write_register(named("CSSELR").expect("NAMES has it"), level << 1)?;
        let ccsidr = read("CCSIDR")?;
        let line_shift = (ccsidr & 7) + 4;
        let (ways, sets) = match has_wide_ccsidr {
            true => ((ccsidr >> 3 & 0x1f_ffff) + 1, (ccsidr >> 32 & 0xff_ffff) + 1),
            false => ((ccsidr >> 3 & 0x3ff) + 1, (ccsidr >> 13 & 0x7fff) + 1),
        };
        // The way is left-aligned in bits 31:32-A; a direct-mapped cache has none.
        let way_shift = (ways as u32).next_power_of_two().leading_zeros() + 1;
        for (way, set) in (0..ways).flat_map(|way| (0..sets).map(move |set| (way, set))) {
            let way_bits = if ways > 1 { way << way_shift } else { 0 };
            arch::clean_invalidate_set_way(way_bits | set << line_shift | level << 1);
            lines += 1;
        }
    }
    for word in 0..WORDS {
        let value = touch(rt_load64, base + 8 * word, 0, Kind::Data)?;
        if value != word ^ PATTERN {
            return Err(Refusal::Wrong("memory changed at", base + 8 * word, value));
        }
    }
    println!("ok lines={lines}");
    Ok(())
}

/// `uart`
pub fn uart(_: &mut Arguments) -> Reply {
    const DR: u64 = 0x00;
    const FR: u64 = 0x18;
    const PERIPH_ID0: u64 = 0xfe0;
    let at = |offset| machine::UART.as_u64() + offset;
    touch(rt_store8, at(DR), b'a'.into(), Kind::Data)?;
    touch(rt_store16, at(DR), b'b'.into(), Kind::Data)?;
    touch(rt_store32, at(DR), b'c'.into(), Kind::Data)?;
    println!();
    let mut flags = [0; 3];
    for (flags, leaf) in flags.iter_mut().zip([rt_load8 as Leaf, rt_load16, rt_load32]) {
        *flags = touch(leaf, at(FR), 0, Kind::Data)?;
    }
    print!("ok fr=0x{:x},0x{:x},0x{:x} id=", flags[0], flags[1], flags[2]);
    for n in 0..8 {
        print!("{:02x}", touch(rt_load32, at(PERIPH_ID0 + 4 * n), 0, Kind::Data)?);
    }
    println!();
    Ok(())
}

/// `dbg`
pub fn debug(_: &mut Arguments) -> Reply {
    let ec = breakpoint_ec()?;
    let cycles = count_cycles()?;
    check(ec == 0x31, "the breakpoint did not hit")?;
    check(cycles > 0, "the cycle counter did not count")?;
    println!("ok breakpoint=hit cycles={cycles}");
    Ok(())
}

/// The exception class that calling a function with a breakpoint on it ends in; 0x31 = breakpoint at this level.
fn breakpoint_ec() -> Result<u64, Refusal> {
    const OSLAR: Encoding = Encoding(2, 0, 1, 0, 4);
    const MDSCR: Encoding = Encoding(2, 0, 0, 2, 2);
    const DBGBVR0: Encoding = Encoding(2, 0, 0, 0, 4);
    const DBGBCR0: Encoding = Encoding(2, 0, 0, 0, 5);
    /// BAS = all four bytes, PMC = EL1, E.
    const BREAK_AT_EL1: u64 = 0xf << 5 | 0b01 << 1 | 1;
    /// MDE and KDE: breakpoints, also at EL1.
    const ENABLE: u64 = 1 << 15 | 1 << 13;
    write_register(OSLAR, 0)?;
    write_register(DBGBVR0, arch::probe_target as *const () as u64)?;
    write_register(DBGBCR0, BREAK_AT_EL1)?;
    write_register(MDSCR, ENABLE)?;
    arch::mask_debug(false);
    // SAFETY: a leaf that does nothing.
    let result = unsafe { attempt(arch::probe_target, 0, 0) };
    arch::mask_debug(true);
    write_register(MDSCR, 0)?;
    write_register(DBGBCR0, 0)?;
    Ok(result.err().map_or(0, |fault| fault.ec()))
}

fn count_cycles() -> Result<u64, Refusal> {
    /// PMCR: LC (64 bits), C (reset the cycle counter), E.
    const ON: u64 = 1 << 6 | 1 << 2 | 1;
    const CYCLE_COUNTER: u64 = 1 << 31;
    let register = |name| named(name).expect("NAMES has it");
    let version = read_register(register("ID_AA64DFR0"))? >> 8 & 0xf;
    check(version != 0 && version != 0xf, "this CPU has no PMU")?;
    write_register(register("PMCCFILTR"), 0)?;
    write_register(register("PMCNTENSET"), CYCLE_COUNTER)?;
    write_register(register("PMCR"), ON)?;
    let before = read_register(register("PMCCNTR"))?;
    let end = timer::now() + timer::frequency() / 1000;
    while timer::now() < end {}
    let after = read_register(register("PMCCNTR"))?;
    write_register(register("PMCR"), 0)?;
    Ok(after.wrapping_sub(before))
}

/// Whether the address is this guest's RAM.
pub fn is_own_ram(address: u64) -> bool {
    let (base, bytes) = board().ram;
    address.checked_sub(base).is_some_and(|offset| offset < bytes)
}
