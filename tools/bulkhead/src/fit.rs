//! Where kernel, initrd and device tree lie in a guest's RAM.
//!
//! As QEMU's loader does it (hw/arm/boot.c), for images made for its `virt` machine; but device tree and initrd lie
//! near the top, the tree highest, since raw binaries use memory behind themselves that no header tells of. An ELF file
//! that leaves the start of RAM free finds the tree there: QEMU puts it there for it, and passes no address.

use crate::kernel::Kernel;
use addr::{Address, BLOCK_1G, BLOCK_2M, Ipa, PAGE_SIZE, Region, align_up, is_aligned};

/// Where QEMU puts a raw binary, from the start of RAM.
const RAW_OFFSET: u64 = 0x8_0000;
/// An `Image` that wants to start in the first page of RAM is put 2 MiB higher, as on QEMU, whose boot stub is there.
const LOW_TEXT_OFFSET: u64 = 4096;

/// What QEMU's device tree takes: it goes to the start of RAM if an ELF file leaves that much.
const QEMU_TREE: u64 = 1 << 20;

/// Offsets that the user pinned.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pins {
    /// `kernel_at`.
    pub kernel: Option<u64>,
    /// `device_tree_at`.
    pub device_tree: Option<u64>,
}

/// What fits where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fit {
    /// The first instruction.
    pub entry: Ipa,
    /// Where an `Image` or a raw binary is loaded; ELF segments say so themselves.
    pub kernel: Option<Ipa>,
    /// The initrd, if there is one.
    pub initrd: Option<Ipa>,
    /// The device tree.
    pub device_tree: Ipa,
}

/// Why nothing fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The kernel alone ends above RAM: bytes of RAM that it would need.
    Kernel(u64),
    /// Kernel, initrd and device tree together do: bytes of RAM that they would need.
    Together(u64),
    /// An ELF segment has an address outside RAM.
    Segment(u64, u64),
    /// `kernel_at` for an ELF file.
    PinnedElf,
    /// `kernel_at` breaks the 2 MiB rule of an `Image` with this text_offset.
    PinnedImage(u64),
}

/// Places a kernel, an initrd of `initrd` bytes (0: none) and a tree of `tree` bytes in `ram`.
pub fn fit(ram: Region<Ipa>, kernel: &Kernel, initrd: u64, tree: u64, pins: Pins) -> Result<Fit, Misfit> {
    match kernel {
        Kernel::Elf { entry, segments, .. } => {
            if pins.kernel.is_some() {
                return Err(Misfit::PinnedElf);
            }
            let mut taken = Vec::new();
            for segment in segments {
                let size = (segment.bytes.len() as u64).saturating_add(segment.zeroed);
                let region = Region::new(Ipa::new(segment.address), size).filter(|region| ram.covers(region));
                taken.push(region.ok_or(Misfit::Segment(segment.address, size))?);
            }
            let lowest = taken.iter().filter_map(|region| region.start().offset_from(ram.start())).min();
            let start = lowest.filter(|offset| *offset >= QEMU_TREE.max(tree)).map(|_| 0);
            let pins = Pins { device_tree: pins.device_tree.or(start), ..pins };
            with_kernel(ram, &taken, Ipa::new(*entry), None, initrd, tree, pins)
        }
        Kernel::Image { text_offset, image_size, .. } => {
            let base = ram.start().as_u64();
            let candidates = image_offsets(base, *text_offset, pins)?;
            at_first(ram, &candidates, *image_size, initrd, tree, pins)
        }
        Kernel::Raw { bytes } => {
            let offset = pins.kernel.unwrap_or(RAW_OFFSET);
            at_first(ram, &[offset], bytes.len() as u64, initrd, tree, pins)
        }
    }
}

/// Offsets in RAM at which an `Image` may lie, best first.
fn image_offsets(base: u64, text_offset: u64, pins: Pins) -> Result<Vec<u64>, Misfit> {
    if let Some(pin) = pins.kernel {
        let is_right =
            base.checked_add(pin).and_then(|at| at.checked_sub(text_offset)).is_some_and(|at| is_aligned(at, BLOCK_2M));
        return if is_right { Ok(vec![pin]) } else { Err(Misfit::PinnedImage(text_offset)) };
    }
    let lowest = align_up(base, BLOCK_2M).unwrap_or(base) - base + text_offset;
    let is_low = text_offset < LOW_TEXT_OFFSET;
    // A partition too small for QEMU's place still holds the kernel at the start of its RAM.
    Ok(if is_low { vec![lowest + BLOCK_2M, lowest] } else { vec![lowest] })
}

