//! Orders for the service itself, for tests: what is typed while it has the keyboard, one a line.
//!
//! `calm`: this life does not end by itself any more. A hexadecimal number: the service loads the word at that physical
//! address, with its own translation off, so that stage 2 alone decides whether it may. It says what it found; where
//! stage 2 has nothing for it, its life ends there, and EL2's record names the address.

use crate::arch::reach;
use crate::say;
use heapless::String;
use spin::mutex::SpinMutex;

/// Longest line: a 64-bit number.
const LINE: usize = 16;

static TYPED: SpinMutex<String<LINE>> = SpinMutex::new(String::new());

/// A byte of a line. What does not fit is dropped.
pub fn typed(byte: u8) {
    if matches!(byte, b'\r' | b'\n') {
        let line = core::mem::take(&mut *TYPED.lock());
        return obey(&line);
    }
    let _ = TYPED.lock().push(char::from(byte));
}

fn obey(line: &str) {
    if line == "calm" {
        super::armed::disarm();
        say!("crash hook: calm");
    } else if let Ok(address) = u64::from_str_radix(line, 16) {
        say!("reach hook: loading from 0x{address:x}");
        // SAFETY: only the tests' image has this hook, and what they type are addresses of the partitions' RAM, where a load
        // changes nothing. Nothing here holds them to it: at a device's register a load may change that device.
        let word = unsafe { reach::load(address & !7) };
        say!("reach hook: 0x{address:x} holds 0x{word:x}");
    }
}
