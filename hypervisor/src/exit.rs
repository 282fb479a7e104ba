//! Synchronous exits: decode, decide, act. Whatever a guest does ends in one [`Verdict`].

mod device;
mod fetch;
pub mod power;
mod register;

use crate::arch::guest::GuestFrame;
use crate::arch::tlb;
use crate::core_local::{self, Assignment, Core};
use crate::fault::{self, Place};
use crate::gic::{self, Gic, V2, V3};
use crate::partition::State;
use crate::virtio;
use aarch64_cpu::registers::{
    ELR_EL1, ELR_EL2, ESR_EL1, ESR_EL2, FAR_EL1, FAR_EL2, HPFAR_EL2, MIDR_EL1, SCTLR_EL1, SPSR_EL1, SPSR_EL2, VBAR_EL1,
};
use addr::Ipa;
use core::sync::atomic::Ordering;
use life::Reason;
use tock_registers::interfaces::{Readable, Writeable};
use trap::{Abort, Exit, Injection, WriteBack};
use vgic::Version;

/// What becomes of the guest after an exit.
pub enum Verdict {
    /// It goes on where it is: the exit's instruction is done, or is to be tried again.
    Resume,
    /// It goes on behind the instruction that trapped.
    Skip,
    /// It takes an exception at EL1.
    Inject(Injection),
    /// The syndrome does not say what this access to an emulated device moves: the instruction has to.
    Decode(Abort),
    /// Its partition stops, for this reason.
    Stop(fault::Cause),
}

/// Injected aborts at one place without progress before the partition stops: a guest whose vector faults would
/// otherwise go round for ever.
const FAULT_LOOP: u32 = 64;

/// SError while a guest ran: it belongs to that core's partition (Arm ARM, "SError interrupt exceptions").
#[unsafe(no_mangle)]
extern "C" fn exit_serror_v3(frame: &mut GuestFrame) {
    serror(frame);
}
/// As above.
#[unsafe(no_mangle)]
extern "C" fn exit_serror_v2(frame: &mut GuestFrame) {
    serror(frame);
}

/// SPSR_EL2.M\[4\]: AArch32.
pub const SPSR_IS_32_BIT: u64 = 1 << 4;
/// ESR_EL2.ISS.
const ISS: u32 = 0x1ff_ffff;
const CLASS_HVC: u64 = 0x16;
const CLASS_SYSTEM_REGISTER: u64 = 0x18;
const CLASS_DATA_ABORT: u64 = 0x24;
/// A bit of ESR_EL2 that aborts have, and hypercalls and system registers have not.
const CLASS_IS_ABORT: u64 = 1 << 31;

/// Tells the hot classes apart. Each is a function of its own that concludes its exit, so that none pays for the
/// registers that another needs.
#[inline(always)]
pub fn synchronous<G: Gic>(frame: &mut GuestFrame) {
    let esr = ESR_EL2.get();
    let core = core_local::this();
    if esr & CLASS_IS_ABORT != 0 {
        return aborted::<G>(core, frame, esr);
    }
    core.recorder.record(esr, ELR_EL2.get());
    match esr >> 26 {
        CLASS_HVC => {
            core.counters.hvc.count();
            if !power::is_version_call(frame) {
                hypercall(core, frame, esr);
            }
        }
        CLASS_SYSTEM_REGISTER => system_register::<G>(core, frame, esr),
        _ => rare(core, frame, esr),
    }
}

/// Classes from 0x20 on. What a virtio driver does with each batch of requests comes first and leaves out the flight
/// recorder, which it would fill.
#[inline(never)]
fn aborted<G: Gic>(core: &'static Core, frame: &mut GuestFrame, esr: u64) {
    if Abort::is_refused_store_of_word(esr) && virtio::notify(core, frame, esr) {
        return;
    }
    core.recorder.record(esr, ELR_EL2.get());
    if esr >> 26 == CLASS_DATA_ABORT { data_abort::<G>(core, frame, esr) } else { rare(core, frame, esr) }
}

