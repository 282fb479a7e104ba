//! What the interrupt controller holds that a life may leave behind, as QEMU tells it.
//!
//! A GICv3's memory-mapped registers are read through the monitor. QEMU's GICv2 knows banked registers only for the core that
//! asks, and ends when the monitor does; a GICv3's CPU interface no debugger is shown: there the whole machine is written to a
//! file as for a migration, and the GIC's part of it read (QEMU's hw/intc/arm_gic_common.c, `vmstate_gic` of version 12 and
//! `vmstate_gic_virt_state` of version 1; arm_gicv3_common.c, `vmstate_gicv3`, `vmstate_gicv3_cpu` and
//! `vmstate_gicv3_cpu_virt`, all of version 1; numbers are big-endian).

use crate::monitor::Monitor;
use anyhow::{Context, Result};
use std::path::Path;

/// Registers, by name.
pub type Interrupts = Vec<(String, Vec<u32>)>;

/// INTIDs 32 to 287: QEMU's board has no more SPIs.
const SPI_GROUPS: usize = 8;

/// GICv3: enabled, pending and active, and triggers of all SPIs and of the private interrupts of `cores`.
pub fn of_gicv3(monitor: &mut Monitor, cores: &[u64]) -> Result<Interrupts> {
    /// QEMU `virt`: GICD, the first GICR, and one core's part of the GICRs.
    const GICD: u64 = 0x0800_0000;
    const GICR: u64 = 0x080a_0000;
    const STRIDE: u64 = 0x2_0000;
    /// Offset and words of ISENABLER, ISPENDR, ISACTIVER, ICFGR, for INTIDs 0 to 31.
    const REGISTERS: [(&str, u64, u64); 4] =
        [("enabled", 0x100, 1), ("pending", 0x200, 1), ("active", 0x300, 1), ("edge", 0xc00, 2)];
    let mut all = Vec::new();
    for (name, offset, words) in REGISTERS {
        let spis = monitor.words(GICD + offset + 4 * words, words * SPI_GROUPS as u64)?;
        all.push((format!("SPIs {name}"), spis));
        for core in cores {
            let own = monitor.words(GICR + core * STRIDE + 0x1_0000 + offset, words)?;
            all.push((format!("core {core} {name}"), own));
        }
    }
    Ok(all)
}

/// GICv3: the active priorities of `cores` (ICC_APnRm_EL1), their list registers in use and their virtual active priorities
/// (ICH_LRn_EL2, ICH_APnRm_EL2). The machine is written to `file`.
pub fn interfaces_of_gicv3(monitor: &mut Monitor, cores: &[usize], file: &Path) -> Result<Interrupts> {
    gicv3_interfaces(&monitor.snapshot(file)?, cores)
}

fn gicv3_interfaces(snapshot: &[u8], cores: &[usize]) -> Result<Interrupts> {
    /// A length and a name; instance 0 and a version. And of each core's part: a subsection, a length and a name, a version.
    const GIC: &[u8] = b"\x09arm_gicv3\0\0\0\0\0\0\0\x01";
    const VIRTUAL: &[u8] = b"\x05\x12arm_gicv3_cpu/virt\0\0\0\x01";
    /// In front of the subsection `icc_apr`, `icc_igrpen`, `icc_ctlr_el3`: 3 * 4, 3 and 1 of 64 bits.
    const APR_BEFORE: usize = (12 + 3 + 1) * 8;
    /// In it `ich_apr`, `ich_hcr_el2`, `ich_lr_el2`: 3 * 4, 1 and 16 of 64 bits.
    const LIST_REGISTERS: usize = (12 + 1) * 8;
    /// Bits of a list register: pending, active (IHI 0069 12.4.8).
    const STATE: u64 = 3 << 62;
    let gic = behind(snapshot, GIC).context("no GICv3 in QEMU's snapshot")?;
    let windows = gic.windows(VIRTUAL.len()).enumerate();
    let places: Vec<usize> = windows.filter(|(_, window)| *window == VIRTUAL).map(|(at, _)| at).collect();
    let doubles = |at: usize, count: usize| -> Result<Vec<u64>> {
        let bytes =
            gic.get(at..).and_then(|rest| rest.get(..8 * count)).context("QEMU's snapshot ends within the GICv3")?;
        Ok(bytes.as_chunks().0.iter().map(|double| u64::from_be_bytes(*double)).collect())
    };
    let halves = |values: Vec<u64>| values.into_iter().flat_map(|value| [(value >> 32) as u32, value as u32]).collect();
    let mut all = Vec::new();
    for core in cores {
        let at = *places.get(*core).with_context(|| format!("no core {core} in the snapshot's GICv3"))?;
        let before = at.checked_sub(APR_BEFORE).context("the snapshot's GICv3 has another format")?;
        let own = at + VIRTUAL.len();
        // What an invalid list register still says is no state.
        let lists = doubles(own + LIST_REGISTERS, 16)?.into_iter().filter(|list| list & STATE != 0).collect();
        all.push((format!("core {core} list registers"), halves(lists)));
        all.push((format!("core {core} active priorities"), halves(doubles(before, 12)?)));
        all.push((format!("core {core} virtual active priorities"), halves(doubles(own, 12)?)));
    }
    Ok(all)
}

