//! The service's own lines. They go to EL2 and come back as a source of the console, like every partition's.

use crate::hypercall;
use abi::service::TEXT;
use core::fmt::{self, Write};

/// Collects the bytes of one line and sends each full piece.
struct Piece {
    bytes: heapless::Vec<u8, TEXT>,
}

impl Piece {
    fn send(&mut self) {
        // Nobody is left to tell of a refusal.
        let _ = hypercall::log(&self.bytes);
        self.bytes.clear();
    }
}

impl Write for Piece {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.bytes.push(byte).is_err() {
                self.send();
                let _ = self.bytes.push(byte);
            }
        }
        Ok(())
    }
}

/// Says one line.
pub fn line(text: fmt::Arguments<'_>) {
    let mut piece = Piece { bytes: heapless::Vec::new() };
    // `Piece` takes everything.
    let _ = piece.write_fmt(text);
    // With a return: the partition with the keyboard passes raw, and that may be the service.
    let _ = piece.write_str("\r\n");
    piece.send();
}

/// Says one line.
#[macro_export]
macro_rules! say {
    ($($argument:tt)*) => { $crate::say::line(format_args!($($argument)*)) };
}
