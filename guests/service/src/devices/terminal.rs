//! Consoles beside the PL011: a guest's text on its way to the console, and what is typed on its way back.
//!
//! Text waits in the guest's own RAM until there is room for it, and a guest that prints without end slows down itself: the
//! multiplexer takes turns by lines. A buffer is given back when all of its text was taken.
//!
//! Linux's driver waits for that with interrupts masked. So where there is no room at all for a second, since nobody reads the
//! UART, text is taken and lost as at a PL011, whole lines that are counted, until there is room again.

use super::keyboard::Keyboard;
use super::{Backend, Device, Devices};
use crate::console::Console;
use crate::kept::Typed;
use crate::timer::{self, Patience};
use abi::PartitionId;
use virtio::{Broken, Chain, console};

/// Most buffers of a console per turn; their text is bounded by the room for it.
const CAP: usize = 16;
/// Most bytes per turn that are lost.
const MOST_LOST: u32 = 2048;

/// A console.
pub(super) struct Terminal {
    partition: PartitionId,
    pub(super) keyboard: Keyboard,
    /// Bytes of the parked buffer that were taken.
    taken: u32,
    /// The epoch of the driver whose text came last.
    epoch: u64,
    /// Until text is lost, since text came and there was no room; `None`: there is room.
    patience: Option<Patience>,
    /// Text waits for that or for room.
    is_waiting: bool,
}

impl Terminal {
    pub(super) fn new(partition: PartitionId, typed: &'static Typed) -> Self {
        Self { partition, keyboard: Keyboard::new(typed), taken: 0, epoch: 0, patience: None, is_waiting: false }
    }

    /// Whether text that has come would be taken, or at least be waited for until the deadline: then it is worth a turn.
    pub(super) fn would_take(&self, console: &Console) -> bool {
        !self.is_waiting || console.room(self.partition) > 0
    }

    /// When to come back although nothing new may have come.
    pub(super) fn deadline(&self) -> Option<u64> {
        let patience = self.patience.filter(|_| self.is_waiting).map(|patience| patience.next());
        [patience, self.keyboard.deadline()].into_iter().flatten().min()
    }

    /// Its driver uses it no more.
    pub(super) fn forget(&mut self) {
        self.keyboard.forget();
        self.is_waiting = false;
    }

    /// How much text is lost in this turn, for want of room. `None`: it waits.
    fn lost(&mut self, console: &Console, has_text: impl FnOnce() -> bool) -> Option<u32> {
        self.is_waiting = false;
        if console.room(self.partition) > 0 {
            self.patience = None;
            return Some(0);
        }
        if !has_text() {
            return None;
        }
        let now = timer::now();
        self.is_waiting = !self.patience.get_or_insert_with(|| Patience::begin(now)).spend(now);
        (!self.is_waiting).then_some(MOST_LOST)
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
        let Some(mut lost) = terminal.lost(console, || link.has_work(ram)) else { return Ok(false) };
        let loses = lost > 0;
        let mut has_taken = false;
        for _ in 0..CAP {
            let room = if loses { lost } else { console.room(terminal.partition) as u32 };
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
            // Into a ring without room: it counts the lines.
            let count = console::text(ram, chain, terminal.taken, room, show)?;
            terminal.taken += count;
            lost = lost.saturating_sub(count);
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
    /// Whether a byte that is typed for a partition's console is taken; if not, not until the driver has read something. Where
    /// no driver listens, it is taken and lost, as it is where a partition does not run.
    pub fn has_room(&mut self, partition: PartitionId) -> bool {
        self.listening(partition).is_none_or(|(_, terminal)| terminal.keyboard.has_room())
    }

    /// A byte that was typed for a partition's console. False: there was no room for it.
    pub fn type_byte(&mut self, partition: PartitionId, byte: u8) -> bool {
        let Some((place, terminal)) = self.listening(partition) else { return true };
        let is_taken = terminal.keyboard.type_byte(byte);
        let Self { all, chain, .. } = self;
        let Some(device) = all.get_mut(place) else { return is_taken };
        if let Err(broken) = device.hand_over(chain) {
            device.break_down(&broken);
        }
        is_taken
    }

    /// A partition's console and its device's place, while a driver listens there.
    fn listening(&mut self, partition: PartitionId) -> Option<(usize, &mut Terminal)> {
        self.all.iter_mut().enumerate().find_map(|(place, device)| match &mut device.backend {
            Backend::Console(terminal) if terminal.partition == partition => {
                let is_running = device.receiver.as_ref().is_some_and(|receiver| receiver.link.is_running());
                is_running.then_some((place, terminal))
            }
            _ => None,
        })
    }
}
