//! The reference: one struct for each interrupt, no list registers, written from IHI 0048 chapter 3 and IHI 0069
//! chapter 4. Slow and obvious.

use crate::machine::{DISK, TIMER};
use abi::IntId;
use std::collections::BTreeMap;
use vgic::Version;

/// Which state of a forwarded interrupt keeps its physical interrupt active.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Held {
    #[default]
    No,
    ByPending,
    ByActive,
}

#[derive(Clone, Default, Debug)]
pub struct Irq {
    pub enabled: bool,
    pub group1: bool,
    pub edge: bool,
    pub latch: bool,
    pub line: bool,
    pub active: bool,
    pub priority: u8,
    pub held: Held,
    pub sources: u8,
    pub active_source: u8,
    pub target: Option<usize>,
}

impl Irq {
    pub fn pending(&self) -> bool {
        self.latch || self.sources != 0 || self.held == Held::ByPending || self.line && !self.edge
    }
}

pub struct Reference {
    version: Version,
    pub control: u32,
    /// By vCPU (0 for SPIs) and INTID.
    pub irqs: BTreeMap<(usize, IntId), Irq>,
    /// Priorities that each vCPU runs at.
    pub running: Vec<Vec<(IntId, u8)>>,
}

impl Reference {
    pub fn new(version: Version, vcpus: usize, universe: &[IntId]) -> Self {
        let mut irqs = BTreeMap::new();
        for intid in universe {
            for v in 0..if intid.is_private() { vcpus } else { 1 } {
                let on_zero = !intid.is_private() && version == Version::V3;
                let irq = Irq {
                    enabled: intid.is_sgi() && version == Version::V2,
                    edge: intid.is_sgi(),
                    target: if intid.is_private() { Some(v) } else { on_zero.then_some(0) },
                    ..Irq::default()
                };
                irqs.insert((v, *intid), irq);
            }
        }
        Self { version, control: 0, irqs, running: vec![Vec::new(); vcpus] }
    }

    pub fn irq(&mut self, v: usize, intid: IntId) -> &mut Irq {
        let v = if intid.is_private() { v } else { 0 };
        self.irqs.get_mut(&(v, intid)).expect("in the universe")
    }

    pub fn set_pending(&mut self, v: usize, intid: IntId) {
        if self.version == Version::V2 && intid.is_sgi() {
            return;
        }
        let irq = self.irq(v, intid);
        if irq.held != Held::ByPending {
            irq.latch = true;
        }
        // Active from hardware and pending again: from now on two unrelated things.
        if irq.held == Held::ByActive {
            irq.held = Held::No;
        }
    }
    pub fn clear_pending(&mut self, v: usize, intid: IntId) {
        if self.version == Version::V2 && intid.is_sgi() {
            return;
        }
        let irq = self.irq(v, intid);
        irq.latch = false;
        if irq.held == Held::ByPending {
            irq.held = Held::No;
        }
    }
    pub fn clear_active(&mut self, v: usize, intid: IntId) {
        let irq = self.irq(v, intid);
        irq.active = false;
        if irq.held == Held::ByActive {
            irq.held = Held::No;
        }
    }
    pub fn level(&mut self, intid: IntId, level: bool) {
        let irq = self.irq(0, intid);
        irq.latch |= irq.edge && level && !irq.line;
        irq.line = level;
    }
    pub fn sgi(&mut self, from: usize, to: usize, n: u32) {
        let version = self.version;
        let irq = self.irq(to, IntId::sgi(n));
        match version {
            Version::V2 => irq.sources |= 1 << from,
            Version::V3 => irq.latch = true,
        }
    }

    /// What `v` may acknowledge now: everything of the best priority.
    pub fn offered(&self, v: usize) -> Vec<IntId> {
        let running = self.running[v].last().map_or(0x100, |(_, priority)| u16::from(*priority));
        let mut best = running;
        let mut offered = Vec::new();
        for ((_, intid), irq) in &self.irqs {
            let group = self.control >> u32::from(irq.group1) & 1 != 0;
            let urgent = u16::from(irq.priority) < running && u16::from(irq.priority) <= best;
            if irq.target == Some(v) && irq.enabled && group && irq.pending() && !irq.active && urgent {
                if u16::from(irq.priority) < best {
                    offered.clear();
                }
                best = u16::from(irq.priority);
                offered.push(*intid);
            }
        }
        offered
    }

    pub fn acknowledge(&mut self, v: usize, intid: IntId, source: u8) {
        let version = self.version;
        let irq = self.irq(v, intid);
        irq.latch = false;
        irq.active = true;
        if irq.held == Held::ByPending {
            irq.held = Held::ByActive;
        }
        if version == Version::V2 && intid.is_sgi() {
            assert!(irq.sources >> source & 1 != 0, "{intid} was not sent by vCPU {source}");
            irq.sources &= !(1 << source);
            irq.active_source = source;
        }
        let priority = irq.priority;
        self.running[v].push((intid, priority));
    }
    pub fn end(&mut self, v: usize) {
        if let Some((intid, _)) = self.running[v].pop() {
            self.clear_active(v, intid);
        }
    }

    /// Whether the physical interrupt of a forwarded one must be active.
    pub fn physically_active(&mut self, v: usize, intid: IntId) -> bool {
        assert!(intid == TIMER || intid == DISK);
        self.irq(v, intid).held != Held::No
    }
}