/// GICv2: the same as [`of_gicv3`], the GICC's active priorities, and the GICH's list registers and active priorities of `cores`. The
/// machine is written to `file`.
pub fn of_gicv2(monitor: &mut Monitor, cores: &[usize], file: &Path) -> Result<Interrupts> {
    GicV2::find(&monitor.snapshot(file)?)?.interrupts(cores)
}

/// The GICv2 in a snapshot.
struct GicV2<'a> {
    /// `vmstate_gic`.
    physical: &'a [u8],
    /// `vmstate_gic_virt_state`.
    interface: &'a [u8],
}

/// Cores that the format has room for.
const CORES: usize = 8;
/// Interrupts that it has room for, and what it says of each: a byte for each of these and of `level`, `model`, `group`.
const INTIDS: usize = 1020;
const PER_INTID: usize = 7;
const FIELDS: [(&str, usize); 4] = [("enabled", 0), ("pending", 1), ("active", 2), ("edge", 5)];
/// Behind `ctlr` and `cpu_ctlr`.
const INTID_STATES: usize = 4 + 4 * CORES;
/// Behind those, `irq_target`, priorities, `sgi_pending`, and eight registers of 16 and 8 bits.
const APR: usize = INTID_STATES + INTIDS * PER_INTID + INTIDS + 32 * CORES + (INTIDS - 32) + 16 * CORES + 8 * CORES;
/// Behind `h_hcr` and `h_misr`: 64 for each core.
const LIST_REGISTERS: usize = 2 * 4 * CORES;
const H_APR: usize = LIST_REGISTERS + 64 * 4 * CORES;
/// Bits of a list register: pending, active (IHI 0048 5.3.8).
const LIST_REGISTER_STATE: u32 = 3 << 28;

impl<'a> GicV2<'a> {
    fn find(snapshot: &'a [u8]) -> Result<Self> {
        // A length and a name; instance 0 and a version, or a version alone.
        let physical = behind(snapshot, b"\x07arm_gic\0\0\0\0\0\0\0\x0c").context("no GICv2 in QEMU's snapshot")?;
        let interface = behind(physical, b"\x12arm_gic_virt_state\0\0\0\x01").context("no GICH in QEMU's snapshot")?;
        Ok(Self { physical, interface })
    }

    fn interrupts(&self, cores: &[usize]) -> Result<Interrupts> {
        let mut all = Vec::new();
        for (name, field) in FIELDS {
            let spis: Result<Vec<u32>> = (1..=SPI_GROUPS).map(|group| self.group(group, field, !0)).collect();
            all.push((format!("SPIs {name}"), spis?));
            for core in cores {
                all.push((format!("core {core} {name}"), vec![self.group(0, field, 1 << core)?]));
            }
        }
        for core in cores {
            let words = |bytes, at: usize, count| -> Result<Vec<u32>> {
                (0..count).map(|n| word(bytes, at + 4 * (n * CORES + core))).collect()
            };
            // What an invalid list register still says is no state.
            let lists = words(self.interface, LIST_REGISTERS, 64)?;
            let valid = lists.into_iter().filter(|list| list & LIST_REGISTER_STATE != 0).collect();
            all.push((format!("core {core} list registers"), valid));
            all.push((format!("core {core} active priorities"), words(self.physical, APR, 4)?));
            all.push((format!("core {core} virtual active priorities"), words(self.interface, H_APR, 1)?));
        }
        Ok(all)
    }

    /// A field of 32 interrupts, a bit each: set where it is for any core of the mask.
    fn group(&self, group: usize, field: usize, cores: u8) -> Result<u32> {
        let states =
            self.physical.get(INTID_STATES + 32 * group * PER_INTID..).and_then(|rest| rest.get(..32 * PER_INTID));
        let states = states.context("QEMU's snapshot ends within the GICv2")?;
        // The trigger is one for all cores.
        let mask = if field == 5 { !0 } else { cores };
        let is_set = states.chunks(PER_INTID).map(|state| state.get(field).is_some_and(|byte| byte & mask != 0));
        Ok(is_set.enumerate().fold(0, |bits, (n, is_set)| bits | u32::from(is_set) << n))
    }
}

