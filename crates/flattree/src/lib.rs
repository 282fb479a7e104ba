//! Checks the firmware's flattened device tree before crate `fdt` reads it (Devicetree Specification v0.4, chapter 5).
//!
//! Crate `fdt` panics on a malformed tree and on FDT_NOP tokens between child nodes, and EL2 must not panic on what
//! firmware says. [`sanitize`] walks the blob once, refuses what would make `fdt` panic or recurse without end, and
//! drops FDT_NOP tokens in place. A tree without them is not written to.
//!
//! [`Memory`] is what the tree that `fdt` then reads tells of RAM.
//!
//! [`sanitize`] does not ask for any node or property: `fdt::Fdt::chosen`, `cpus`, `memory`, `Root::compatible`, `Root::model`
//! and `Compatible::first` still panic where theirs is absent or empty, and `raw_reg` does not end where both cell
//! counts are 0. Nor does it judge values, but for the few whose shortness `fdt` does not survive.
#![no_std]
#![forbid(unsafe_code)]

mod header;
mod malformed;
mod memory;
mod structure;

use header::Header;
pub use malformed::Malformed;
pub use memory::{Memory, first_range};
pub use structure::MAX_DEPTH;

/// Checks the tree that starts `blob`, drops its FDT_NOP tokens and returns its total size in bytes.
///
/// The tree may be shorter than `blob`; what lies behind it is neither read nor written. Nor is anything written when
/// the tree is refused, or has no FDT_NOP.
pub fn sanitize(blob: &mut [u8]) -> Result<usize, Malformed> {
    let header = Header::read(blob)?;
    let strings = header.strings(blob)?;
    let block = blob.get(header.structure.clone()).ok_or(Malformed::Size(header.total))?;
    let first_nop = structure::check(block, strings).map_err(|error| error.behind(header.structure.start))?;
    if let Some(first) = first_nop {
        let block = blob.get_mut(header.structure).ok_or(Malformed::Size(header.total))?;
        let size = structure::drop_nops(block, first);
        header::set_structure_size(blob, size);
    }
    Ok(header.total)
}
