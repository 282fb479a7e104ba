//! [`Receiver`]: a network device's or a console's queue of empty buffers, which the service fills when it has something.

use super::link::Link;
use crate::hooks::Survivor;
use crate::memory::Ram;
use addr::Ipa;
use virtio::console;
use virtio::net::{self, Delivery, Outcome};
use virtio::{Broken, Chain, Outside};

/// The queue, and the buffers taken from it for frames that were not needed.
pub(super) struct Receiver {
    pub(super) link: Link,
    buffers: net::Receiver,
}

impl Receiver {
    pub(super) fn new(record: &'static Survivor) -> Self {
        Self { link: Link::new(net::RX, record), buffers: net::Receiver::new() }
    }

    /// Gives the guest a typed byte, in a buffer of its own. False: there is none, and the driver kicks when there is.
    pub(super) fn put(&mut self, ram: &Ram, chain: &mut Chain, byte: u8) -> Result<bool, Broken> {
        let head = match self.link.next(ram, chain)? {
            None if self.link.request_kicks(ram)? => self.link.next(ram, chain)?,
            head => head,
        };
        let Some(head) = head else { return Ok(false) };
        let written = console::put(ram, chain, &[byte])?;
        self.link.give_back(ram, head, written)?;
        Ok(true)
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

const _: () = assert!(console::RX == net::RX);
