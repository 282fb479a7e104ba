//! Interrupts on one vCPU: virtual timer, SGI to self, WFI woken by the timer.

use crate::arch;
use crate::samples::{Samples, phase, row};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use rt::arch::insn;
use rt::board::{GicFacts, board};
use rt::timer::{self, Timer};
use rt::{IntId, cpu, gic, println};

/// Measured vCPUs.
pub const VCPUS: usize = 2;
/// SGI for every measurement.
pub const SGI: IntId = IntId::sgi(1);
/// Ticks from arming the timer to its deadline, more than any hypervisor needs for the way back.
const AHEAD: u64 = 20_000;
/// GICD_TYPER.
const TYPER: u64 = 4;
/// GICD_SGIR.
const SGIR: u64 = 0xf00;

/// What the handler of one vCPU saw.
pub struct Seen {
    /// The clock at the third instruction of the last interrupt.
    pub at: AtomicU64,
    /// Interrupts so far.
    pub count: AtomicU64,
}

/// Of each measured vCPU.
pub static SEEN: [Seen; VCPUS] = [const { Seen { at: AtomicU64::new(0), count: AtomicU64::new(0) } }; VCPUS];

/// How this GIC sends an SGI: the address of GICD_SGIR or 0, and the value.
#[derive(Clone, Copy)]
pub struct Sgi {
    register: u64,
    value: u64,
}

impl Sgi {
    /// The SGI to this vCPU.
    pub fn to(vcpu: usize) -> Self {
        let sgi = u64::from(SGI.number());
        match board().gic {
            GicFacts::V2 { distributor, .. } => {
                Self { register: distributor.at(SGIR).base(), value: 1 << (16 + vcpu) | sgi }
            }
            GicFacts::V3 { .. } => {
                let mpidr = board().mpidr[vcpu];
                Self { register: 0, value: sgi << 24 | (mpidr >> 8 & 0xff) << 16 | 1 << (mpidr & 15) }
            }
        }
    }

    /// Sends it; the clock just before.
    #[inline(always)]
    pub fn send(self) -> u64 {
        arch::send_sgi(self.register, self.value)
    }
}

/// Address of GICD_TYPER: read-only, so trapped wherever the distributor is emulated.
pub fn distributor_typer() -> u64 {
    let (GicFacts::V2 { distributor, .. } | GicFacts::V3 { distributor, .. }) = board().gic;
    distributor.at(TYPER).base()
}

/// The runtime's vectors are replaced before interrupts are enabled.
pub fn unexpected(intid: IntId) {
    panic!("{intid} came through the runtime's vectors");
}

/// Called by `bench_vectors` with the clock.
#[unsafe(no_mangle)]
extern "C" fn bench_irq(at: u64) {
    let Some(acknowledged) = gic::acknowledge() else { return };
    if acknowledged.intid() == Timer::Virtual.intid() {
        Timer::Virtual.stop();
    }
    gic::end(acknowledged);
    if let Some(seen) = SEEN.get(cpu::index()) {
        seen.at.store(at, Relaxed);
        seen.count.store(seen.count.load(Relaxed) + 1, Relaxed);
    }
}

/// All measurements of this file.
pub fn run() {
    gic::enable(Timer::Virtual.intid(), gic::PRIORITY);
    gic::enable(SGI, gic::PRIORITY);
    insn::unmask_irq();
    virtual_timer();
    sgi_self();
    wfi_timer_wake();
}

/// From the deadline to the handler's reading of the clock; from the deadline to the interrupted loop's next one.
#[inline(never)]
fn virtual_timer() {
    let (mut latency, mut round) = (Samples::new(), Samples::new());
    phase::<104>("vtimer_irq", || {
        for _ in 0..1000 {
            let before = SEEN[0].count.load(Relaxed);
            let deadline = arm();
            while SEEN[0].count.load(Relaxed) == before {}
            let end = timer::now();
            latency.push(SEEN[0].at.load(Relaxed) - deadline);
            round.push(end - deadline);
        }
    });
    latency.report("vtimer_irq");
    round.report("vtimer_irq_to_resume");
}

/// From before the store that sends it to the handler's reading of the clock.
fn sgi_self() {
    let sgi = Sgi::to(0);
    row::<105>("sgi_self", 1000, || {
        let before = SEEN[0].count.load(Relaxed);
        let start = sgi.send();
        while SEEN[0].count.load(Relaxed) == before {}
        SEEN[0].at.load(Relaxed) - start
    });
}

/// From the deadline to the instruction after WFI; interrupts masked, so no handler is in it.
fn wfi_timer_wake() {
    row::<106>("wfi_timer_wake", 1000, || {
        let before = SEEN[0].count.load(Relaxed);
        insn::mask_irq();
        let deadline = arm();
        insn::wfi();
        let end = timer::now();
        insn::unmask_irq();
        while SEEN[0].count.load(Relaxed) == before {}
        if end < deadline {
            println!("bench: WFI ended {} ticks before the timer", deadline - end);
        }
        end.saturating_sub(deadline)
    });
}

/// Arms the virtual timer; its deadline.
fn arm() -> u64 {
    let deadline = timer::now() + AHEAD;
    Timer::Virtual.set_deadline(deadline);
    Timer::Virtual.enable();
    deadline
}
