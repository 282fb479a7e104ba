//! Backtraces of EL2 in a console log, turned into functions and lines.
//!
//! On a panic EL2 prints lines that hold `bulkhead: backtrace:` and virtual addresses of its own image. The log passes
//! unchanged, and under each such line stands what its addresses mean. Nothing else in the log is looked at, so a guest
//! that prints such a line gets it explained as well.

mod lines;

use anyhow::{Context, Result};
pub use lines::{Frame, Lines};
use std::io::{BufRead, Write};

/// What stands before the addresses.
pub const MARK: &str = "bulkhead: backtrace:";

/// Copies `log` to `out` with the meaning of each backtrace under its line; returns how many lines had one.
pub fn annotate(log: &mut dyn BufRead, out: &mut dyn Write, lines: &Lines<'_>) -> Result<usize> {
    let mut count = 0;
    let mut is_first = true;
    let mut line = Vec::new();
    while log.read_until(b'\n', &mut line).context("cannot read the log")? != 0 {
        out.write_all(&line)?;
        let addresses = addresses(&String::from_utf8_lossy(&line));
        if addresses.is_empty() {
            is_first = true;
        } else {
            count += 1;
            if line.last() != Some(&b'\n') {
                writeln!(out)?;
            }
        }
        for address in addresses {
            explain(out, lines, address, is_first)?;
            is_first = false;
        }
        // Whoever reads along sees a line as soon as it is there.
        out.flush()?;
        line.clear();
    }
    Ok(count)
}

/// The addresses of a line, none if it is no backtrace.
fn addresses(line: &str) -> Vec<u64> {
    let Some((_, words)) = line.split_once(MARK) else { return Vec::new() };
    let address = |word: &str| u64::from_str_radix(&word.strip_prefix("0x")?.replace('_', ""), 16).ok();
    words.split_whitespace().map_while(address).collect()
}

/// One address: the function it is in, and each function that one was inlined into.
///
/// All but the first of a backtrace are return addresses, which may already belong to the next line or function: the
/// call stands one instruction before.
fn explain(out: &mut dyn Write, lines: &Lines<'_>, address: u64, is_first: bool) -> Result<()> {
    let call = if is_first { address } else { address.saturating_sub(4) };
    let shown = format!("{address:#x}");
    let frames = lines.frames(call)?;
    if frames.is_empty() {
        writeln!(out, "    {shown} is not in EL2's code")?;
    }
    for (depth, frame) in frames.iter().enumerate() {
        match depth {
            0 => writeln!(out, "    {shown} {frame}")?,
            _ => writeln!(out, "    {:width$} inlined in {frame}", "", width = shown.len())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_behind_tags_and_before_carriage_returns() {
        assert_eq!(addresses("bulkhead: backtrace: 0x4000001234 0x4000005678\r\n"), [0x40_0000_1234, 0x40_0000_5678]);
        assert_eq!(addresses("[  1.5] core1 bulkhead| bulkhead: backtrace: 0x4000001234\n"), [0x40_0000_1234]);
        assert_eq!(addresses("bulkhead: backtrace: 0x0040_0000_1234"), [0x40_0000_1234]);
        assert_eq!(addresses("bulkhead: backtrace: 0x10 (cut here) 0x20"), [0x10]);
    }

    #[test]
    fn other_lines_have_none() {
        for line in ["", "pc 0x4000001234", "bulkhead: backtrace:", "bulkhead: backtrace: none", "bulkhead: PANIC 0x1"]
        {
            assert_eq!(addresses(line), [0; 0], "{line}");
        }
    }
}
