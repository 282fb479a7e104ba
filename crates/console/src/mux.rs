//! [`Mux`]: decides which source writes next and where lines begin and end.

use crate::filter::Piece;
use crate::line::Stream;
use crate::output::Output;
use crate::source::{Name, VIRTIO};
use crate::{Ring, SOURCES, Source};
use abi::{MAX_PARTITIONS, PartitionId};

/// How long in milliseconds a source with an open line keeps the others waiting.
pub const HOLD_MS: u64 = 100;

/// How long at most a control sequence or character that does not end keeps the others waiting, in milliseconds.
const PATIENCE_MS: u64 = 10 * HOLD_MS;

/// Bytes that a source may write in its turn when it ends no line.
const TURN: usize = 256;
/// Turns in one [`Mux::pump`]: looking who comes next costs more than a short line.
const TURNS: usize = 64;

/// EL2's own name.
const EL2_NAME: &[u8] = b"bulkhead";
/// Between name and text.
const TAG_END: &[u8] = b"| ";

/// How the sources share the UART.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The focused source passes raw; the others' complete lines appear between, tagged.
    Interactive,
    /// Every line is tagged.
    Tagged,
}

/// Joins `S` sources into one stream of bytes: [`SOURCES`], or [`ALL_SOURCES`](crate::ALL_SOURCES).
#[derive(Clone, Debug)]
pub struct Mux<const S: usize = SOURCES> {
    mode: Mode,
    focus: Option<Source>,
    names: [Name; MAX_PARTITIONS],
    streams: [Stream; S],
    /// Whose line the cursor is in.
    open: Option<Open>,
    /// The last raw line ended without carriage return: the cursor may be anywhere in its line.
    needs_return: bool,
    /// The last raw byte was a carriage return.
    after_return: bool,
    /// Whose turn comes first in the next [`Mux::pump`].
    next: usize,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    by: Source,
    since_ms: u64,
    last_ms: u64,
}

/// How a source's turn ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It has nothing more to say.
    Idle,
    /// It wrote.
    Wrote,
    /// It waits for another's open line, or for room in the budget.
    Waits,
}

