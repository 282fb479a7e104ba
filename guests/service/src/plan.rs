//! Reads the [`Plan`] that the host tool made. It is believed as far as the image itself is; what would make the service
//! touch memory that is not its own is looked at all the same, since a mistake there would be hard to find later.

use crate::arch::entry::image;
use abi::plan::{HEADER, MAGIC, MAX, Plan};
use addr::{PAGE_SIZE, Pa, Region};

/// What is wrong with a plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreadable {
    /// It does not begin with [`MAGIC`].
    Magic,
    /// It says that it has this many bytes.
    Length(u32),
    /// It does not decode.
    Encoding,
    /// The image does not lie in what it calls the service's RAM.
    Ram(Region<Pa>),
}

/// Decodes the plan at `address`.
///
/// # Safety
/// [`MAX`] bytes at `address` are mapped and not written while this runs.
pub unsafe fn read(address: u64) -> Result<Plan, Unreadable> {
    // SAFETY: the caller's promise.
    let payload = unsafe { core::slice::from_raw_parts(address as *const u8, MAX) };
    let (header, rest) = payload.split_at(HEADER);
    if header.get(..MAGIC.len()) != Some(&MAGIC) {
        return Err(Unreadable::Magic);
    }
    let length = header.get(8..12).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
    let encoded = rest.get(..length as usize).ok_or(Unreadable::Length(length))?;
    let plan: Plan = postcard::from_bytes(encoded).map_err(|_| Unreadable::Encoding)?;
    let image = image();
    let is_inside = image.text >= plan.ram.start().as_u64() && image.end <= plan.ram.end().as_u64();
    if !plan.ram.is_sound() || !plan.ram.is_aligned(PAGE_SIZE) || !is_inside {
        return Err(Unreadable::Ram(plan.ram));
    }
    Ok(plan)
}