#[inline(always)]
fn conclude(core: &'static Core, frame: &mut GuestFrame, esr: u64, verdict: Verdict) {
    match verdict {
        Verdict::Resume => {}
        Verdict::Skip => skip(esr),
        Verdict::Inject(injection) => inject(core, frame, injection),
        Verdict::Decode(abort) => decode(core, frame, abort),
        Verdict::Stop(cause) => stop(core, frame, cause),
    }
}

#[inline(never)]
fn hypercall(core: &'static Core, frame: &mut GuestFrame, esr: u64) {
    let verdict = power::call(core, frame);
    conclude(core, frame, esr, verdict);
}

#[inline(never)]
fn system_register<G: Gic>(core: &'static Core, frame: &mut GuestFrame, esr: u64) {
    core.counters.sysreg.count();
    let verdict = register::access::<G>(core, frame, trap::SystemRegister::new(esr as u32 & ISS));
    conclude(core, frame, esr, verdict);
}

#[inline(never)]
fn data_abort<G: Gic>(core: &'static Core, frame: &mut GuestFrame, esr: u64) {
    let abort = Abort::new(esr as u32 & ISS);
    let verdict = if abort.is_on_table_walk() {
        core.counters.aborts.count();
        Verdict::Inject(Injection::DataAbort(abort))
    } else if abort.is_permission_fault() {
        return permission(core, frame, esr, abort);
    } else {
        faulting_ipa(abort).map_or(Verdict::Resume, |ipa| device::access::<G>(core, frame, abort, ipa))
    };
    conclude(core, frame, esr, verdict);
}

/// A permission fault: a store to a page that its guest may only read.
#[inline(never)]
fn permission(core: &'static Core, frame: &mut GuestFrame, esr: u64, abort: Abort) {
    // QEMU fills HPFAR_EL2 for permission faults too; a build for tests makes it as useless as a board may.
    #[cfg(feature = "poison-hpfar")]
    crate::arch::sysreg::poison_hpfar();
    let verdict = virtio::store(core, frame, abort, faulting_ipa(abort));
    conclude(core, frame, esr, verdict);
}

/// The guest goes on behind the instruction that trapped.
#[inline(always)]
fn skip(esr: u64) {
    let spsr = SPSR_EL2.get();
    if spsr & SPSR_IS_32_BIT == 0 {
        return skip_64_bit(spsr);
    }
    let (pc, spsr) = trap::skip(ELR_EL2.get(), spsr, trap::is_32_bit_instruction(esr));
    ELR_EL2.set(pc);
    SPSR_EL2.set(spsr);
}

/// [`skip`] of a guest in AArch64, whose SPSR_EL2 is known.
#[inline(always)]
pub fn skip_64_bit(spsr: u64) {
    ELR_EL2.set(ELR_EL2.get().wrapping_add(4));
    // The instruction is done: a single step over it is, too (Arm ARM D2.12).
    SPSR_EL2.set(spsr & !(1 << 21));
}

/// The IPA of a stage-2 fault that is not on a table walk. HPFAR_EL2 is not valid for permission faults, nor, on a
/// Cortex-A57 with erratum 834220, for any; stage 1 is walked again then, and `None` means that it changed meanwhile:
/// the guest tries again and faults properly.
#[inline(always)]
fn faulting_ipa(abort: Abort) -> Option<Ipa> {
    // MIDR_EL1.PartNum alone: on another implementer's core of that number the walk is slower and as right.
    const CORTEX_A57: u64 = 0xd07;
    let is_a57 = MIDR_EL1.get() >> 4 & 0xfff == CORTEX_A57;
    if abort.hpfar_is_valid() && !is_a57 {
        return Some(abort.ipa(HPFAR_EL2.get(), FAR_EL2.get()));
    }
    let par = tlb::translate_stage1(FAR_EL2.get());
    (par & 1 == 0).then(|| Ipa::new(par & 0x000f_ffff_ffff_f000 | FAR_EL2.get() & 0xfff))
}

