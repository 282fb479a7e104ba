//! [`Receiver`]: a network device's or a console's queue of empty buffers, which the service fills when it has something: with
//! frames here, with what was typed in keyboard.rs.

use super::link::Link;
use crate::hooks::Survivor;
use crate::memory::Ram;
use addr::Ipa;
use virtio::net::{self, Delivery, Outcome};
use virtio::{Broken, Chain, Outside};

/// The queue, and the buffers taken from it that no frame needed.
pub(super) struct Receiver {
    pub(super) link: Link,
    buffers: net::Receiver,
}

impl Receiver {
    pub(super) fn new(record: &'static Survivor) -> Self {
        Self { link: Link::new(net::RX, record), buffers: net::Receiver::new() }
    }

    /// Gives the guest a frame. Whether it has it; if not, the frame is lost.
    pub(super) fn deliver(
        &mut self,
        ram: &Ram,
        chain: &mut Chain,
        delivery: Delivery,
        copy: impl FnMut(u32, Ipa, u32) -> Result<(), Outside>,
    ) -> Result<bool, Broken> {
        if let Some(heads) = self.link.take_again() {
            self.buffers = net::Receiver::resumed(heads);
        }
        self.link.suppress_kicks(ram)?;
        let Some(queue) = self.link.queue() else { return Ok(false) };
        let outcome = self.buffers.deliver(queue, ram, chain, delivery, copy)?;
        let is_there = outcome == Outcome::Delivered;
        if is_there {
            self.link.note_given_back();
        }
        Ok(is_there)
    }

    /// The driver has reset the device or broken it.
    pub(super) fn forget(&mut self) {
        self.buffers = net::Receiver::new();
    }
}

const _: () = assert!(virtio::console::RX == net::RX);
