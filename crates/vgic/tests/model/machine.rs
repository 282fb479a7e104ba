//! EL2's edge and the hardware around the model: list registers as words, CPU interfaces with priorities, physical
//! interrupts, the two fast paths. After each step it checks what the hardware forbids.

use abi::{IntId, VcpuId};
use std::collections::{BTreeMap, BTreeSet};
use vgic::{Bank, Effects, ListRegister, ListRegisters, Maintenance, State, Version, Vgic};

pub const TIMER: IntId = IntId::ppi(11);
pub const UART: IntId = IntId::spi(1);
/// Forwarded: virtual 50 is physical 170.
pub const DISK: IntId = IntId::new(50);
pub const DISK_PHYSICAL: IntId = IntId::new(170);

pub fn vcpu(n: usize) -> VcpuId {
    VcpuId::new(n as u16)
}

/// Notes what the model asked for. Physical interrupts are named by vCPU and INTID; SPIs by vCPU 0.
#[derive(Default)]
pub struct Edge {
    pub templates: BTreeMap<(usize, u32), ListRegister>,
    pub enabled: BTreeSet<(usize, u32)>,
    pub active: BTreeSet<(usize, u32)>,
    pub routes: BTreeMap<u32, usize>,
    pub kicks: BTreeSet<usize>,
}

pub fn physical_key(vcpu: usize, physical: IntId) -> (usize, u32) {
    (if physical.is_private() { vcpu } else { 0 }, physical.number())
}

impl Effects for Edge {
    fn template(&mut self, vcpu: VcpuId, intid: IntId, register: Option<ListRegister>) {
        let key = (vcpu.index(), intid.number());
        match register {
            Some(register) => self.templates.insert(key, register),
            None => self.templates.remove(&key),
        };
    }
    fn physical_enable(&mut self, vcpu: VcpuId, physical: IntId, enabled: bool) {
        let key = physical_key(vcpu.index(), physical);
        if enabled {
            self.enabled.insert(key)
        } else {
            self.enabled.remove(&key)
        };
    }
    fn physical_deactivate(&mut self, vcpu: VcpuId, physical: IntId) {
        assert!(self.active.remove(&physical_key(vcpu.index(), physical)), "{physical} of {vcpu} was not active");
    }
    fn physical_route(&mut self, physical: IntId, vcpu: VcpuId) {
        self.routes.insert(physical.number(), vcpu.index());
    }
    fn kick(&mut self, vcpu: VcpuId) {
        self.kicks.insert(vcpu.index());
    }
}

/// One core: its list registers, and what its guest has acknowledged and not ended, innermost last.
pub struct Core {
    pub words: Vec<u64>,
    pub maintenance: Maintenance,
    pub eoi_count: u8,
    pub running: Vec<(IntId, u8, u8)>,
    ended_with_maintenance: bool,
    pub exits: usize,
}

pub struct Machine {
    pub version: Version,
    pub vgic: Vgic<'static>,
    pub edge: Edge,
    pub cores: Vec<Core>,
    /// Kicked cores synchronize at once; otherwise when the test says so.
    pub prompt: bool,
}

impl Machine {
    /// A machine after reset: timer and disk are forwarded.
    pub fn new(version: Version, vcpus: usize, list_registers: usize) -> Self {
        let banks = Vec::leak((0..vcpus).map(|_| Bank::default()).collect());
        let mut vgic = Vgic::new(version, banks);
        vgic.forward_private(TIMER);
        vgic.forward_spi(DISK, DISK_PHYSICAL);
        let mut edge = Edge::default();
        vgic.reset(&mut edge);
        let core = |_| Core {
            words: vec![0; list_registers],
            maintenance: Maintenance::default(),
            eoi_count: 0,
            running: Vec::new(),
            ended_with_maintenance: false,
            exits: 0,
        };
        Self { version, vgic, edge, cores: (0..vcpus).map(core).collect(), prompt: true }
    }

    /// One after reset with both groups on, and these interrupts enabled at priority 0xa0 and sent to vCPU 0.
    pub fn ready(version: Version, vcpus: usize, list_registers: usize, intids: &[IntId]) -> Self {
        let mut machine = Self::new(version, vcpus, list_registers);
        machine.write(0, 0, 4, 3);
        for intid in intids {
            for v in 0..if intid.is_private() { vcpus } else { 1 } {
                machine.set_priority(v, *intid, 0xa0);
                machine.set_bit(v, 0x100, *intid);
            }
            if !intid.is_private() && version == Version::V2 {
                machine.write(0, 0x800 + u64::from(intid.number()), 1, 1);
            }
        }
        machine
    }

