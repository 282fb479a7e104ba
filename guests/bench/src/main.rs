//! Counts what operations cost: the same file runs with and without a hypervisor, the difference is the hypervisor.
//!
//! Run under `-icount shift=0,sleep=off` with `cntfrq=1000000000`, where one counter tick is one executed
//! instruction; anywhere else the numbers are ticks of the virtual counter. Output, one line each:
//!
//! ```text
//! PHASE 101 hvc_psci_version            hints 100 + n and 127 bracket phase n for an instruction-counting plugin
//! RESULT hvc_psci_version 9 9 9 9 9     min median p99 max mean, integers, in ticks
//! SKIP sgi_cross_oneway_wfi needs 2 vCPUs
//! BENCH-DONE
//! ```
//!
//! What each row spans is said at its function. While one vCPU is measured the others are off or in WFI, because
//! that clock runs on for all of them. The guest ends with SYSTEM_OFF. Nothing here asserts a bound: tests do.
#![no_std]
#![no_main]

mod arch;
mod cross;
mod interrupts;
mod samples;

use rt::{board, gic, println, psci, timer};
use samples::{Samples, row};

rt::guest!(main = main, interrupt = interrupts::unexpected);

fn main() -> ! {
    let gic_version = if gic::is_v3() { 3 } else { 2 };
    println!("bench: {} Hz, GICv{gic_version}, {} vCPU(s)", timer::frequency(), board::board().vcpus);
    // From reset of the machine to the first instruction of this guest, by the physical counter.
    Samples::one(rt::arch::entry_state()[30]).report("boot_cntpct_at_entry");

    arch::install_vectors();
    row::<100>("clock_overhead", 1000, arch::time_nothing);
    row::<101>("hvc_psci_version", 1000, arch::time_hvc);
    let distributor = interrupts::distributor_typer();
    row::<102>("mmio_gicd_typer", 1000, || arch::time_load(distributor));
    row::<103>("idreg_read", 1000, arch::time_id_register);
    interrupts::run();
    row::<107>("cpu_loop_1M_insn", 50, arch::time_loop);
    cross::run();
    println!("BENCH-DONE");
    psci::system_off()
}
