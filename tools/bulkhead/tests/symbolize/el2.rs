//! A program with a few calls, compiled and linked as EL2 is by `tests/symbolize.rs`. It never runs.
//!
//! Lines that the test asks for end with their name in a comment.
#![no_std]
#![no_main]

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[no_mangle]
pub extern "C" fn outer(n: u64) -> u64 {
    let tripled = middle(n); // inlined
    tripled + 1
}

#[inline(always)]
fn middle(n: u64) -> u64 {
    let called = inner(n + 1); // call
    called * 3
}

#[no_mangle]
#[inline(never)]
pub extern "C" fn inner(n: u64) -> u64 { // inner
    core::hint::black_box(n)
}

/// Ends with a call, so that the return address is behind the function.
#[no_mangle]
pub extern "C" fn last(n: u64) -> ! {
    inner(n);
    never() // never
}

#[no_mangle]
#[inline(never)]
pub extern "C" fn never() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
