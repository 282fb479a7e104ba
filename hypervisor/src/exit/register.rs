//! Trapped system registers: SGI generation on GICv3, ID registers on cores with something to hide, and what is
//! IMPLEMENTATION DEFINED, which reads as zero and ignores writes. All others are undefined for the guest.

use super::Verdict;
use crate::arch::el1;
use crate::arch::guest::GuestFrame;
use crate::core_local::{Assignment, Core};
use crate::gic::{self, Gic, V3};
use crate::interrupt;
use aarch64_cpu::registers::SPSR_EL2;
use tock_registers::interfaces::Readable;
use trap::{Encoding, Injection, SystemRegister};
use vgic::Version;

const ICC_SGI1R: Encoding = Encoding::new(3, 0, 12, 11, 5);
const ICC_ASGI1R: Encoding = Encoding::new(3, 0, 12, 11, 6);
const ICC_SGI0R: Encoding = Encoding::new(3, 0, 12, 11, 7);
const ACTLR: Encoding = Encoding::new(3, 0, 1, 0, 1);

/// Decides about one access.
#[inline(always)]
pub fn access<G: Gic>(core: &'static Core, frame: &mut GuestFrame, access: SystemRegister) -> Verdict {
    let register = access.register() as u8;
    if G::VERSION == Version::V3 && access.encoding() == ICC_SGI1R && !access.is_read() {
        send::<G>(core, frame.register(register));
        return Verdict::Skip;
    }
    rare(core, frame, access, register)
}

#[inline(always)]
fn send<G: Gic>(core: &'static Core, value: u64) {
    if let Some(Assignment { partition, vcpu }) = core.assignment {
        interrupt::send_sgi::<G>(core, partition, vcpu, vgic::sgi_targets(value, vcpu, partition.vcpus()));
    }
}

/// Whether a register reads as zero and ignores writes: ACTLR_EL1; at EL1 what a core has of its own, since start code
/// sets bits such as CPUECTLR_EL1.SMPEN, which are the firmware's here; and LORegions, which ID_AA64MMFR1_EL1 shows:
/// LORID_EL1 = 0 says that there are none.
fn is_vain(register: Encoding) -> bool {
    let is_lo = (register.op0(), register.op1(), register.crn(), register.crm()) == (3, 0, 10, 4);
    let is_el0 = SPSR_EL2.get() & 0xf == 0;
    register == ACTLR || (is_lo || register.is_implementation_defined()) && !is_el0
}

#[inline(never)]
fn rare(core: &'static Core, frame: &mut GuestFrame, access: SystemRegister, register: u8) -> Verdict {
    let encoding = access.encoding();
    let is_v3 = gic::version() == Version::V3;
    match (encoding, access.is_read()) {
        // One security state: group 0 SGIs are the guest's too; ASGI1R names a state that the guest has not.
        (ICC_SGI0R, false) if is_v3 => send::<V3>(core, frame.register(register)),
        (ICC_ASGI1R, false) if is_v3 => {}
        (vain, is_read) if is_vain(vain) => {
            if is_read {
                frame.set_register(register, 0);
            }
        }
        (id, true) if (id.op0(), id.op1(), id.crn()) == (3, 0, 0) && (1..8).contains(&id.crm()) => {
            frame.set_register(register, el1::id_register(id.crm() as u8, id.op2() as u8));
        }
        _ => return Verdict::Inject(Injection::Undefined),
    }
    Verdict::Skip
}