#[inline(never)]
fn rare(core: &'static Core, frame: &mut GuestFrame, esr: u64) {
    let verdict = match Exit::decode(esr) {
        Exit::Smc { .. } => {
            core.counters.smc.count();
            // ELR points at the SMC, unlike after HVC; the call may stop the partition, so skip first.
            skip(esr);
            if power::is_version_call(frame) { Verdict::Resume } else { power::call(core, frame) }
        }
        Exit::InstructionAbort(abort) => {
            core.counters.aborts.count();
            Verdict::Inject(Injection::InstructionAbort(abort))
        }
        Exit::Coprocessor(coprocessor) => {
            core.counters.sysreg.count();
            if coprocessor.condition_holds(SPSR_EL2.get()) {
                Verdict::Inject(Injection::Undefined)
            } else {
                Verdict::Skip
            }
        }
        Exit::Wfx(_) => Verdict::Skip,
        _ => {
            core.counters.other.count();
            Verdict::Inject(Injection::Undefined)
        }
    };
    conclude(core, frame, esr, verdict);
}

/// Does an access again with the description that its syndrome lacked, and what else its instruction does. A described
/// abort never comes back here.
#[cold]
#[inline(never)]
fn decode(core: &'static Core, frame: &mut GuestFrame, abort: Abort) {
    let partition = core.assignment.map(|Assignment { partition, .. }| partition);
    let instruction = partition.and_then(|partition| fetch::instruction(core, partition));
    let Some(found) = instruction.and_then(WriteBack::decode) else {
        core.counters.aborts.count();
        return inject(core, frame, Injection::DataAbort(abort));
    };
    let esr = found.describe(ESR_EL2.get());
    let pc = ELR_EL2.get();
    match gic::version() {
        Version::V2 => data_abort::<V2>(core, frame, esr),
        Version::V3 => data_abort::<V3>(core, frame, esr),
    }
    // Where the access is to be tried again, its base stays for then.
    if ELR_EL2.get() != pc {
        let base = found.base() as u8;
        frame.set_register(base, found.moved(frame.register(base)));
    }
}

#[inline(never)]
fn inject(core: &'static Core, frame: &GuestFrame, injection: Injection) {
    let (pc, far) = (ELR_EL2.get(), FAR_EL2.get());
    leave_if_cut_off(core, frame);
    let is_abort = !matches!(injection, Injection::Undefined);
    // The handler of the last injection has not moved on if the guest still holds its PC and address.
    if ELR_EL1.get() == pc && (!is_abort || FAR_EL1.get() == far) {
        let rounds = core.abort_loops.load(Ordering::Relaxed) + 1;
        core.abort_loops.store(rounds, Ordering::Relaxed);
        if rounds >= FAULT_LOOP {
            stop(core, frame, fault::Cause::FaultLoop);
        }
    } else {
        core.abort_loops.store(0, Ordering::Relaxed);
    }
    let spsr = SPSR_EL2.get();
    let injected = trap::inject(injection, spsr, VBAR_EL1.get(), SCTLR_EL1.get());
    ELR_EL1.set(pc);
    SPSR_EL1.set(spsr);
    ESR_EL1.set(injected.esr);
    if is_abort {
        FAR_EL1.set(far);
    }
    ELR_EL2.set(injected.pc);
    SPSR_EL2.set(injected.spsr);
}

#[cold]
fn serror(frame: &GuestFrame) {
    stop(core_local::this(), frame, fault::Cause::SError);
}

#[cold]
fn stop(core: &'static Core, frame: &GuestFrame, cause: fault::Cause) -> ! {
    let Some(Assignment { partition, vcpu }) = core.assignment else {
        panic!("{} took an exit without a guest", core.id)
    };
    if cause.is_wish() {
        info!("{}/{vcpu}: {}", partition.name(), cause.text());
    }
    let reason = match cause {
        fault::Cause::SystemOff => Reason::Off,
        fault::Cause::SystemReset => Reason::Reset,
        _ => Reason::Fault,
    };
    partition.end(reason, cause, vcpu);
    partition.left(core, Some(Place::at_exit(frame)))
}

/// An abort may be the end of a life whose stage 2 was taken away ([`Partition::left`]), not the guest's.
///
/// [`Partition::left`]: crate::partition::Partition::left
#[cold]
fn leave_if_cut_off(core: &'static Core, frame: &GuestFrame) {
    if let Some(Assignment { partition, .. }) = core.assignment
        && partition.state() == State::Stopping
    {
        partition.left(core, Some(Place::at_exit(frame)));
    }
}
