//! Ends of a life, and what a life leaves behind: states that a restart must find every vCPU in, RAM full of a pattern,
//! every register full of another, and a look at what of it the next life finds.
//!
//! Nothing here checks by itself: a test orders an end, and compares what two lives say.

use crate::arch;
use crate::interrupts;
use crate::reply::{Arguments, Refusal, Reply, check};
use crate::sysreg::{Encoding, named, read_register, write_register};
use crate::vcpus;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use rt::arch::insn;
use rt::board::board;
use rt::timer::{self, Timer};
use rt::{IntId, console, cpu, gic, print, println, psci};

/// What `poison` writes: no register's enable bit is in it.
const POISON: u64 = 0x5a5a_5a5a_5a5a_5a5a;
/// RAM below the image (guests/rt/link.ld).
const BELOW_IMAGE: u64 = 0x20_0000;
/// Acknowledge attempts: hardware may take a moment to forward what became pending.
const PATIENCE: u32 = 1000;
/// The SPIs that `hold` leaves pending, and one that is more urgent than the rest.
const HELD: core::ops::Range<u32> = 100..120;
const URGENT: IntId = IntId::spi(120);

/// Registers that the runtime leaves alone and that a life finds as 0, where they exist. QEMU has OSDTRRX, OSDTRTX and
/// OSECCR as constants: only hardware can show that they are reset.
const CLEAN: &[&str] = &[
    "FPCR",
    "FPSR",
    "TPIDR_EL0",
    "TPIDRRO_EL0",
    "CONTEXTIDR",
    "AFSR0",
    "AFSR1",
    "AMAIR",
    "SP_EL0",
    "PAR",
    "CSSELR",
    "CNTKCTL",
    "APIAKEYLO",
    "APIAKEYHI",
    "APIBKEYLO",
    "APIBKEYHI",
    "APDAKEYLO",
    "APDAKEYHI",
    "APDBKEYLO",
    "APDBKEYHI",
    "APGAKEYLO",
    "APGAKEYHI",
    "SCXTNUM_EL0",
    "SCXTNUM_EL1",
    "MDSCR",
    "MDCCINT",
    "DISR",
    "OSDTRRX",
    "OSDTRTX",
    "OSECCR",
    "ICC_IGRPEN0",
    "PMCNTENSET",
    "PMCCNTR",
    "PMUSERENR",
    "PMINTENSET",
    "PMSELR",
    "PMCCFILTR",
];