/// Tries a kernel of `size` bytes at each offset.
fn at_first(ram: Region<Ipa>, offsets: &[u64], size: u64, initrd: u64, tree: u64, pins: Pins) -> Result<Fit, Misfit> {
    let mut outcome = Err(Misfit::Kernel(size));
    for &offset in offsets {
        let region = ram.start().checked_add(offset).and_then(|start| Region::new(start, size));
        outcome = match region.filter(|region| ram.covers(region)) {
            Some(region) => with_kernel(ram, &[region], region.start(), Some(region.start()), initrd, tree, pins),
            None => Err(Misfit::Kernel(offset.saturating_add(size))),
        };
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// Places tree and initrd around the kernel at `taken`.
fn with_kernel(
    ram: Region<Ipa>,
    taken: &[Region<Ipa>],
    entry: Ipa,
    kernel: Option<Ipa>,
    initrd: u64,
    tree: u64,
    pins: Pins,
) -> Result<Fit, Misfit> {
    let kernel_end = taken.iter().map(Region::end).max().unwrap_or(ram.start());
    let needed = kernel_end.offset_from(ram.start()).unwrap_or(0);
    let together = Misfit::Together([initrd, tree].iter().fold(needed, |sum, size| {
        align_up(sum, PAGE_SIZE).unwrap_or(sum).saturating_add(align_up(*size, PAGE_SIZE).unwrap_or(*size))
    }));
    // Guests that map 1 GiB of RAM only must find both; a kernel that reaches higher knows what it does.
    let low_top = ram.start().checked_add(BLOCK_1G).filter(|top| *top < ram.end());
    let tops = low_top.into_iter().chain([ram.end()]);
    // Above the kernel, or for an ELF file that sits at the top of RAM, wherever there is room.
    let floors = [kernel_end, ram.start()];
    let floors = &floors[..if kernel.is_none() { 2 } else { 1 }];
    tops.flat_map(|top| floors.iter().map(move |floor| (*floor, top)))
        .find_map(|(floor, top)| {
            let mut taken = taken.to_vec();
            let device_tree = match pins.device_tree {
                Some(pin) => ram.start().checked_add(pin)?,
                None => highest(floor, top, tree, &taken)?,
            };
            taken.extend(Region::new(device_tree, tree));
            let initrd = match initrd {
                0 => None,
                size => Some(highest(floor, top, size, &taken)?),
            };
            Some(Fit { entry, kernel, initrd, device_tree })
        })
        .ok_or(together)
}

/// The highest page in `[floor, top)` from which `size` bytes meet nothing in `taken`.
fn highest(floor: Ipa, top: Ipa, size: u64, taken: &[Region<Ipa>]) -> Option<Ipa> {
    let mut ceiling = top;
    // Each round goes below one region, so there are no more rounds than regions.
    for _ in 0..=taken.len() {
        let start = Ipa::new(ceiling.as_u64().checked_sub(size)?).align_down(PAGE_SIZE);
        let region = Region::new(start, size).filter(|region| region.start() >= floor)?;
        match taken.iter().filter(|other| other.overlaps(&region)).map(Region::start).min() {
            Some(start) => ceiling = start,
            None => return Some(start),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Segment;

    const M: u64 = 1 << 20;
    const RAM: u64 = 0x4000_0000;

    fn ram(size: u64) -> Region<Ipa> {
        Region::new(Ipa::new(RAM), size).unwrap()
    }
    fn image(text_offset: u64, image_size: u64) -> Kernel {
        Kernel::Image { bytes: vec![0; 64].into(), text_offset, image_size }
    }
    fn raw(size: usize) -> Kernel {
        Kernel::Raw { bytes: vec![0; size].into() }
    }
    fn elf(address: u64, zeroed: u64) -> Kernel {
        let segments = vec![Segment { address, bytes: vec![0; 16].into(), zeroed }];
        Kernel::Elf { entry: address + 4, segments, is_relocatable: false }
    }

    #[test]
    fn an_image_lies_where_qemu_puts_it_with_the_tree_topmost() {
        let fit = fit(ram(512 * M), &image(0, 27 * M), 5000, 3000, Pins::default()).unwrap();
        assert_eq!(fit.kernel, Some(Ipa::new(RAM + 2 * M)));
        assert_eq!(fit.entry, Ipa::new(RAM + 2 * M));
        assert_eq!(fit.device_tree, Ipa::new(RAM + 512 * M - 4096));
        assert_eq!(fit.initrd, Some(Ipa::new(RAM + 512 * M - 4096 - 8192)));
    }

    #[test]
    fn text_offset_is_honoured() {
        let kernel = fit(ram(64 * M), &image(0x8_0000, M), 0, 3000, Pins::default()).unwrap().kernel;
        assert_eq!(kernel, Some(Ipa::new(RAM + 0x8_0000)));
    }

    #[test]
    fn an_image_that_needs_all_its_ram_starts_at_the_bottom() {
        let fit = fit(ram(8 * M), &image(0, 7 * M), 0, 3000, Pins::default()).unwrap();
        assert_eq!(fit.kernel, Some(Ipa::new(RAM)));
    }

    #[test]
    fn a_raw_binary_is_entered_at_its_first_byte() {
        let fit = fit(ram(8 * M), &raw(100), 0, 3000, Pins::default()).unwrap();
        assert_eq!((fit.entry, fit.kernel), (Ipa::new(RAM + 0x8_0000), Some(Ipa::new(RAM + 0x8_0000))));
    }

    #[test]
    fn an_elf_lies_at_its_addresses_and_is_entered_where_it_says() {
        let fit = fit(ram(8 * M), &elf(RAM, M), 0, 3000, Pins::default()).unwrap();
        assert_eq!((fit.entry, fit.kernel), (Ipa::new(RAM + 4), None));
    }

    #[test]
    fn an_elf_that_leaves_the_start_of_ram_has_the_tree_there() {
        let at = |address| fit(ram(8 * M), &elf(address, 0), 0, 3000, Pins::default()).unwrap().device_tree;
        assert_eq!(at(RAM + M), Ipa::new(RAM));
        assert_eq!(at(RAM + M - 8), Ipa::new(RAM + 8 * M - 4096), "QEMU's tree would not fit: it has none");
        let pins = Pins { device_tree: Some(0x1000), ..Pins::default() };
        assert_eq!(fit(ram(8 * M), &elf(RAM + M, 0), 0, 3000, pins).unwrap().device_tree, Ipa::new(RAM + 0x1000));
    }

    #[test]
    fn an_elf_at_the_top_of_ram_leaves_tree_and_initrd_below() {
        let fit = fit(ram(8 * M), &elf(RAM + 7 * M, M - 16), M, 3000, Pins::default()).unwrap();
        assert_eq!((fit.device_tree, fit.initrd), (Ipa::new(RAM), Some(Ipa::new(RAM + 6 * M))));
    }

    #[test]
    fn an_elf_that_ends_at_the_top_of_ram_leaves_the_tree_below() {
        let fit = fit(ram(8 * M), &elf(RAM + 0x8_0000, 7 * M + 0x8_0000 - 16), 0, 3000, Pins::default()).unwrap();
        assert_eq!(fit.device_tree, Ipa::new(RAM + 0x8_0000 - 4096));
    }

    #[test]
    fn an_elf_outside_ram_is_refused() {
        let outside = fit(ram(8 * M), &elf(0x8_0000, 0), 0, 3000, Pins::default());
        assert_eq!(outside, Err(Misfit::Segment(0x8_0000, 16)));
        assert!(fit(ram(8 * M), &elf(u64::MAX - 20, u64::MAX), 0, 3000, Pins::default()).is_err());
    }

    #[test]
    fn what_does_not_fit_says_how_much_it_needs() {
        assert_eq!(fit(ram(M), &raw(M as usize), 0, 3000, Pins::default()), Err(Misfit::Kernel(M + 0x8_0000)));
        let tight = fit(ram(M), &raw(M as usize / 2 - 4096), 4096, 3000, Pins::default());
        assert_eq!(tight, Err(Misfit::Together(M + 4096)));
    }

    #[test]
    fn pins_are_kept() {
        let pins = Pins { kernel: Some(0x20_0000), device_tree: Some(0) };
        let pinned = fit(ram(64 * M), &raw(M as usize), 0, 3000, pins).unwrap();
        assert_eq!((pinned.kernel, pinned.device_tree), (Some(Ipa::new(RAM + 0x20_0000)), Ipa::new(RAM)));
        assert_eq!(fit(ram(64 * M), &elf(RAM, 0), 0, 3000, pins), Err(Misfit::PinnedElf));
        let odd = Pins { kernel: Some(0x1000), ..pins };
        assert_eq!(fit(ram(64 * M), &image(0, M), 0, 3000, odd), Err(Misfit::PinnedImage(0)));
    }

    #[test]
    fn a_large_partition_keeps_tree_and_initrd_in_its_first_gibibyte() {
        let fit = fit(ram(4 << 30), &image(0, 27 * M), M, 3000, Pins::default()).unwrap();
        assert_eq!(fit.device_tree, Ipa::new(RAM + (1 << 30) - 4096));
    }
}
