//! Exceptions: interrupts go to the guest's handler, faults end the guest unless one is expected.

use crate::arch::access::Leaf;
use crate::board::MAX_VCPUS;
use crate::{IntId, cpu, gic};
use core::cell::Cell;
use core::fmt;

unsafe extern "Rust" {
    fn guest_interrupt(intid: IntId);
}

/// Registers of interrupted code, as `arch/vectors.rs` lays them out.
#[repr(C)]
#[derive(Debug)]
pub struct Frame {
    x: [u64; 31],
    elr: u64,
    spsr: u64,
    esr: u64,
    far: u64,
    padding: u64,
}

/// A synchronous exception or SError that [`attempt`] caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// ESR_EL1; an SError has EC 0x2f.
    pub esr: u64,
    /// FAR_EL1, meaningful for aborts.
    pub far: u64,
    /// The instruction that faulted.
    pub pc: u64,
}

impl Fault {
    /// Exception class, ESR bits 31:26.
    pub const fn ec(&self) -> u64 {
        self.esr >> 26 & 0x3f
    }
    /// Fault status code of an abort, ESR bits 5:0: 0x10 is a synchronous external abort.
    pub const fn dfsc(&self) -> u64 {
        self.esr & 0x3f
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ec=0x{:x} dfsc=0x{:x} far=0x{:x} esr=0x{:x}", self.ec(), self.dfsc(), self.far, self.esr)
    }
}

/// What a vCPU expects of its next fault.
#[derive(Clone, Copy)]
enum Expect {
    Nothing,
    Fault,
    Happened(Fault),
}

/// One per vCPU: only vCPU n touches cell n.
struct PerVcpu([Cell<Expect>; MAX_VCPUS]);
// SAFETY: `expect` hands each vCPU its own cell, and a vCPU's handler runs on that vCPU.
unsafe impl Sync for PerVcpu {}

static EXPECT: PerVcpu = PerVcpu([const { Cell::new(Expect::Nothing) }; MAX_VCPUS]);

fn expect() -> &'static Cell<Expect> {
    &EXPECT.0[cpu::index()]
}

/// Calls a leaf and reports the fault that it took, if any.
///
/// # Safety
/// `leaf` has no stack frame and does not change x30, and what it does when it does *not* fault is sound.
pub unsafe fn attempt(leaf: Leaf, x0: u64, x1: u64) -> Result<u64, Fault> {
    expect().set(Expect::Fault);
    // SAFETY: the caller's promise; a fault returns here through x30.
    let value = unsafe { leaf(x0, x1) };
    match expect().replace(Expect::Nothing) {
        Expect::Happened(fault) => Err(fault),
        Expect::Nothing | Expect::Fault => Ok(value),
    }
}

#[unsafe(no_mangle)]
extern "C" fn rt_irq(_frame: &mut Frame) {
    let Some(acknowledged) = gic::acknowledge() else { return };
    // SAFETY: `guest!` defines it with this signature.
    unsafe { guest_interrupt(acknowledged.intid()) };
    gic::end(acknowledged);
}

#[unsafe(no_mangle)]
extern "C" fn rt_sync(frame: &mut Frame, vector: u64) {
    let Expect::Fault = expect().get() else { rt_unexpected(frame, vector) };
    expect().set(Expect::Happened(Fault { esr: frame.esr, far: frame.far, pc: frame.elr }));
    frame.elr = frame.x[30];
}

/// An SError that arrives during an attempt is its result; the leaf itself goes on.
#[unsafe(no_mangle)]
extern "C" fn rt_serror(frame: &mut Frame, vector: u64) {
    let Expect::Fault = expect().get() else { rt_unexpected(frame, vector) };
    expect().set(Expect::Happened(Fault { esr: frame.esr, far: frame.far, pc: frame.elr }));
}

#[unsafe(no_mangle)]
extern "C" fn rt_unexpected(frame: &mut Frame, vector: u64) -> ! {
    panic!(
        "exception at vector {vector}: ESR 0x{:08x} (EC 0x{:02x}) ELR 0x{:x} FAR 0x{:x} SPSR 0x{:x} x30 0x{:x}",
        frame.esr,
        frame.esr >> 26 & 0x3f,
        frame.elr,
        frame.far,
        frame.spsr,
        frame.x[30]
    )
}
