//! How a life begins and ends, where Rust cannot be: registers as found at the first instruction, and vCPUs that are
//! left in a state that only their end can take them out of.

use aarch64_cpu::registers::{CPACR_EL1, ReadWriteable as _};
use core::arch::{asm, global_asm};
use rt::arch::insn;
use rt::cpu;

/// Bytes from `probe_spin` to the instruction that branches to itself.
const SPINS_AT: u64 = 4;
/// Offset of a synchronous exception's vector, taken from EL1 on SP_EL1 (Arm ARM, "Exception vectors").
pub const CURRENT_SPX: u64 = 0x200;
/// No device of the guest machine, no RAM.
const NOWHERE: u64 = 0x0b00_0000;
/// Registers that `probe_store_found` stores.
const FOUND: usize = 18;
/// X0 to X28 and SP, which `probe_second_entry` stores behind them.
const GENERAL: usize = 30;
/// SCTLR_EL1 at reset: its RES1 bits (Arm ARM), and nothing on.
const SCTLR: u64 = 0x00c5_0838;

/// In the order of `probe_store_found`: name, first value.
const NAMES: [(&str, u64); FOUND] = [
    ("x29", 0),
    ("x30", 0),
    ("SCTLR", SCTLR),
    ("CPACR", 0),
    ("TTBR0", 0),
    ("TTBR1", 0),
    ("TCR", 0),
    ("MAIR", 0),
    ("VBAR", 0),
    ("ESR", 0),
    ("FAR", 0),
    ("ELR", 0),
    ("SPSR", 0),
    ("TPIDR_EL1", 0),
    ("CNTV_CTL", 0),
    ("CNTV_CVAL", 0),
    ("CNTP_CTL", 0),
    ("CNTP_CVAL", 0),
];

unsafe extern "C" {
    static probe_found: [u64; FOUND];
    static probe_second: [u64; FOUND + GENERAL];
    static probe_aborting: u64;
    static probe_undefined: u64;
    fn probe_spin() -> !;
    fn probe_second_entry();
    fn probe_poison(value: u64, vectors: u64) -> !;
    fn probe_poison_off(value: u64, vectors: u64) -> !;
}

