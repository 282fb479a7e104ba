//! Runtime for bare-metal guests of the one guest machine (docs/MANUAL.md, section 4): entry, vectors, GIC, timer, console,
//! PSCI, virtio.
//!
//! A guest is a `#![no_std] #![no_main]` binary that names its entry and its interrupt handler with [`guest!`]. It
//! starts at EL1 with MMU and caches on, interrupts masked, the console usable and nothing else enabled. The same
//! ELF file runs under Bulkhead and on plain QEMU `-M virt -kernel`. There is no allocator and no scheduler.
//!
//! Memory map: [0, 1 GiB) Device but for the channels, they and [1 GiB, 4 GiB) Normal write-back; identity. One image, writable and executable:
//! these guests are test subjects and examples, isolation is the hypervisor's promise.
#![no_std]

pub mod arch;
pub mod board;
pub mod channel;
pub mod console;
pub mod cpu;
pub mod gic;
mod panic;
pub mod psci;
pub mod timer;
pub mod trap;
pub mod virtio;

/// Names the guest's entry (`fn() -> !`, runs on vCPU 0) and its interrupt handler (`fn(IntId)`, runs on the vCPU
/// that took the interrupt, between acknowledge and end of interrupt, interrupts masked, must not print).
#[macro_export]
macro_rules! guest {
    (main = $main:path, interrupt = $interrupt:path) => {
        // SAFETY: the only definition of the symbol; `rt` declares it with this signature.
        #[unsafe(no_mangle)]
        extern "Rust" fn guest_main() -> ! {
            $main()
        }
        // SAFETY: as above.
        #[unsafe(no_mangle)]
        extern "Rust" fn guest_interrupt(intid: $crate::IntId) {
            $interrupt(intid)
        }
    };
}

pub use abi::{IntId, machine};
