//! How this life ends when the service itself is wrong: it says what and where, and then crashes so that EL2 records it.
//!
//! EL2 starts the next life; what it needs is in the survivor pages.

use crate::arch;
use crate::say;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

/// The end has begun: what goes wrong in it ends it at once.
static IS_ENDING: AtomicBool = AtomicBool::new(false);

fn end(text: core::fmt::Arguments<'_>) -> ! {
    if !IS_ENDING.swap(true, Ordering::Relaxed) {
        say::line(text);
    }
    arch::crash()
}

#[panic_handler]
fn panic(panic: &PanicInfo) -> ! {
    match panic.location() {
        Some(place) => end(format_args!("error: {}:{}: {}", place.file(), place.line(), panic.message())),
        None => end(format_args!("error: {}", panic.message())),
    }
}

/// Called by the vectors.
#[unsafe(no_mangle)]
extern "C" fn service_exception(vector: u64, esr: u64, elr: u64, far: u64, sp: u64, caller: u64) -> ! {
    let base = arch::entry::image().text;
    end(format_args!(
        "error: exception at vector {vector}: ESR 0x{esr:08x} (EC 0x{:02x}) ELR 0x{elr:x} (image + 0x{:x}) FAR 0x{far:x} \
         SP 0x{sp:x} x30 0x{caller:x} (image + 0x{:x})",
        esr >> 26 & 0x3f,
        elr.wrapping_sub(base),
        caller.wrapping_sub(base),
    ))
}