    fn decode(&self, word: u64) -> ListRegister {
        match self.version {
            Version::V2 => ListRegister::from_v2(word as u32),
            Version::V3 => ListRegister::from_v3(word),
        }
    }
    fn encode(&self, register: ListRegister) -> u64 {
        match self.version {
            Version::V2 => u64::from(register.to_v2()),
            Version::V3 => register.to_v3(),
        }
    }
    pub fn registers(&self, v: usize) -> Vec<ListRegister> {
        let all = self.cores[v].words.iter().map(|word| self.decode(*word));
        all.filter(|register| register.state != State::Invalid).collect()
    }
    pub fn find(&self, v: usize, intid: IntId) -> Option<ListRegister> {
        self.registers(v).into_iter().find(|register| register.intid == intid)
    }

    /// A slow path on core `v`: sync, operation, refill.
    pub fn slow<R>(&mut self, v: usize, operation: impl FnOnce(&mut Vgic<'static>, &mut Edge) -> R) -> R {
        let mut registers = ListRegisters::new(self.cores[v].words.len());
        for (i, word) in self.cores[v].words.iter().enumerate() {
            registers.set(i, self.decode(*word));
        }
        let count = std::mem::take(&mut self.cores[v].eoi_count);
        self.cores[v].exits += 1;
        self.vgic.sync(vcpu(v), &registers, count, &mut self.edge);
        let result = operation(&mut self.vgic, &mut self.edge);
        self.cores[v].maintenance = self.vgic.refill(vcpu(v), &mut registers);
        for i in 0..registers.len() {
            self.cores[v].words[i] = self.encode(registers.get(i));
        }
        self.cores[v].ended_with_maintenance = false;
        self.edge.kicks.remove(&v);
        self.settle();
        result
    }

    fn settle(&mut self) {
        self.check();
        if self.prompt {
            self.serve_kicks();
        }
    }
    /// Serves the kicks that were held back.
    pub fn serve_kicks(&mut self) {
        while let Some(v) = self.edge.kicks.pop_first() {
            self.slow(v, |_, _| ());
        }
    }

    /// What no list register may be.
    fn check(&self) {
        for v in 0..self.cores.len() {
            let registers = self.registers(v);
            let intids: BTreeSet<IntId> = registers.iter().map(|register| register.intid).collect();
            assert_eq!(intids.len(), registers.len(), "two list registers with one INTID: {registers:?}");
            for register in registers {
                let Some(physical) = register.hardware else { continue };
                assert_ne!(register.state, State::PendingActive, "HW = 1 and both: {register:?}");
                assert!(self.edge.active.contains(&physical_key(v, physical)), "not active: {register:?}");
            }
        }
    }

    fn maintenance_due(&self, v: usize) -> bool {
        let core = &self.cores[v];
        let none_pending = !self.registers(v).iter().any(|register| register.state == State::Pending);
        core.ended_with_maintenance
            || core.maintenance.underflow && none_pending
            || core.maintenance.eoi_without_register && core.eoi_count != 0
    }
    fn serve_maintenance(&mut self, v: usize) {
        if self.maintenance_due(v) {
            self.slow(v, |_, _| ());
            assert!(!self.maintenance_due(v), "maintenance interrupts without end: {:?}", self.registers(v));
        }
    }

    /// The guest acknowledges: the most urgent pending interrupt that preempts what runs.
    pub fn acknowledge(&mut self, v: usize) -> Option<(IntId, u8)> {
        self.serve_maintenance(v);
        let running = self.cores[v].running.last().map_or(0x100, |(_, priority, _)| u16::from(*priority));
        let offered = self.cores[v].words.iter().map(|word| self.decode(*word)).enumerate();
        let (i, mut register) = offered
            .filter(|(_, register)| register.state == State::Pending && u16::from(register.priority) < running)
            .min_by_key(|(i, register)| (register.priority, *i))?;
        register.state = State::Active;
        self.cores[v].words[i] = self.encode(register);
        self.cores[v].running.push((register.intid, register.priority, register.source));
        self.serve_maintenance(v);
        Some((register.intid, register.source))
    }

    /// The guest ends what it acknowledged last (EOImode = 0).
    pub fn end(&mut self, v: usize) -> Option<IntId> {
        let (intid, _, _) = self.cores[v].running.pop()?;
        let active = |register: &ListRegister| {
            register.intid == intid && matches!(register.state, State::Active | State::PendingActive)
        };
        let found = self.cores[v].words.iter().position(|word| active(&self.decode(*word)));
        match found {
            None => self.cores[v].eoi_count += 1,
            Some(i) => {
                let mut register = self.decode(self.cores[v].words[i]);
                if let Some(physical) = register.hardware {
                    assert!(self.edge.active.remove(&physical_key(v, physical)));
                }
                register.state = if register.state == State::Active { State::Invalid } else { State::Pending };
                self.cores[v].ended_with_maintenance |= register.eoi_maintenance && register.state == State::Invalid;
                self.cores[v].words[i] = self.encode(register);
            }
        }
        self.serve_maintenance(v);
        Some(intid)
    }

    /// EL2's fast path: a template into a free list register. While something waits for one it must not be overtaken.
    fn insert(&mut self, v: usize, mut register: ListRegister, source: u8) -> bool {
        let Some(free) = self.cores[v].words.iter().position(|word| self.decode(*word).state == State::Invalid) else {
            return false;
        };
        if self.cores[v].maintenance.underflow {
            return false;
        }
        register.source = source;
        self.cores[v].words[free] = self.encode(register);
        self.check();
        true
    }

    /// A device raises a physical interrupt; whether EL2 got it.
    pub fn physical(&mut self, v: usize, physical: IntId) -> bool {
        let v = if physical.is_private() { v } else { *self.edge.routes.get(&physical.number()).unwrap_or(&0) };
        let key = physical_key(v, physical);
        if !self.edge.enabled.contains(&key) || !self.edge.active.insert(key) {
            return false;
        }
        let intid = if physical == DISK_PHYSICAL { DISK } else { physical };
        let template = self.edge.templates.get(&(v, intid.number())).copied();
        if !template.is_some_and(|template| self.insert(v, template, 0)) {
            self.slow(v, |vgic, edge| vgic.forwarded(vcpu(v), physical, edge));
        }
        true
    }

    /// A guest's SGI between two vCPUs.
    pub fn sgi(&mut self, from: usize, to: usize, n: u32) {
        let template = self.edge.templates.get(&(to, n)).copied();
        let free = self.find(to, IntId::sgi(n)).is_none();
        let source = if self.version == Version::V2 { from as u8 } else { 0 };
        if !template.is_some_and(|template| free && self.insert(to, template, source)) {
            self.slow(from, |vgic, edge| vgic.make_pending(vcpu(to), IntId::sgi(n), vcpu(from), edge));
        }
    }

    pub fn level(&mut self, v: usize, intid: IntId, level: bool) {
        self.slow(v, |vgic, edge| vgic.set_level(intid, level, edge));
    }

    /// Distributor accesses of vCPU `v`.
    pub fn read(&mut self, v: usize, offset: u64, bytes: u8) -> u64 {
        self.slow(v, |vgic, _| vgic.distributor_read(vcpu(v), offset, bytes))
    }
    pub fn write(&mut self, v: usize, offset: u64, bytes: u8, value: u64) {
        self.slow(v, |vgic, edge| vgic.distributor_write(vcpu(v), offset, bytes, value, edge));
    }
    /// Redistributor accesses of vCPU `v` to that of `target`.
    pub fn read_redistributor(&mut self, v: usize, target: usize, offset: u64, bytes: u8) -> u64 {
        self.slow(v, |vgic, _| vgic.redistributor_read(vcpu(target), offset, bytes))
    }
    pub fn write_redistributor(&mut self, v: usize, target: usize, offset: u64, bytes: u8, value: u64) {
        self.slow(v, |vgic, edge| vgic.redistributor_write(vcpu(target), offset, bytes, value, edge));
    }

    /// Word `n` of a bit register, in the frame where this version has it; `target` is whose private interrupts.
    pub fn read_word(&mut self, v: usize, target: usize, register: u64, n: u32) -> u32 {
        (match (self.version, n) {
            (Version::V3, 0) => self.read_redistributor(v, target, 0x1_0000 + register, 4),
            _ => self.read(v, register + 4 * u64::from(n), 4),
        }) as u32
    }
    pub fn write_word(&mut self, v: usize, target: usize, register: u64, n: u32, value: u32) {
        match (self.version, n) {
            (Version::V3, 0) => self.write_redistributor(v, target, 0x1_0000 + register, 4, u64::from(value)),
            _ => self.write(v, register + 4 * u64::from(n), 4, u64::from(value)),
        }
    }
    pub fn bit(&mut self, v: usize, register: u64, intid: IntId) -> bool {
        self.read_word(v, v, register, intid.number() / 32) >> (intid.number() % 32) & 1 != 0
    }
    pub fn set_bit(&mut self, v: usize, register: u64, intid: IntId) {
        self.write_word(v, v, register, intid.number() / 32, 1 << (intid.number() % 32));
    }
    pub fn set_priority(&mut self, v: usize, intid: IntId, priority: u8) {
        let offset = 0x400 + u64::from(intid.number());
        match self.version {
            Version::V3 if intid.is_private() => {
                self.write_redistributor(v, v, 0x1_0000 + offset, 1, u64::from(priority))
            }
            _ => self.write(v, offset, 1, u64::from(priority)),
        }
    }

    /// Acknowledges and ends one interrupt.
    pub fn take(&mut self, v: usize) -> Option<IntId> {
        let (intid, _) = self.acknowledge(v)?;
        self.end(v);
        Some(intid)
    }
}

pub const BOTH: [Version; 2] = [Version::V2, Version::V3];
pub const ISENABLER: u64 = 0x100;
pub const ICENABLER: u64 = 0x180;
pub const ISPENDR: u64 = 0x200;
pub const ICPENDR: u64 = 0x280;
pub const ISACTIVER: u64 = 0x300;
pub const ICACTIVER: u64 = 0x380;