// `probe_entry`: in and out: the boot protocol's registers; x29 and x30 are lost, as they are in the runtime's entry.
// MMU and caches are off, so what it stores lies in memory. If x30 is not 0, x29 is stored as 0.
// `probe_second_entry`: the same for a vCPU that CPU_ON starts. It may come here again in one life: what the caches have
// of the values before goes, in lines of 64 bytes.
// `probe_spin`: interrupts and debug exceptions masked. `probe_poison`: in: x0 = what every register gets, x1 = vectors;
// ends in an undefined instruction. It runs with the MMU off: the identity map makes that the same place.
// `probe_poison_off`: the same, but it ends in CPU_OFF, which has to be in x0.
// `probe_undefined`, `probe_aborting`: vectors of UDF, which stays at EL1, and of a load at x1.
global_asm!(
    r#"
    // x29 is lost, x30 = where they are stored
    .macro probe_store_found found
    cbnz    x30, 1f
    adrp    x30, \found
    add     x30, x30, :lo12:\found
    stp     x29, xzr, [x30]
    b       2f
1:  adrp    x29, \found
    add     x29, x29, :lo12:\found
    stp     xzr, x30, [x29]
    mov     x30, x29
2:  .set    probe_at, 8
    .irp    register, sctlr_el1,cpacr_el1,ttbr0_el1,ttbr1_el1,tcr_el1,mair_el1,vbar_el1,esr_el1,far_el1,elr_el1,spsr_el1,tpidr_el1,cntv_ctl_el0,cntv_cval_el0,cntp_ctl_el0,cntp_cval_el0
    .set    probe_at, probe_at + 8
    mrs     x29, \register
    str     x29, [x30, #probe_at]
    .endr
    .endm

    .macro probe_fill
    msr     daifset, #15
    mrs     x2, sctlr_el1
    bic     x2, x2, #1
    msr     sctlr_el1, x2
    isb
    msr     vbar_el1, x1
    .irp    register, ttbr0_el1,ttbr1_el1,tcr_el1,mair_el1,esr_el1,far_el1,elr_el1,spsr_el1,sp_el0,tpidr_el1,cntv_cval_el0,cntp_cval_el0
    msr     \register, x0
    .endr
    mov     x2, #3
    msr     cntv_ctl_el0, x2
    msr     cntp_ctl_el0, x2
    isb
    mov     sp, x0
    .irp    n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
    mov     x\n, x0
    .endr
    .endm

    .section .text.probe_entry, "ax"
    .global probe_entry
probe_entry:
    probe_store_found probe_found
    b       rt_entry

    .global probe_second_entry
probe_second_entry:
    probe_store_found probe_second
    .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28
    str     x\n, [x30, #144 + 8 * \n]
    .endr
    mov     x29, sp
    str     x29, [x30, #144 + 8 * 29]
    dmb     sy
    .rept   6
    dc      ivac, x30
    add     x30, x30, #64
    .endr
    dsb     sy
    b       rt_secondary

    .global probe_spin
probe_spin:
    msr     daifset, #15
1:  b       1b

    .global probe_poison
probe_poison:
    probe_fill
    udf     #0

    .global probe_poison_off
probe_poison_off:
    probe_fill
    movz    x0, #0x8400, lsl #16
    movk    x0, #2
    hvc     #0
    udf     #0

    .section .text.probe_vectors, "ax"
    .balign 2048
probe_undefined:
    .fill   512, 4, 0
probe_aborting:
    .rept   512
    ldr     x0, [x1]
    .endr

    .section .bss.probe_found, "aw", %nobits
    .balign 64
probe_found:
    .skip   256
probe_second:
    .skip   384
"#
);

const _: () = assert!(FOUND == 144 / 8 && FOUND + GENERAL == 384 / 8, "the assembly above has other places");

/// Where CPU_ON may start vCPU 1 so that it knows what it found: [`found_at_entry`], [`general_at_entry`].
pub fn second_entry() -> u64 {
    probe_second_entry as *const () as u64
}

fn second() -> [u64; FOUND + GENERAL] {
    // SAFETY: `probe_second_entry` writes it before Rust runs on vCPU 1, and the others wait meanwhile.
    unsafe { (&raw const probe_second).read_volatile() }
}

/// What this vCPU found at its first instruction: name, first value, value.
pub fn found_at_entry() -> impl Iterator<Item = (&'static str, u64, u64)> {
    let mut found = [0; FOUND];
    if cpu::index() == 0 {
        // SAFETY: written once by `probe_entry` before Rust runs, never again.
        found = unsafe { (&raw const probe_found).read_volatile() };
    } else {
        found.iter_mut().zip(second()).for_each(|(word, value)| *word = value);
    }
    NAMES.iter().zip(found).map(|((name, first), value)| (*name, *first, value))
}

/// X0 to X28 and SP as this vCPU found them.
pub fn general_at_entry() -> [u64; GENERAL] {
    let mut found = [0; GENERAL];
    if cpu::index() == 0 {
        found.iter_mut().zip(rt::arch::entry_state()).for_each(|(word, value)| *word = *value);
    } else {
        found.iter_mut().zip(&second()[FOUND..]).for_each(|(word, value)| *word = *value);
    }
    found
}

/// Masks everything that can be masked and branches to itself.
pub fn spin_masked() -> ! {
    // SAFETY: touches nothing.
    unsafe { probe_spin() }
}

/// Where [`spin_masked`] stays.
pub fn spins_at() -> u64 {
    probe_spin as *const () as u64 + SPINS_AT
}

/// Masks everything that can be masked and waits for interrupts, again and again.
pub fn sleep_masked() -> ! {
    mask_all();
    loop {
        insn::wfi();
    }
}

/// Takes an undefined instruction whose vector is one: an endless loop at EL1, of which EL2 sees nothing.
pub fn fault_at_el1() -> ! {
    fault_with_vectors((&raw const probe_undefined) as u64)
}

/// Vectors whose instructions load from where nothing is.
pub fn aborting_vectors() -> u64 {
    (&raw const probe_aborting) as u64
}

/// Takes an exception there.
pub fn fault_in_aborting_vectors() -> ! {
    fault_with_vectors(aborting_vectors())
}

fn fault_with_vectors(vectors: u64) -> ! {
    mask_all();
    // SAFETY: never returns, so nothing depends on the vectors or on the stack below it.
    unsafe { asm!("msr vbar_el1, {}", "isb", "udf #0", "b .", in(reg) vectors, in("x1") NOWHERE, options(noreturn)) }
}

/// Fills every register with `value` and faults where nothing is.
pub fn poison_and_crash(value: u64) -> ! {
    CPACR_EL1.modify(CPACR_EL1::FPEN::TrapNothing);
    // SAFETY: never returns, so nothing depends on what it fills.
    unsafe { probe_poison(value, NOWHERE) }
}

/// Fills every register with `value` and calls CPU_OFF.
pub fn poison_and_leave(value: u64) -> ! {
    CPACR_EL1.modify(CPACR_EL1::FPEN::TrapNothing);
    // SAFETY: as above.
    unsafe { probe_poison_off(value, NOWHERE) }
}

fn mask_all() {
    // SAFETY: masking is always allowed.
    unsafe { asm!("msr daifset, #15", options(nostack, preserves_flags)) }
}

/// Stores a word of free RAM.
pub fn store(address: u64, value: u64) {
    // SAFETY: `lives::ram` gives free RAM only: no Rust object is there.
    unsafe { (address as *mut u64).write_volatile(value) }
}

/// Loads a word of free RAM.
pub fn load(address: u64) -> u64 {
    // SAFETY: as for `store`.
    unsafe { (address as *const u64).read_volatile() }
}
