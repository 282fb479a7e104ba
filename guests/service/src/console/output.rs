//! Output: EL2's rings and the virtio consoles' text, piece by piece, through the multiplexer to the UART.
//!
//! A virtio console waits where a PL011 would lose lines: its device asks for room here, and leaves the rest with its driver. It
//! does not wait for ever, and then its ring loses lines too.

use crate::hypercall::{self, Source};
use crate::timer;
use crate::uart::Uart;
use abi::plan::Plan;
use abi::service::TEXT;
use abi::{MAX_PARTITIONS, PartitionId};
use alloc::boxed::Box;
use console::{ALL_SOURCES, BURST, HOLD_MS, Mode, Mux, Ring, SOURCES};

/// Bytes taken from EL2's rings or from virtio consoles and not yet shown, for each source.
const RING: usize = 2048;
/// Bytes of a virtio console's ring in which [`Ring::end_line`] finds room whatever was shown.
const LINE_END: usize = 2;
/// Bytes that wait for the UART itself.
const TRANSMIT: usize = 4096;
const _: () = assert!(TRANSMIT >= 2 * BURST && RING >= TEXT, "a turn of the multiplexer always fits");

/// What a turn leaves.
pub(super) struct Turn {
    /// There is more to move now.
    pub has_more: bool,
    /// A line waits for another's to end, until this tick.
    pub deadline: Option<u64>,
}

pub(super) struct Output {
    mux: Box<Mux<ALL_SOURCES>>,
    rings: Box<[Ring<RING>; ALL_SOURCES]>,
    /// Whether EL2 may have more of a source than was read.
    may_have_more: [bool; SOURCES],
    partitions: usize,
    transmit: Box<heapless::Deque<u8, TRANSMIT>>,
}

impl Output {
    pub(super) fn new(plan: &Plan, mode: Mode) -> Self {
        let mut mux = Box::new(Mux::new(mode));
        for (number, partition) in (0..).zip(&plan.partitions) {
            mux.set_name(PartitionId::new(number), &partition.name);
        }
        Self {
            mux,
            rings: Box::new([const { Ring::new() }; ALL_SOURCES]),
            may_have_more: [false; SOURCES],
            partitions: plan.partitions.len(),
            transmit: Box::new(heapless::Deque::new()),
        }
    }

    /// Any source may have something new.
    pub(super) fn notice(&mut self) {
        // A source that does not exist is never read, so it must not be waited for.
        let exists = |index: usize| index < self.partitions || index == console::Source::EL2.index();
        self.may_have_more = core::array::from_fn(exists);
    }

    /// The keyboard is at this source.
    pub(super) fn focus(&mut self, source: console::Source) {
        let Self { mux, transmit, .. } = self;
        mux.focus(source, timer::now_ms(), &mut |bytes: &[u8]| queue(transmit, bytes));
    }

    /// The ring of a partition's virtio console.
    fn virtio(&self, partition: PartitionId) -> Option<&Ring<RING>> {
        console::Source::virtio_console(partition).and_then(|source| self.rings.get(source.index()))
    }

    /// How much text of a partition's virtio console there is room for. None behind lost lines until they were reported.
    pub(super) fn room(&self, partition: PartitionId) -> usize {
        let ring = self.virtio(partition).filter(|ring| !ring.has_dropped());
        ring.map_or(0, |ring| ring.room().saturating_sub(LINE_END))
    }

    /// Text of a partition's virtio console. Lines for which there is no room are lost.
    pub(super) fn show(&self, partition: PartitionId, text: &[u8]) {
        self.virtio(partition).into_iter().for_each(|ring| ring.write(text));
    }

    /// Another driver uses the virtio console: the line that the one before it left open ends.
    pub(super) fn end_line(&self, partition: PartitionId) {
        self.virtio(partition).into_iter().for_each(Ring::end_line);
    }

    /// One turn: the UART takes what waits, then the multiplexer fills the queue anew.
    pub(super) fn pump(&mut self, uart: &Uart) -> Turn {
        if self.drain(uart) {
            // The UART's interrupt says when.
            return Turn { has_more: false, deadline: None };
        }
        self.fill();
        let Self { mux, rings, transmit, .. } = self;
        // The queue is empty, so it has room for the budget.
        let mut sink = |bytes: &[u8]| queue(transmit, bytes);
        let is_waiting = mux.pump(&rings[..], timer::now_ms(), TRANSMIT, &mut sink);
        let has_written = !self.transmit.is_empty();
        if self.drain(uart) {
            return Turn { has_more: false, deadline: None };
        }
        // A line waits for another's to end or to get old: come back when it is.
        let deadline = is_waiting.then(|| timer::now() + timer::ticks(HOLD_MS));
        Turn { has_more: has_written || self.has_unread(), deadline }
    }

    /// Whether EL2 may have bytes for which there is room.
    fn has_unread(&self) -> bool {
        self.may_have_more.iter().zip(self.rings.iter()).any(|(more, ring)| *more && ring.is_empty())
    }

    /// Reads from EL2's rings into those that are empty. EL2's own lines last: so each line that it said before a
    /// partition's byte is here when the byte is.
    fn fill(&mut self) {
        for index in 0..self.partitions.min(MAX_PARTITIONS) {
            self.fill_one(index, Source::Partition(PartitionId::new(index as u8)));
        }
        self.fill_one(console::Source::EL2.index(), Source::El2);
    }

    fn fill_one(&mut self, index: usize, source: Source) {
        let (Some(ring), Some(more)) = (self.rings.get(index), self.may_have_more.get_mut(index)) else { return };
        if !*more || !ring.is_empty() || ring.has_dropped() {
            return;
        }
        for _ in 0..RING / TEXT {
            let Ok(output) = hypercall::console_read(source) else {
                *more = false;
                return;
            };
            ring.write(output.bytes());
            if output.dropped > 0 {
                // They are shown where they are missing: nothing is read behind them before.
                ring.lose(output.dropped);
                return;
            }
            if output.bytes().len() < TEXT {
                *more = false;
                return;
            }
        }
    }

    /// Gives the UART what it takes. Returns whether more waits, for its interrupt.
    fn drain(&mut self, uart: &Uart) -> bool {
        while let Some(byte) = self.transmit.front().copied() {
            if !uart.try_put(byte) {
                uart.enable_transmit(true);
                return true;
            }
            self.transmit.pop_front();
        }
        uart.enable_transmit(false);
        false
    }

    /// Shows everything that there is, also unfinished lines, waiting for the UART: the machine may be switched off.
    pub(super) fn finish(&mut self, uart: &Uart) {
        /// A partition's ring at EL2 holds no more than this many turns' worth of bytes.
        const TURNS: usize = 64;
        let mut put = |bytes: &[u8]| bytes.iter().for_each(|byte| while !uart.try_put(*byte) {});
        while let Some(byte) = self.transmit.pop_front() {
            put(&[byte]);
        }
        self.notice();
        for _ in 0..TURNS {
            self.fill();
            let is_waiting = self.mux.pump(&self.rings[..], timer::now_ms(), TRANSMIT, &mut put);
            if !is_waiting && !self.has_unread() {
                break;
            }
        }
        self.mux.flush(timer::now_ms(), &mut put);
    }
}

/// Bytes for the UART. What does not fit is lost; the multiplexer writes at most the room it was told.
fn queue(transmit: &mut heapless::Deque<u8, TRANSMIT>, bytes: &[u8]) {
    for byte in bytes {
        let _ = transmit.push_back(*byte);
    }
}
