//! A guest that panics says so and asks for a reset: whether it comes back, and how often, is the system file's to say.

use crate::{console, psci};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Set by the first panic: a fault inside it must not report itself for ever.
static HAS_PANICKED: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(panic: &PanicInfo) -> ! {
    if HAS_PANICKED.swap(true, Relaxed) {
        psci::system_reset();
    }
    console::print_anyway(format_args!("{panic}"));
    psci::system_reset()
}
