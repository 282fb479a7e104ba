//! Leaf functions of one load, store or jump each: the only code in which a fault may be expected.
//!
//! A leaf keeps no stack frame and leaves x30 alone, so the handler can return to its caller (`trap::attempt`).
//! Device registers are reached through them too: one plain instruction with a valid syndrome (ISS.ISV = 1), which a
//! volatile access does not promise because the compiler may choose post-indexed or paired forms.

use core::arch::global_asm;

/// A leaf: two arguments in x0 and x1, result in x0.
pub type Leaf = unsafe extern "C" fn(u64, u64) -> u64;

// In: x0 = address, x1 = value. Out: x0 = value read, or unchanged. The barrier makes an asynchronous abort arrive
// before the return. Not Rust: exactly one memory access and no frame.
global_asm!(
    r#"
    .macro rt_leaf name, insn:vararg
    .global \name
\name:
    \insn
    dsb     sy
    isb
    ret
    .endm

    .section .text.leaf, "ax"
    rt_leaf rt_load8, ldrb w0, [x0]
    rt_leaf rt_load16, ldrh w0, [x0]
    rt_leaf rt_load32, ldr w0, [x0]
    rt_leaf rt_load64, ldr x0, [x0]
    rt_leaf rt_store8, strb w1, [x0]
    rt_leaf rt_store16, strh w1, [x0]
    rt_leaf rt_store32, str w1, [x0]
    rt_leaf rt_store64, str x1, [x0]

    .global rt_jump
rt_jump:
    ic      iallu
    dsb     sy
    isb
    br      x0
"#
);

unsafe extern "C" {
    /// Loads 8 bits.
    pub fn rt_load8(address: u64, unused: u64) -> u64;
    /// Loads 16 bits.
    pub fn rt_load16(address: u64, unused: u64) -> u64;
    /// Loads 32 bits.
    pub fn rt_load32(address: u64, unused: u64) -> u64;
    /// Loads 64 bits.
    pub fn rt_load64(address: u64, unused: u64) -> u64;
    /// Stores 8 bits.
    pub fn rt_store8(address: u64, value: u64) -> u64;
    /// Stores 16 bits.
    pub fn rt_store16(address: u64, value: u64) -> u64;
    /// Stores 32 bits.
    pub fn rt_store32(address: u64, value: u64) -> u64;
    /// Stores 64 bits.
    pub fn rt_store64(address: u64, value: u64) -> u64;
    /// Jumps to the address with x30 of the caller: code there that returns, returns to the caller.
    pub fn rt_jump(address: u64, unused: u64) -> u64;
}
