//! PSCI by hand: calls with any arguments, and vCPUs that only count interrupts.

use crate::arch;
use crate::interrupts;
use crate::reply::{Arguments, Refusal, Reply, check};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use rt::arch::access::Leaf;
use rt::arch::insn;
use rt::board::{MAX_VCPUS, board};
use rt::psci::{self, function};
use rt::trap::{Fault, attempt};
use rt::{IntId, cpu, gic, println, timer};

/// AFFINITY_INFO: OFF.
pub const OFF: i32 = 1;

/// Asks vCPU n to call CPU_OFF.
static LEAVE: [AtomicBool; MAX_VCPUS] = [const { AtomicBool::new(false) }; MAX_VCPUS];

/// The SGI of `senders`.
const BACK: IntId = IntId::sgi(9);
/// Asks a started vCPU to send [`BACK`] to vCPU 0, and whether it has.
static SEND_BACK: AtomicBool = AtomicBool::new(false);
static SENT_BACK: AtomicBool = AtomicBool::new(false);

/// Which instruction makes the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// HVC.
    Hvc,
    /// SMC.
    Smc,
}

/// An SMCCC call; without a hypervisor the instruction itself may be undefined.
pub fn call(conduit: Conduit, mut words: [u64; 4]) -> Result<[u64; 4], Fault> {
    let leaf: Leaf = match conduit {
        Conduit::Hvc => arch::probe_hvc,
        Conduit::Smc => arch::probe_smc,
    };
    // SAFETY: the leaf keeps to the four words, whose address the cast exposes.
    unsafe { attempt(leaf, (&raw mut words) as u64, 0) }?;
    Ok(words)
}

fn call_and_say(conduit: Conduit, arguments: &mut Arguments) -> Reply {
    let mut words = [arguments.number()?, 0, 0, 0];
    for word in words.iter_mut().skip(1) {
        *word = arguments.optional()?.unwrap_or(0);
    }
    let [x0, x1, x2, x3] = call(conduit, words)?;
    println!("ok x0=0x{x0:x} x1=0x{x1:x} x2=0x{x2:x} x3=0x{x3:x}");
    Ok(())
}

/// `hvc`
pub fn hvc(arguments: &mut Arguments) -> Reply {
    call_and_say(Conduit::Hvc, arguments)
}

/// `smc`
pub fn smc(arguments: &mut Arguments) -> Reply {
    call_and_say(Conduit::Smc, arguments)
}

/// `cpu_on`
pub fn cpu_on(arguments: &mut Arguments) -> Reply {
    let mpidr = arguments.number()?;
    let own = board().mpidr.iter().take(board().vcpus).position(|&own| own == mpidr);
    let index = own.unwrap_or(MAX_VCPUS - 1);
    if own.is_some() {
        cpu::prepare(index, count_interrupts);
    }
    let [x0, ..] = call(Conduit::Hvc, [function::CPU_ON, mpidr, rt::arch::secondary_entry(), index as u64])?;
    println!("ok {}", x0 as i32);
    Ok(())
}

/// A started vCPU, until `cpu_off`.
pub fn count_interrupts() {
    interrupts::enable_sgis();
    let leave = &LEAVE[cpu::index()];
    loop {
        insn::mask_irq();
        if leave.swap(false, Relaxed) {
            return;
        }
        if SEND_BACK.swap(false, Relaxed) {
            gic::send_sgi(0, BACK);
            SENT_BACK.store(true, Relaxed);
        }
        insn::wfi();
        insn::unmask_irq();
    }
}

/// `cpu_off`
pub fn cpu_off(arguments: &mut Arguments) -> Reply {
    let index = arguments.number()? as usize;
    check(index != 0, "vCPU 0 reads this console; hvc 0x84000002 turns it off all the same")?;
    check(index < board().vcpus, "no such vCPU")?;
    LEAVE[index].store(true, Relaxed);
    gic::send_sgi(index, IntId::sgi(0));
    let end = timer::now() + 10 * timer::frequency();
    while timer::now() < end {
        if psci::affinity(board().mpidr[index]) == OFF {
            println!("ok");
            return Ok(());
        }
    }
    LEAVE[index].store(false, Relaxed);
    Err(Refusal::Error("still on after ten seconds"))
}

/// `senders`: vCPU 0 and vCPU 1, which must be on, both send vCPU 0 the same SGI while it is masked.
pub fn senders(_: &mut Arguments) -> Reply {
    insn::mask_irq();
    SENT_BACK.store(false, Relaxed);
    SEND_BACK.store(true, Relaxed);
    gic::send_sgi(1, IntId::sgi(0));
    let end = timer::now() + 10 * timer::frequency();
    while !SENT_BACK.load(Relaxed) && timer::now() < end {
        insn::yield_now();
    }
    gic::send_sgi(0, BACK);
    // A physical SGI takes a moment; while masked EL2 takes it and the guest's own becomes pending.
    let end = timer::now() + timer::frequency() / 5;
    let mut senders = 0_u64;
    while timer::now() < end {
        if let Some(acknowledged) = gic::acknowledge() {
            if acknowledged.intid() == BACK {
                senders |= 1 << acknowledged.sender();
            }
            gic::end(acknowledged);
        }
    }
    insn::unmask_irq();
    check(SENT_BACK.load(Relaxed), "vCPU 1 sent nothing: is it on?")?;
    println!("ok senders={senders}");
    Ok(())
}

/// `affinity`
pub fn affinity(arguments: &mut Arguments) -> Reply {
    let (mpidr, level) = (arguments.number()?, arguments.optional()?.unwrap_or(0));
    let [x0, ..] = call(Conduit::Hvc, [function::AFFINITY_INFO, mpidr, level, 0])?;
    println!("ok {}", x0 as i32);
    Ok(())
}
