//! EL2's own end: panics, exceptions that EL2 itself takes, stack overflows. All are bugs of ours, never a guest's.
//!
//! Says what and where past every lock, with a backtrace for `bulkhead symbolize`; then the machine stops or resets, as
//! the system file's `on_hypervisor_panic` says.

use crate::arch::{self, guest, guest::GuestFrame};
use crate::core_local::{self, Doorbell};
use crate::{console, gic, memory, partition, step, uart};
use aarch64_cpu::registers::{ELR_EL2, ESR_EL2, FAR_EL2};
use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};
use tock_registers::interfaces::Readable;
use uart::emergency;

/// Most addresses of a backtrace.
const FRAMES: usize = 24;
/// Bytes of stack that are searched.
const SCAN: u64 = 24 * 1024;

/// Who tells of EL2's end: 0 while nobody has to, else that core's pointer (0 early in boot) with bit 0 set, and
/// [`NOBODY`] once even the telling has failed.
static TELLER: AtomicUsize = AtomicUsize::new(0);
const NOBODY: usize = usize::MAX;

/// An exception taken from EL2 itself (vectors.s), on the emergency stack.
#[unsafe(no_mangle)]
extern "C" fn own_exception_rust(frame: &GuestFrame, kind: u64) -> ! {
    const KINDS: [&str; 4] = ["synchronous", "IRQ", "FIQ", "SError"];
    let (esr, elr, far) = (ESR_EL2.get(), ELR_EL2.get(), FAR_EL2.get());
    // Data abort from the same level, on the page below a stack.
    let what = if esr >> 26 == 0x25 && memory::is_guard(far) { "stack overflow" } else { KINDS[kind as usize & 3] };
    let text = format_args!("{what}: an exception of EL2's own, esr {esr:#x} elr {elr:#x} far {far:#x}");
    end(text, None, Backtrace { pc: [elr, frame.register(30)], stack: guest::lost_stack_pointer() })
}

/// Whether EL2's end is being told: the UART is no one else's from then on.
pub fn is_told() -> bool {
    TELLER.load(Ordering::Relaxed) != 0
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let place = info.location().map(|location| (location.file(), location.line()));
    end(
        format_args!("{}", info.message()),
        place,
        Backtrace { pc: [panic as *const () as u64, 0], stack: guest::stack_pointer() },
    )
}

fn end(what: fmt::Arguments<'_>, place: Option<(&str, u32)>, backtrace: Backtrace) -> ! {
    let own = guest::core_pointer() | 1;
    let before = TELLER.compare_exchange(0, own, Ordering::AcqRel, Ordering::Acquire).unwrap_or_else(|teller| teller);
    if before == 0 {
        tell(what, place, backtrace);
    } else if before == own {
        // Of its own telling. What was still to be said is lost, what is to be done is not.
        TELLER.store(NOBODY, Ordering::Release);
    } else {
        // While another core tells, or of what is done below.
        arch::halt();
    }
    halt_others();
    if let Some(reset) = partition::reset_on_panic() {
        if before == 0 {
            emergency(format_args!("bulkhead: the machine resets (on_hypervisor_panic)\r\n"));
        }
        reset();
    }
    emergency(format_args!("bulkhead: the machine stops\r\n"));
    step::blink();
    arch::halt()
}

fn halt_others() {
    let here = guest::core_pointer();
    let others = core_local::all().filter(|other| core::ptr::from_ref(*other).addr() != here);
    others.for_each(|other| other.ask(Doorbell::Halt, gic::ring));
}

fn tell(what: fmt::Arguments<'_>, place: Option<(&str, u32)>, backtrace: Backtrace) {
    if console::is_taken() {
        // The service's core writes to the UART, as far as it knows for itself.
        halt_others();
    }
    let core = core_local::try_this();
    let id = core.map_or(0, |core| u64::from(core.id.number()));
    let name = core.and_then(|core| core.assignment).map_or("none", |assignment| assignment.partition.name());
    emergency(format_args!("\r\nbulkhead: PANIC on core{id} (partition: {name}): {what}\r\n"));
    if let Some((file, line)) = place {
        emergency(format_args!("bulkhead: at {file}:{}\r\n", u64::from(line)));
    }
    emergency(format_args!("bulkhead: backtrace:{backtrace}\r\n"));
    emergency(format_args!("bulkhead: this is a bug in Bulkhead {}, not in a guest\r\n", env!("CARGO_PKG_VERSION")));
}

/// Addresses where the calls that are under way go on, innermost first.
///
/// Every word on the stack that follows a call instruction in EL2's text counts: EL2 is built without frame pointers,
/// which would cost 3 KiB and a few instructions of each exit. Words left over from calls that are over may be among
/// them; `bulkhead symbolize` marks what the code does not bear out.
struct Backtrace {
    /// PC, and LR of an exception; 0: none. The PC is the one address that no call precedes.
    pc: [u64; 2],
    stack: u64,
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.pc.iter().copied().filter(|pc| *pc != 0);
        let start = self.stack & !7;
        // An overflow leaves the stack pointer on the guard page or below: the first word is then a little above.
        let words = (start..start + SCAN).step_by(8).filter_map(memory::stack_word);
        let returns = words.filter(|word| memory::follows_call(*word));
        first.chain(returns).take(FRAMES).try_for_each(|address| write!(f, " {address:#x}"))
    }
}
