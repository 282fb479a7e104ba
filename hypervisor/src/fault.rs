//! Why a partition stopped, and EL2's own end: panics and exceptions that EL2 itself takes.

use crate::arch::{self, guest::GuestFrame};
use crate::console;
use crate::core_local;
use crate::partition::Partition;
use aarch64_cpu::registers::{ELR_EL2, ESR_EL2, FAR_EL2, HPFAR_EL2};
use abi::VcpuId;
use core::fmt;
use core::panic::PanicInfo;
use tock_registers::interfaces::Readable;
use trap::Exit;

/// Why a partition stops.
pub enum Cause {
    /// PSCI SYSTEM_OFF.
    SystemOff,
    /// PSCI SYSTEM_RESET; this version does not start it again.
    SystemReset,
    /// Its exception vector faults again and again.
    FaultLoop,
    /// PSTATE.IL.
    IllegalState,
    /// An asynchronous external abort while it ran.
    SError,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SystemOff => "the guest switched itself off (PSCI SYSTEM_OFF)",
            Self::SystemReset => "the guest asked for a reset (PSCI SYSTEM_RESET); this version stops it instead",
            Self::FaultLoop => "fault loop: its exception vector itself faults",
            Self::IllegalState => "illegal execution state",
            Self::SError => "SError: an access of this partition failed on the bus",
        })
    }
}

/// Says on the console why `partition` stops.
pub fn report(partition: &'static Partition, vcpu: VcpuId, frame: &GuestFrame, cause: &Cause) {
    if matches!(cause, Cause::SystemOff | Cause::SystemReset) {
        log::info!("{}/{vcpu}: {cause}", partition.name());
        return;
    }
    let esr = ESR_EL2.get();
    log::error!("{}/{vcpu}: {cause}: the partition stops", partition.name());
    log::error!(
        "{}/{vcpu}: pc {:#x} lr {:#x} esr {esr:#x} ({}) far {:#x} ipa page {:#x}",
        partition.name(),
        ELR_EL2.get(),
        frame.register(30),
        Exit::decode(esr),
        FAR_EL2.get(),
        (HPFAR_EL2.get() >> 4) << 12,
    );
}

/// An exception taken from EL2 itself (vectors.s), on the emergency stack: a bug of ours.
#[unsafe(no_mangle)]
extern "C" fn own_exception_rust(frame: &GuestFrame, kind: u64) -> ! {
    const KINDS: [&str; 4] = ["synchronous", "IRQ", "FIQ", "SError"];
    let esr = ESR_EL2.get();
    panic!(
        "{} exception at EL2: esr {esr:#x} elr {:#x} far {:#x} lr {:#x}",
        KINDS[kind as usize & 3],
        ELR_EL2.get(),
        FAR_EL2.get(),
        frame.register(30)
    );
}

/// EL2's own bug: says so past every lock, and stops this core.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let core = core_local::try_this();
    console::emergency(format_args!(
        "\r\nbulkhead: PANIC on {}: {}\r\n  at {}\r\nbulkhead: this is a bug in Bulkhead {}, not in a guest\r\n",
        core.map_or(abi::CoreId::new(0), |core| core.id),
        info.message(),
        info.location().map_or("?", |l| l.file()),
        env!("CARGO_PKG_VERSION"),
    ));
    arch::halt()
}