/// What follows `words`. RAM comes first in a snapshot, and most of it: devices are looked for from the end.
fn behind<'a>(bytes: &'a [u8], words: &[u8]) -> Option<&'a [u8]> {
    let at = bytes.windows(words.len()).rposition(|window| window == words)?;
    bytes.get(at + words.len()..)
}

fn word(bytes: &[u8], at: usize) -> Result<u32> {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.map(|word| u32::from_be_bytes(*word)).context("QEMU's snapshot ends within the GICv2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_of_a_gicv3_is_read() {
        let core = |apr: u64, list: u64, virtual_apr: u64| -> Vec<u8> {
            let before = [0, apr, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0x400];
            let mut behind = [0; 12 + 1 + 16 + 1];
            (behind[2], behind[12], behind[13 + 5], behind[29]) = (virtual_apr, 1, list, 7);
            let bytes = |doubles: &[u64]| doubles.iter().flat_map(|double| double.to_be_bytes()).collect::<Vec<u8>>();
            [bytes(&before), b"\x05\x12arm_gicv3_cpu/virt\0\0\0\x01".to_vec(), bytes(&behind)].concat()
        };
        let noise = b"noise\x09arm_gicv3\0\0\0\0\0\0\0\x01".to_vec();
        let snapshot = [noise, core(0, 3, 0), core(8, 1 << 62 | 27, 9)].concat();
        let all = gicv3_interfaces(&snapshot, &[0, 1]).unwrap();
        let of = |name: &str| all.iter().find(|(other, _)| other == name).map(|(_, words)| words.as_slice()).unwrap();
        assert!(of("core 0 list registers").is_empty());
        assert_eq!(of("core 1 list registers"), [1 << 30, 27]);
        assert_eq!(of("core 1 active priorities")[..4], [0, 0, 0, 8]);
        assert_eq!(of("core 1 virtual active priorities")[4..6], [0, 9]);
        assert!(gicv3_interfaces(&snapshot[..snapshot.len() - 16], &[1]).is_err(), "cut short");
        assert!(gicv3_interfaces(&snapshot, &[2]).is_err(), "a core too many");
    }

    #[test]
    fn a_snapshot_is_read() {
        let mut physical = vec![0; APR + 2 * 4 * 4 * CORES];
        let state = |intid: usize| INTID_STATES + intid * PER_INTID;
        // INTID 27 enabled on cores 1 and 2, pending on core 2; INTID 33 active, an edge.
        physical[state(27)] = 0b110;
        physical[state(27) + 1] = 0b100;
        (physical[state(33) + 2], physical[state(33) + 5]) = (0xff, 1);
        physical[APR + 4 * (CORES + 1) + 3] = 5;
        let mut interface = vec![0; H_APR + 4 * CORES];
        interface[LIST_REGISTERS + 4 * (3 * CORES + 1)..][..4].copy_from_slice(&0x9000_001b_u32.to_be_bytes());
        interface[LIST_REGISTERS + 4 * (2 * CORES + 1)..][..4].copy_from_slice(&0x8000_001b_u32.to_be_bytes());
        interface[H_APR + 4 + 3] = 9;
        let parts: [&[u8]; 4] =
            [b"noise\x07arm_gic\0\0\0\0\0\0\0\x0c", &physical, b"\x05\x12arm_gic_virt_state\0\0\0\x01", &interface];
        let snapshot = parts.concat();
        let all = GicV2::find(&snapshot).unwrap().interrupts(&[1]).unwrap();
        let of = |name: &str| all.iter().find(|(other, _)| other == name).map(|(_, words)| words.as_slice()).unwrap();
        assert_eq!(of("core 1 enabled"), [1 << 27]);
        assert_eq!(of("core 1 pending"), [0]);
        assert_eq!(of("SPIs active"), [2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(of("SPIs edge"), [2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(of("core 1 list registers"), [0x9000_001b]);
        assert_eq!(of("core 1 active priorities"), [0, 5, 0, 0]);
        assert_eq!(of("core 1 virtual active priorities"), [9]);
        assert!(GicV2::find(&snapshot[..snapshot.len() - 1]).unwrap().interrupts(&[7]).is_err(), "cut short");
    }
}
