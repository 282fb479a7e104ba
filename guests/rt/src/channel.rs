//! This guest's ends of channels: memory that it shares with another partition, and the doorbell there ([`abi::channel`]).
//!
//! They are found in the device tree, by the names of the system file. The rings are crate `channel`'s.

use crate::IntId;
use crate::arch::insn;
use crate::board::board;
use ::channel::Side;
pub use ::channel::{Continuity, End};
pub use abi::channel::ENDS;
use abi::channel::{COMPATIBLE, MAX_CHANNELS, MAX_SIZE, RING_DOORBELL};
use abi::machine::channel_ipa;
use core::sync::atomic::AtomicU64;
use fdt::Fdt;
use fdt::node::FdtNode;

/// An end of a channel.
#[derive(Debug)]
pub struct Channel {
    /// Its rings.
    pub end: End<'static>,
    /// Its number, by which it is rung.
    pub number: u64,
    /// The interrupt by which the other end rings; an edge.
    pub intid: IntId,
}

/// The channel of this name, if this guest has an end of it.
pub fn find(name: &str) -> Option<Channel> {
    // SAFETY: `board` found a device tree there, and nobody writes to it.
    let tree = unsafe { Fdt::from_ptr(board().device_tree? as *const u8) }.ok()?;
    let is_it = |node: &FdtNode| {
        let has = |property: &str, text: &str| node.property(property).and_then(|p| p.as_str()) == Some(text);
        has("compatible", COMPATIBLE) && has("label", name)
    };
    let node = tree.find_node("/")?.children().find(is_it)?;
    let number = |property: &str| node.property(property)?.as_usize();
    let region = node.reg()?.next()?;
    let side = Side::from_number(number("bulkhead,end")? as u32)?;
    let place = number("bulkhead,channel").filter(|place| *place < MAX_CHANNELS)?;
    let (start, size) = (region.starting_address as u64, region.size? as u64);
    if start != channel_ipa(place).as_u64() || size > MAX_SIZE {
        return None;
    }
    let words = size as usize / size_of::<AtomicU64>();
    // SAFETY: the guest machine has the channel's memory there (abi::machine::CHANNELS), Normal memory in this guest's tables, and
    // nothing else; atomics only, any content is a valid value.
    let memory = unsafe { core::slice::from_raw_parts(start as *const AtomicU64, words) };
    Some(Channel { end: End::new(memory, side)?, number: place as u64, intid: abi::machine::channel_intid(place) })
}

impl Channel {
    /// Rings the doorbell of the other end. What was written before is there when it looks.
    pub fn ring_doorbell(&self) {
        insn::hvc(u64::from(RING_DOORBELL), [self.number, 0, 0]);
    }
}