impl<const S: usize> Mux<S> {
    /// No names, no focus, nothing written.
    pub const fn new(mode: Mode) -> Self {
        Self {
            mode,
            focus: None,
            names: [Name::EMPTY; MAX_PARTITIONS],
            streams: [const { Stream::new() }; S],
            open: None,
            needs_return: false,
            after_return: false,
            next: 0,
        }
    }
    /// Changes the mode: the system file is read after the first lines were written.
    pub fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
    }
    /// Names a partition; the validator has checked the name.
    pub fn set_name(&mut self, partition: PartitionId, name: &str) {
        if let Some(place) = self.names.get_mut(partition.index()) {
            *place = Name::new(name);
        }
    }
    /// The source with the keyboard.
    pub fn focused(&self) -> Option<Source> {
        self.focus
    }

    /// Moves the keyboard to a source, which the caller knows to exist; one that is none of the `S` is refused. What it left
    /// unfinished (its prompt) is shown at once.
    pub fn focus(&mut self, source: Source, now_ms: u64, sink: &mut impl FnMut(&[u8])) {
        if source.index() >= S || self.focus == Some(source) {
            return;
        }
        self.focus = Some(source);
        if self.mode == Mode::Interactive {
            let mut output = Output::new(sink, usize::MAX);
            self.end_line(&mut output);
            self.show_unfinished(source, now_ms, &mut output);
        }
    }

    /// Shows what waits of a source that just got the focus, and leaves the cursor behind it.
    fn show_unfinished<F: FnMut(&[u8])>(&mut self, source: Source, now_ms: u64, output: &mut Output<'_, F>) {
        let stream = &mut self.streams[source.index()];
        if stream.is_complete() {
            output.put(stream.text());
            output.put(b"\r\n");
            stream.clear();
        }
        if stream.has_text() {
            output.put(stream.text());
            stream.clear();
            self.open_line(source, now_ms);
        }
    }

    /// Takes from the rings, whose places are [`Source::index`], and writes to the sink at most `budget` bytes, which
    /// is at least [`crate::BURST`]. Sources take turns by lines, EL2 before everybody else.
    ///
    /// Returns whether something waits: for room, for a further call after so many lines, or for another's line to end
    /// or to get [`HOLD_MS`] old. Then the caller comes back when there is room, and within [`HOLD_MS`].
    pub fn pump<const N: usize>(
        &mut self,
        rings: &[Ring<N>],
        now_ms: u64,
        budget: usize,
        sink: &mut impl FnMut(&[u8]),
    ) -> bool {
        let mut output = Output::new(sink, budget);
        let mut turns = 0;
        loop {
            let (mut wrote, mut waits) = (false, false);
            let first = self.next;
            for place in 0..S {
                let index = (first + place) % S;
                let (Some(source), Some(ring)) = (Source::at(index, S), rings.get(index)) else { continue };
                // EL2's lines first: what it says of a partition was before what that partition says next.
                while let Some(own) = rings.get(Source::EL2.index())
                    && output.has_room()
                    && self.turn(Source::EL2, own, now_ms, &mut output) == Turn::Wrote
                {
                    wrote = true;
                    turns += 1;
                }
                match self.turn(source, ring, now_ms, &mut output) {
                    Turn::Idle => {}
                    Turn::Wrote => {
                        wrote = true;
                        turns += 1;
                    }
                    Turn::Waits => waits = true,
                }
                if !output.has_room() || turns >= TURNS {
                    self.next = (index + 1) % S;
                    return true;
                }
            }
            if !wrote {
                return waits;
            }
        }
    }

    /// Writes at once, whoever's line is open: for EL2's own messages, not for guests.
    pub fn write(&mut self, source: Source, bytes: &[u8], now_ms: u64, sink: &mut impl FnMut(&[u8])) {
        let mut output = Output::new(sink, usize::MAX);
        for &byte in bytes {
            self.show_tagged(source, byte, now_ms, &mut output);
        }
    }

    /// Shows the unfinished lines of all sources: before the board is switched off.
    pub fn flush(&mut self, now_ms: u64, sink: &mut impl FnMut(&[u8])) {
        let mut output = Output::new(sink, usize::MAX);
        for source in (0..S).filter_map(|index| Source::at(index, S)) {
            self.show_line(source, now_ms, &mut output);
        }
        self.end_line(&mut output);
    }

    /// One line of one source, or what there is of it.
    fn turn<const N: usize, F: FnMut(&[u8])>(
        &mut self,
        source: Source,
        ring: &Ring<N>,
        now_ms: u64,
        output: &mut Output<'_, F>,
    ) -> Turn {
        let waits_for_end = self.mode == Mode::Interactive && self.focus != Some(source);
        if waits_for_end {
            self.collect_line(source, ring, output);
            if !self.streams[source.index()].is_complete() && !must_report(ring) {
                return Turn::Idle;
            }
        } else if ring.is_empty() && !ring.has_dropped() {
            return Turn::Idle;
        }
        if !output.has_room() || !self.may_write(source, now_ms) {
            return Turn::Waits;
        }
        if waits_for_end {
            self.show_line(source, now_ms, output);
        } else {
            self.show_turn(source, ring, now_ms, output);
        }
        if must_report(ring) {
            self.report_dropped(source, ring.take_dropped(), now_ms, output);
        }
        Turn::Wrote
    }

    /// Whether a source may write without breaking another's young line, control sequence or character.
    fn may_write(&self, source: Source, now_ms: u64) -> bool {
        let Some(open) = self.open else { return true };
        if open.by == source {
            return true;
        }
        let is_whole = !self.is_raw(open.by) || self.streams[open.by.index()].filter.is_between_characters();
        let age = |since: u64| now_ms.saturating_sub(since);
        // A guest that never ends its control sequence must not silence the others for ever.
        (is_whole && age(open.since_ms) >= HOLD_MS) || age(open.last_ms) >= HOLD_MS || age(open.since_ms) >= PATIENCE_MS
    }

    fn is_raw(&self, source: Source) -> bool {
        self.mode == Mode::Interactive && self.focus == Some(source)
    }

    /// Takes bytes until the line is complete or the ring empty.
    fn collect_line<const N: usize, F: FnMut(&[u8])>(
        &mut self,
        source: Source,
        ring: &Ring<N>,
        output: &mut Output<'_, F>,
    ) {
        let stream = &mut self.streams[source.index()];
        while !stream.is_complete() {
            let Some(byte) = output.take(ring) else { return };
            stream.buffer(byte);
        }
    }

    /// Passes bytes until a line ends, the turn is over, or the ring is empty.
    fn show_turn<const N: usize, F: FnMut(&[u8])>(
        &mut self,
        source: Source,
        ring: &Ring<N>,
        now_ms: u64,
        output: &mut Output<'_, F>,
    ) {
        let is_raw = self.is_raw(source);
        for _ in 0..TURN {
            let Some(byte) = output.take(ring) else { return };
            if is_raw {
                self.show_raw(source, byte, now_ms, output);
            } else {
                self.show_tagged(source, byte, now_ms, output);
            }
            if byte == b'\n' {
                return;
            }
        }
    }

    fn show_raw<F: FnMut(&[u8])>(&mut self, source: Source, byte: u8, now_ms: u64, output: &mut Output<'_, F>) {
        self.streams[source.index()].filter.push(byte);
        if self.open.is_some_and(|open| open.by != source) {
            self.end_line(output);
        }
        output.put(&[byte]);
        match byte {
            b'\n' => {
                self.open = None;
                self.needs_return = !self.after_return;
            }
            b'\r' => self.needs_return = false,
            _ => self.open_line(source, now_ms),
        }
        self.after_return = byte == b'\r';
    }

    fn show_tagged<F: FnMut(&[u8])>(&mut self, source: Source, byte: u8, now_ms: u64, output: &mut Output<'_, F>) {
        let stream = &mut self.streams[source.index()];
        match stream.filter.push(byte) {
            Piece::Nothing => {}
            Piece::Return => stream.returned = true,
            Piece::LineEnd => {
                stream.returned = false;
                self.begin_line(source, now_ms, output);
                self.end_line(output);
            }
            Piece::Text(character) => {
                if core::mem::take(&mut stream.returned) && self.is_open(source) {
                    self.end_line(output);
                }
                self.begin_line(source, now_ms, output);
                output.put(character.as_bytes());
            }
        }
    }

    /// Shows a source's waiting line, complete or not, as a line of its own.
    fn show_line<F: FnMut(&[u8])>(&mut self, source: Source, now_ms: u64, output: &mut Output<'_, F>) {
        let stream = &self.streams[source.index()];
        if !stream.is_complete() && !stream.has_text() {
            return;
        }
        self.begin_line(source, now_ms, output);
        output.put(self.streams[source.index()].text());
        self.end_line(output);
        self.streams[source.index()].clear();
    }

    fn report_dropped<F: FnMut(&[u8])>(&mut self, source: Source, lines: u32, now_ms: u64, output: &mut Output<'_, F>) {
        if lines == 0 {
            return;
        }
        self.show_line(source, now_ms, output);
        self.streams[source.index()].cut();
        self.end_line(output);
        self.begin_line(source, now_ms, output);
        output.put(b"[");
        output.put_number(lines);
        output.put(if lines == 1 { b" line dropped]" } else { b" lines dropped]" });
        self.end_line(output);
    }

    fn is_open(&self, source: Source) -> bool {
        self.open.is_some_and(|open| open.by == source)
    }

    fn open_line(&mut self, source: Source, now_ms: u64) {
        match &mut self.open {
            Some(open) if open.by == source => open.last_ms = now_ms,
            _ => self.open = Some(Open { by: source, since_ms: now_ms, last_ms: now_ms }),
        }
    }

    /// Makes the cursor stand behind this source's tag, or in its open line.
    fn begin_line<F: FnMut(&[u8])>(&mut self, source: Source, now_ms: u64, output: &mut Output<'_, F>) {
        if !self.is_open(source) {
            self.end_line(output);
            if core::mem::take(&mut self.needs_return) {
                output.put(b"\r");
            }
            if !self.is_raw(source) {
                self.put_tag(source, output);
            }
        }
        self.open_line(source, now_ms);
    }

    fn put_tag<F: FnMut(&[u8])>(&self, source: Source, output: &mut Output<'_, F>) {
        // For EL2, which has no other sources, none of this is code.
        let virtio = if S > SOURCES { source.index().checked_sub(SOURCES) } else { None };
        output.put(self.names.get(virtio.unwrap_or(source.index())).map_or(EL2_NAME, Name::as_bytes));
        if virtio.is_some() {
            output.put(VIRTIO);
        }
        output.put(TAG_END);
    }

    fn end_line<F: FnMut(&[u8])>(&mut self, output: &mut Output<'_, F>) {
        if let Some(open) = self.open.take() {
            if self.is_raw(open.by) && !self.streams[open.by.index()].filter.is_between_characters() {
                // CAN ends a control sequence for the terminal, or the foreign line would be part of it.
                output.put(b"\x18");
            }
            output.put(b"\r\n");
            self.needs_return = false;
        }
        self.after_return = false;
    }
}

/// Whether lines were dropped behind all that was taken.
fn must_report<const N: usize>(ring: &Ring<N>) -> bool {
    ring.has_dropped() && ring.is_empty()
}