/// Registers of which a CPU has up to so many: name, count, the encoding of the nth.
type Bank = (&'static str, u8, fn(u8) -> Encoding);
const BANKS: &[Bank] = &[
    ("DBGBVR", 16, |n| Encoding(2, 0, 0, n, 4)),
    ("DBGBCR", 16, |n| Encoding(2, 0, 0, n, 5)),
    ("DBGWVR", 16, |n| Encoding(2, 0, 0, n, 6)),
    ("DBGWCR", 16, |n| Encoding(2, 0, 0, n, 7)),
    ("PMEVCNTR", 31, |n| Encoding(3, 3, 14, 8 | n >> 3, n & 7)),
    ("PMEVTYPER", 31, |n| Encoding(3, 3, 14, 12 | n >> 3, n & 7)),
];

/// Bits that one register sets and another clears and shows: the name of what they hold, setter, clearer.
const FLAGS: [(&str, Encoding, Encoding); 2] = [
    ("DBGCLAIM", Encoding(2, 0, 7, 8, 6), Encoding(2, 0, 7, 9, 6)),
    ("PMOVS", Encoding(3, 3, 9, 14, 3), Encoding(3, 3, 9, 12, 3)),
];

/// Every register of [`CLEAN`] and [`BANKS`].
fn clean() -> impl Iterator<Item = (&'static str, Option<u8>, Encoding)> {
    let single = CLEAN.iter().filter_map(|name| Some((*name, None, named(name)?)));
    let banked = BANKS.iter().flat_map(|&(name, count, nth)| (0..count).map(move |n| (name, Some(n), nth(n))));
    single.chain(banked)
}

/// `regs`
pub fn registers(_: &mut Arguments) -> Reply {
    say_registers();
    Ok(())
}

/// Of the vCPU that runs this.
fn say_registers() {
    print!("ok");
    for (n, value) in arch::general_at_entry().into_iter().enumerate().filter(|(_, value)| *value != 0) {
        match n {
            29 => print!(" sp=0x{value:x}"),
            n => print!(" x{n}=0x{value:x}"),
        }
    }
    for (name, expected, value) in arch::found_at_entry().filter(|(_, expected, value)| expected != value) {
        print!(" {name}=0x{value:x}(not_0x{expected:x})");
    }
    for (n, [low, high]) in arch::vectors().into_iter().enumerate() {
        if low | high != 0 {
            print!(" v{n}=0x{high:016x}{low:016x}");
        }
    }
    let flags = FLAGS.iter().map(|&(name, _, show)| (name, None, show));
    for (name, n, encoding) in clean().chain(flags) {
        // A register that this CPU does not have is clean.
        match (read_register(encoding), n) {
            (Ok(0) | Err(_), _) => {}
            (Ok(value), None) => print!(" {name}=0x{value:x}"),
            (Ok(value), Some(n)) => print!(" {name}{n}=0x{value:x}"),
        }
    }
    println!();
}

/// `poison`
pub fn poison(_: &mut Arguments) -> Reply {
    println!("ok {} system registers", fill_registers());
    Ok(())
}

/// Fills what `regs` shows of the vCPU that runs this and the runtime can spare; how many system registers took it.
fn fill_registers() -> usize {
    arch::fill_vectors(POISON);
    let setters = FLAGS.iter().map(|&(_, set, _)| set);
    let all = clean().map(|(_, _, encoding)| encoding).chain(setters);
    all.filter(|&encoding| write_register(encoding, POISON).is_ok()).count()
}

/// `poisoncrash`
pub fn poison_and_crash(_: &mut Arguments) -> Reply {
    arch::poison_and_crash(POISON)
}

/// What vCPU 1 may do with its registers; it calls CPU_OFF then, or faults.
const SECOND: [(&str, fn()); 3] = [
    ("regs", say_registers),
    ("poison", || {
        fill_registers();
        say_registers();
        arch::poison_and_leave(POISON)
    }),
    ("crash", || {
        fill_registers();
        arch::poison_and_crash(POISON)
    }),
];
/// Seconds for all that vCPU 1 may say there, an exit for each byte.
const SAYS_WITHIN: u64 = 20;

/// `second`: the answer is vCPU 1's.
pub fn second(arguments: &mut Arguments) -> Reply {
    let name = arguments.next();
    let found = SECOND.iter().find(|(known, _)| Some(*known) == name);
    let (_, task) = found.ok_or(Refusal::Error("regs, poison or crash"))?;
    check(board().vcpus > 1, "there is no vCPU 1")?;
    let mpidr = board().mpidr[1];
    cpu::prepare(1, *task);
    psci::cpu_on(mpidr, arch::second_entry(), 1).map_err(|_| Refusal::Error("vCPU 1 is on already"))?;
    let end = timer::now() + SAYS_WITHIN * timer::frequency();
    while psci::affinity(mpidr) != vcpus::OFF {
        check(timer::now() < end, "vCPU 1 does not end")?;
    }
    Ok(())
}

/// RAM that neither the image nor a stack uses.
fn free_ram() -> [(u64, u64); 2] {
    let (base, bytes) = board().ram;
    [(base, base + BELOW_IMAGE), (rt::arch::free_ram(), base + bytes)]
}

/// `ram`
pub fn ram(arguments: &mut Arguments) -> Reply {
    let is_fill = match arguments.next() {
        Some("fill") => true,
        Some("find") => false,
        _ => return Err(Refusal::Error("ram fill or ram find")),
    };
    let value = arguments.number()?;
    let (mut words, mut found, mut first) = (0_u64, 0_u64, 0_u64);
    for (start, end) in free_ram() {
        for address in (start..end).step_by(8) {
            words += 1;
            if is_fill {
                arch::store(address, value);
            }
            if arch::load(address) == value {
                found += 1;
                first = if first == 0 { address } else { first };
            }
        }
    }
    println!("ok words={words} found={found} first=0x{first:x}");
    Ok(())
}

/// What a vCPU may do for ever, or until its partition ends.
const MODES: [(&str, fn()); 7] = [
    ("count", vcpus::count_interrupts),
    ("wfi", || arch::sleep_masked()),
    ("spin", || arch::spin_masked()),
    ("loop", || arch::fault_at_el1()),
    ("hold", hold),
    ("off", || psci::system_off()),
    ("reset", || psci::system_reset()),
];

fn mode(arguments: &mut Arguments) -> Result<usize, Refusal> {
    let name = arguments.next();
    let found = MODES.iter().position(|(known, _)| Some(*known) == name);
    found.ok_or(Refusal::Error("count, wfi, spin, loop, hold, off or reset"))
}

/// What vCPU 1 is to do: an index of [`MODES`], and the length once it begins.
static TASK: AtomicUsize = AtomicUsize::new(0);

fn begin_task() {
    if let Some((_, task)) = MODES.get(TASK.swap(MODES.len(), Relaxed)) {
        task();
    }
}

/// `park`
pub fn park(arguments: &mut Arguments) -> Reply {
    TASK.store(mode(arguments)?, Relaxed);
    cpu::start(1, begin_task).map_err(|_| Refusal::Error("vCPU 1 is on already, or there is none"))?;
    let end = timer::now() + 10 * timer::frequency();
    while TASK.load(Relaxed) != MODES.len() {
        check(timer::now() < end, "vCPU 1 does not start")?;
    }
    println!("ok");
    Ok(())
}

/// `here`
pub fn here(arguments: &mut Arguments) -> Reply {
    let (_, task) = MODES[mode(arguments)?];
    println!("ok pc=0x{:x}", arch::spins_at());
    task();
    Err(Refusal::Error("the vCPU came back"))
}

/// Interrupts active in their handler, one within the other, and all others pending; then nothing ends them.
fn hold() {
    insn::mask_irq();
    for timer in [Timer::Virtual, Timer::Physical] {
        gic::enable(timer.intid(), gic::PRIORITY);
        timer.set_deadline(timer.count());
        timer.enable();
    }
    leave_active();
    gic::set_edge(URGENT);
    gic::enable(URGENT, 0x20);
    gic::set_pending(URGENT);
    leave_active();
    interrupts::enable_sgis();
    for (vcpu, id) in (0..board().vcpus).flat_map(|vcpu| (1..16).map(move |id| (vcpu, id))) {
        gic::send_sgi(vcpu, IntId::sgi(id));
    }
    for spi in HELD.map(IntId::spi) {
        gic::set_edge(spi);
        gic::enable(spi, gic::PRIORITY);
        gic::set_pending(spi);
    }
    gic::enable(console::INTID, gic::PRIORITY);
    console::enable_receive_interrupt();
    arch::spin_masked()
}

/// Acknowledges what comes first, and never ends it.
fn leave_active() {
    for _ in 0..PATIENCE {
        if gic::acknowledge().is_some() {
            return;
        }
    }
}

/// `race`
pub fn race(arguments: &mut Arguments) -> Reply {
    let ticks = arguments.number()?;
    insn::mask_irq();
    cpu::start(1, || arch::spin_masked()).map_err(|_| Refusal::Error("vCPU 1 is on already, or there is none"))?;
    let end = timer::now() + ticks;
    while timer::now() < end {}
    psci::system_reset()
}

/// `rx`: the console's receive interrupt comes with the next byte.
pub fn receive_interrupt(_: &mut Arguments) -> Reply {
    while console::receive().is_some() {}
    let before = interrupts::count(console::INTID);
    console::clear_interrupt();
    gic::enable(console::INTID, gic::PRIORITY);
    console::enable_receive_interrupt();
    println!("rx: a byte, please");
    let end = timer::now() + 10 * timer::frequency();
    while interrupts::count(console::INTID) == before {
        check(timer::now() < end, "no receive interrupt in 10 s")?;
    }
    gic::disable(console::INTID);
    let byte = console::receive().ok_or(Refusal::Error("an interrupt without a byte"))?;
    println!("ok byte=0x{byte:x} interrupts={}", interrupts::count(console::INTID) - before);
    Ok(())
}

/// `abortloop`: vectors that load from where nothing is, so that each exception's vector is the next.
pub fn abort_loop(_: &mut Arguments) -> Reply {
    println!("ok pc=0x{:x}", arch::aborting_vectors() + arch::CURRENT_SPX);
    arch::fault_in_aborting_vectors()
}
