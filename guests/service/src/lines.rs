//! The board's plain pins: what guests drive at their PL061 goes to the registers of pins, and levels go back.
//!
//! Only the newest state counts: a guest may change its outputs as fast as it likes, a look at them costs the same.
//! Edges at inputs come by the interrupt of the header's pins, and no more than one in [`PAUSE_MS`], so a pin that
//! something outside toggles wildly keeps nobody from anything. Levels are looked at besides whenever the service wakes.
//!
//! A new life finds pins as the one before left them: what guests drive is EL2's to remember, and no level moves when it is
//! written again.

use crate::arch::mmio::Registers;
use crate::events::Events;
use crate::pins::{change, registers};
use crate::{hypercall, say, timer};
use abi::plan::{Line, Pins};
use abi::{IntId, PartitionId};
use alloc::vec::Vec;
use bcm2711::line::{GPCLR, GPEDS, GPFEN, GPLEV, GPREN, GPSET, Levels, all, direction_select, driven, seen_by};
use bcm2711::pin::{GPFSEL, GPFSELS};
use core::fmt;

/// How long edges are not looked for behind one.
const PAUSE_MS: u64 = 1;

/// The plain pins, and what was last said about them. Words have a bit for each pin of the board.
pub struct Lines {
    gpio: Registers,
    lines: &'static [Line],
    intid: IntId,
    /// Who has any.
    owners: Vec<PartitionId>,
    all: u32,
    driven: Levels,
    /// The inputs whose level was shown to their owners, and those of them that were high.
    shown: (u32, u32),
    /// When edges are looked for again.
    rests_until: Option<u64>,
}

impl Lines {
    /// Those of the plan, if it has any: as guests drive them now.
    pub fn start(pins: &'static Pins, events: &Events) -> Option<Self> {
        let lines = pins.lines.as_slice();
        let mut owners: Vec<_> = lines.iter().map(|line| line.partition).collect();
        owners.dedup();
        let mut own = Self {
            gpio: registers(pins.registers),
            lines,
            intid: pins.intid,
            owners,
            all: all(lines),
            driven: driven(lines, |partition| events.driven(partition)),
            shown: (0, 0),
            rests_until: None,
        };
        if own.all == 0 {
            return None;
        }
        own.drive();
        own.show();
        let numbers = fmt::from_fn(|f| lines.iter().try_for_each(|line| write!(f, " {}", line.number)));
        say!("plain pins have their guests:{numbers}");
        Some(own)
    }

    /// The interrupt for edges.
    pub fn intid(&self) -> IntId {
        self.intid
    }

    /// EL2 has news: perhaps somebody drives something else.
    pub fn look(&mut self, events: &Events) {
        let driven = driven(self.lines, |partition| events.driven(partition));
        if driven != self.driven {
            self.driven = driven;
            self.drive();
            self.show();
        }
    }

    /// Sets the registers to what is driven: levels first, so that a pin that becomes an output has the right one at
    /// once.
    fn drive(&mut self) {
        let Levels { outputs, high } = self.driven;
        for (register, pins) in [(GPSET, high), (GPCLR, outputs & !high)] {
            if pins != 0 {
                self.gpio.write32(register, pins);
            }
        }
        change(self.gpio, GPFSEL, GPFSELS, |n, old| direction_select(n, old, self.lines, outputs));
        if self.rests_until.is_none() {
            self.see_edges(self.all & !outputs);
        }
    }

    /// Looks for edges of both kinds at these pins. The pins of the header have them for nobody else.
    fn see_edges(&self, pins: u32) {
        self.gpio.write32(GPREN, pins);
        self.gpio.write32(GPFEN, pins);
    }

    /// Takes away what asserts the interrupt; levels are looked at in the next [`Lines::breathe`].
    pub fn acknowledge(&mut self) {
        self.see_edges(0);
        self.gpio.write32(GPEDS, self.all);
        self.rests_until = Some(timer::now().saturating_add(timer::ticks(PAUSE_MS)));
    }

    /// When it has to be called again by itself.
    pub fn deadline(&self) -> Option<u64> {
        self.rests_until
    }

    /// Looks at the levels. An edge before this look is in them, one behind it comes as an interrupt.
    pub fn breathe(&mut self) {
        if self.rests_until.is_some_and(|end| timer::now() >= end) {
            self.rests_until = None;
            self.see_edges(self.all & !self.driven.outputs);
        }
        self.show();
    }

    /// Shows each owner the levels of its inputs, if they are not what it was shown.
    fn show(&mut self) {
        let inputs = self.all & !self.driven.outputs;
        let high = self.gpio.read32(GPLEV) & inputs;
        let (before, were_high) = core::mem::replace(&mut self.shown, (inputs, high));
        let changed = inputs & !before | inputs & (high ^ were_high);
        if changed == 0 {
            return;
        }
        for owner in &self.owners {
            let [changed, high] = [changed, high].map(|pins| seen_by(self.lines, *owner, pins));
            // It is refused where a partition has something else in its PL061's place: then nobody sees the pin.
            if changed != 0 && hypercall::set_lines(*owner, changed, high).is_err() {
                say!("warn: partition {} has no PL061 for its plain pins", owner.number());
            }
        }
    }
}
