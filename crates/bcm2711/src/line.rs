//! Plain pins of the header: from what guests drive to the registers of bank 0, and from those to what guests see
//! (BCM2711 ARM Peripherals, section 5.2). A word here has a bit for each pin.
//!
//! Nothing of it reads or writes a register. That a pin has one owner is the host tool's promise.

use crate::pin::{HEADER, with_fields};
use abi::PartitionId;
use abi::plan::Line;
use abi::service::Driven;

/// Offset of GPSET0: a 1 drives a pin high.
pub const GPSET: u64 = 0x1c;
/// Offset of GPCLR0: a 1 drives a pin low.
pub const GPCLR: u64 = 0x28;
/// Offset of GPLEV0: the levels.
pub const GPLEV: u64 = 0x34;
/// Offset of GPEDS0: a 1 has seen an edge, and is cleared by a 1.
pub const GPEDS: u64 = 0x40;
/// Offset of GPREN0: a 1 sees rising edges.
pub const GPREN: u64 = 0x4c;
/// Offset of GPFEN0: a 1 sees falling edges.
pub const GPFEN: u64 = 0x58;

/// GPFSEL's codes for an input and for an output.
const INPUT: u32 = 0b000;
const OUTPUT: u32 = 0b001;

/// What all guests together drive.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Levels {
    /// The pins that are outputs.
    pub outputs: u32,
    /// Those of them that are high.
    pub high: u32,
}

/// What guests drive; `said` is what each has said. A guest drives its own pins and no others, whatever it says.
pub fn driven(lines: &[Line], said: impl Fn(PartitionId) -> Driven) -> Levels {
    let mut levels = Levels::default();
    for line in lines {
        let driven = said(line.partition);
        let [is_output, is_high] = [driven.outputs, driven.high].map(|bits| is_set(bits, line.place));
        levels.outputs |= if is_output { bit(line) } else { 0 };
        levels.high |= if is_output && is_high { bit(line) } else { 0 };
    }
    levels
}

/// The pins that are plain.
pub fn all(lines: &[Line]) -> u32 {
    lines.iter().fold(0, |all, line| all | bit(line))
}

/// Those of `pins` that are the partition's, as its PL061 has them.
pub fn seen_by(lines: &[Line], partition: PartitionId, pins: u32) -> u8 {
    let own = lines.iter().filter(|line| line.partition == partition && pins & bit(line) != 0);
    own.fold(0, |seen, line| seen | 1u8.checked_shl(line.place.into()).unwrap_or(0))
}

/// The value of GPFSEL register `n` that was `old`, with its share of `lines` set.
pub fn direction_select(n: usize, old: u32, lines: &[Line], outputs: u32) -> u32 {
    let code = |line: &Line| if outputs & bit(line) != 0 { OUTPUT } else { INPUT };
    with_fields(n, old, 10, 3, lines.iter().map(|line| (line.number, code(line))))
}

/// A line's pin; none where the header has no such pin.
fn bit(line: &Line) -> u32 {
    if line.number < HEADER { 1 << line.number } else { 0 }
}

fn is_set(bits: u8, place: u8) -> bool {
    bits.checked_shr(place.into()).unwrap_or(0) & 1 != 0
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    const A: PartitionId = PartitionId::new(0);
    const B: PartitionId = PartitionId::new(1);

    const fn line(number: u8, partition: PartitionId, place: u8) -> Line {
        Line { number, partition, place }
    }

    /// Two of one partition, beside the power key's pin, and one of another.
    const LINES: [Line; 3] = [line(17, A, 0), line(27, A, 4), line(22, B, 0)];

    fn says(a: (u8, u8), b: (u8, u8)) -> Levels {
        driven(&LINES, |who| {
            let (outputs, high) = if who == A { a } else { b };
            Driven { outputs, high }
        })
    }

    #[test]
    fn a_guest_drives_its_own_pins() {
        assert_eq!(says((0, 0), (0, 0)), Levels::default());
        assert_eq!(says((0x11, 0x10), (0, 0)), Levels { outputs: 1 << 17 | 1 << 27, high: 1 << 27 });
        assert_eq!(says((0x10, 0x10), (1, 0)), Levels { outputs: 1 << 27 | 1 << 22, high: 1 << 27 });
    }

    #[test]
    fn a_guest_that_says_anything_drives_no_other_pins() {
        let everything = Levels { outputs: 1 << 22, high: 1 << 22 };
        assert_eq!(says((0, 0), (0xff, 0xff)), everything);
        assert_eq!(says((0, 0xff), (0xff, 0xff)), everything, "an input is not high");
    }

    #[test]
    fn levels_are_seen_by_their_owner_at_its_own_pins() {
        let pins = 1 << 27 | 1 << 22 | 1 << 5;
        assert_eq!((seen_by(&LINES, A, pins), seen_by(&LINES, B, pins)), (0x10, 0x01));
        assert_eq!((seen_by(&LINES, A, !0), seen_by(&LINES, PartitionId::new(2), !0)), (0x11, 0));
        assert_eq!(all(&LINES), 1 << 17 | 1 << 22 | 1 << 27);
    }

    #[test]
    fn directions_change_no_other_pin() {
        // Pin 18 is ALT5, 14 and 15 are ALT0, 17 was whatever the firmware made of it.
        let (others, old) = (0b010 << 24 | 0b100 << 12 | 0b100 << 15, 0b111 << 21);
        assert_eq!(direction_select(1, others | old, &LINES, 0), others);
        assert_eq!(direction_select(1, others | old, &LINES, 1 << 17), others | 0b001 << 21);
        assert_eq!(direction_select(2, 0, &LINES, !0), 0b001 << 6 | 0b001 << 21);
        assert_eq!(direction_select(0, 0x1234_5678, &LINES, !0), 0x1234_5678);
    }

    #[test]
    fn a_line_that_cannot_be_changes_nothing() {
        let beyond: Vec<Line> = [(28, 0), (58, 1), (u8::MAX, 2)].map(|(pin, place)| line(pin, A, place)).into();
        let says_all = |_| Driven { outputs: !0, high: !0 };
        assert_eq!((driven(&beyond, says_all), all(&beyond), seen_by(&beyond, A, !0)), (Levels::default(), 0, 0));
        let odd = [line(4, A, 8), line(5, A, u8::MAX)];
        assert_eq!((driven(&odd, says_all), seen_by(&odd, A, !0)), (Levels::default(), 0));
    }
}
