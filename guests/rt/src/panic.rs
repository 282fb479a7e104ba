//! A guest that panics says so and ends its partition.

use crate::{console, psci};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Set by the first panic: a fault inside it must not report itself for ever.
static HAS_PANICKED: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(panic: &PanicInfo) -> ! {
    if HAS_PANICKED.swap(true, Relaxed) {
        psci::system_off();
    }
    console::print_anyway(format_args!("{panic}"));
    psci::system_off()
}
