//! Consoles beside the PL011: a guest's text on its way to the console, and what is typed on its way back.
//!
//! Text waits in the guest's own RAM until there is room for it, so nothing is dropped, and a guest that prints without end
//! slows down itself: the multiplexer takes turns by lines. A buffer is given back when all of its text was taken.

use super::keyboard::Keyboard;
use super::{Backend, Device, Devices};
use crate::console::Console;
use crate::kept::Typed;
use abi::PartitionId;
use virtio::{Broken, Chain, console};

/// Most buffers of a console per turn; their text is bounded by the room for it.
const CAP: usize = 16;

/// A console.
pub(super) struct Terminal {
    partition: PartitionId,
    pub(super) keyboard: Keyboard,
    /// Bytes of the parked buffer that were taken.
    taken: u32,
    /// The epoch of the driver whose text came last.
    epoch: u64,
}

impl Terminal {
    pub(super) fn new(partition: PartitionId, typed: &'static Typed) -> Self {
        Self { partition, keyboard: Keyboard::new(typed), taken: 0, epoch: 0 }
    }

    /// Whether any text can be taken.
    pub(super) fn has_room(&self, console: &Console) -> bool {
        console.room(self.partition) > 0
    }
}

impl Device {
    /// Hands over what was typed, and takes text, as much as there is room for. Whether there was anything to do.
    #[inline(never)]
    pub(super) fn converse(&mut self, console: &mut Console, chain: &mut Chain) -> Result<bool, Broken> {
        Ok(self.hand_over(chain)? | self.show(console, chain)?)
    }

    fn hand_over(&mut self, chain: &mut Chain) -> Result<bool, Broken> {
        let Self { backend: Backend::Console(terminal), receiver: Some(receiver), ram, .. } = self else {
            return Ok(false);
        };
        terminal.keyboard.hand_over(&mut receiver.link, ram, chain)
    }

    fn show(&mut self, console: &mut Console, chain: &mut Chain) -> Result<bool, Broken> {
        let Self { backend: Backend::Console(terminal), link, ram, .. } = self else { return Ok(false) };
        let mut has_taken = false;
        for _ in 0..CAP {
            let room = console.room(terminal.partition) as u32;
            if room == 0 {
                break;
            }
            if !link.is_parked() {
                terminal.taken = 0;
            }
            let Some(head) = link.next(ram, chain)? else { break };
            if terminal.epoch != link.epoch {
                terminal.epoch = link.epoch;
                console.end_line(terminal.partition);
            }
            let show = |text: &[u8]| console.show(terminal.partition, text);
            terminal.taken += console::text(ram, chain, terminal.taken, room, show)?;
            has_taken = true;
            if terminal.taken < chain.readable_bytes() {
                link.park(head);
            } else {
                link.give_back(ram, head, 0)?;
            }
        }
        Ok(has_taken)
    }
}

impl Devices {
    /// A byte that was typed for a partition's console. False: there is no room for it, until the driver has read something.
    /// Where no driver listens, the byte is lost, as it is where a partition does not run.
    pub fn type_byte(&mut self, partition: PartitionId, byte: u8) -> bool {
        let Self { all, chain, .. } = self;
        let is_it =
            |device: &&mut Device| matches!(&device.backend, Backend::Console(one) if one.partition == partition);
        let Some(device) = all.iter_mut().find(is_it) else { return true };
        let Device { backend: Backend::Console(terminal), receiver: Some(receiver), .. } = device else { return true };
        if !receiver.link.is_running() {
            return true;
        }
        let is_taken = terminal.keyboard.type_byte(byte);
        if let Err(broken) = device.hand_over(chain) {
            device.break_down(&broken);
        }
        is_taken
    }
}
