//! A guest's loads and stores to the distributor and the redistributors.
//!
//! `offset` and `bytes` are the guest's: what is not in the register map reads as zero and ignores writes.

use crate::bank::SPI_WORDS;
use crate::model::{Place, SGIS};
use crate::registers::{Kind, REDISTRIBUTOR, V2_DISTRIBUTOR, V3_DISTRIBUTOR, find, identification};
use crate::word::Bits;
use crate::{Effects, Version, Vgic, sgir_targets};
use abi::VcpuId;
use abi::machine::{SPIS, mpidr};

/// GICD_IIDR and GICR_IIDR: Arm, as on QEMU `virt`.
const IMPLEMENTER: u64 = 0x43b;
/// GICD_TYPER.ITLinesNumber: 32 * (N + 1) INTIDs.
const LINES: u64 = SPIS as u64 / 32;
/// Offset of GICD_TYPER.
const TYPER: u64 = 0x004;
/// GICD_TYPER of GICv3: IDbits = 9 (10 bits of INTID), No1N.
const V3_TYPE: u64 = 1 << 25 | 9 << 19 | LINES;
/// GICD_CTLR of GICv3: ARE and DS, read as one.
const V3_CONTROL: u32 = 1 << 6 | 1 << 4;
/// Redistributors to one Aff1.
const PER_CLUSTER: u16 = 16;

impl Vgic<'_> {
    fn distributor_register(&self, offset: u64, bytes: u8) -> Option<(Kind, usize)> {
        match self.version {
            Version::V2 => find(&V2_DISTRIBUTOR, offset, bytes),
            Version::V3 => find(&V3_DISTRIBUTOR, offset, bytes),
        }
    }

    /// Word `n` of a distributor's bit registers. GICv3 has private interrupts in the redistributors only.
    fn distributor_place(&self, v: usize, n: usize) -> Option<Place> {
        match n {
            0 => Some(Place::Private(v)).filter(|_| self.version == Version::V2),
            1..=SPI_WORDS => Some(Place::Shared(n - 1)),
            _ => None,
        }
    }

    /// What [`Vgic::distributor_read`] gives for a register that never changes, GICD_TYPER: without the model's lock.
    #[inline(always)]
    pub fn distributor_constant(version: Version, vcpus: u16, offset: u64, bytes: u8) -> Option<u64> {
        (offset == TYPER && bytes == 4).then_some(match version {
            Version::V2 => (u64::from(vcpus) - 1) << 5 | LINES,
            Version::V3 => V3_TYPE,
        })
    }

    /// Whether [`Vgic::distributor_read`] must be preceded by a `sync` of the reading vCPU: pending and active state.
    pub fn distributor_read_needs_sync(offset: u64) -> bool {
        matches!(offset, 0x200..0x400 | 0xf10..0xf30)
    }
    /// The same for [`Vgic::redistributor_read`].
    pub fn redistributor_read_needs_sync(offset: u64) -> bool {
        matches!(offset, 0x1_0200..0x1_0400)
    }

    /// `vcpu` reads `bytes` at `offset` of the distributor.
    pub fn distributor_read(&mut self, vcpu: VcpuId, offset: u64, bytes: u8) -> u64 {
        let Some((v, (kind, at))) = self.index(vcpu).zip(self.distributor_register(offset, bytes)) else { return 0 };
        match kind {
            Kind::Type => Self::distributor_constant(self.version, self.banks.len() as u16, TYPER, 4).unwrap_or(0),
            Kind::Control if self.version == Version::V2 => u64::from(self.ctlr),
            Kind::Control => u64::from(self.ctlr | V3_CONTROL),
            Kind::Implementer => IMPLEMENTER,
            Kind::DistributorId => u64::from(match self.version {
                Version::V2 => identification(at, 0x04, 0x90, 0x2b),
                Version::V3 => identification(at, 0x44, 0x92, 0x3b),
            }),
            Kind::Target => self.each_byte(at, bytes, |vgic, intid| vgic.itargetsr(v, intid)),
            Kind::Route => self.irouter(at, bytes),
            Kind::SetSgiPending | Kind::ClearSgiPending => {
                self.each_byte(at, bytes, |vgic, n| vgic.banks[v].sources.get(n).copied().unwrap_or(0))
            }
            Kind::Priority => self.each_byte(at, bytes, |vgic, intid| match vgic.distributor_place(v, intid / 32) {
                Some(place) => vgic.word(place).priority[intid % 32],
                None => 0,
            }),
            Kind::Config => self.distributor_place(v, at / 8).map_or(0, |place| self.config(place, at)),
            _ => self.distributor_place(v, at / 4).map_or(0, |place| self.bits(place, kind)),
        }
    }

    /// `vcpu` writes `bytes` of `value` at `offset` of the distributor.
    pub fn distributor_write(
        &mut self,
        vcpu: VcpuId,
        offset: u64,
        bytes: u8,
        value: u64,
        fx: &mut (impl Effects + ?Sized),
    ) {
        let Some((v, (kind, at))) = self.index(vcpu).zip(self.distributor_register(offset, bytes)) else { return };
        match kind {
            Kind::Control => self.set_control(value as u32, fx),
            Kind::SoftwareInterrupt => {
                let mut targets = sgir_targets(value as u32, vcpu, self.banks.len() as u16);
                let intid = targets.intid;
                targets.by_ref().for_each(|target| self.make_pending(target, intid, vcpu, fx));
            }
            Kind::Target => {
                for (i, byte) in value.to_le_bytes().iter().take(usize::from(bytes)).enumerate() {
                    self.set_itargetsr(at + i, *byte, fx);
                }
            }
            Kind::Route => self.set_irouter(at, bytes, value, fx),
            Kind::SetSgiPending | Kind::ClearSgiPending => {
                for (i, byte) in value.to_le_bytes().iter().take(usize::from(bytes)).enumerate() {
                    let sources = byte & self.cpu_mask();
                    if kind == Kind::SetSgiPending {
                        self.add_sources(v, at + i, sources, fx);
                    } else {
                        self.remove_sources(v, at + i, sources);
                    }
                }
            }
            Kind::Priority => {
                for (i, byte) in value.to_le_bytes().iter().take(usize::from(bytes)).enumerate() {
                    if let Some(place) = self.distributor_place(v, (at + i) / 32) {
                        self.set_priority(place, (at + i) % 32, *byte, fx);
                    }
                }
            }
            Kind::Config => {
                if let Some(Place::Shared(w)) = self.distributor_place(v, at / 8) {
                    self.set_config(w, at, value as u32, fx);
                }
            }
            _ => {
                if let Some(place) = self.distributor_place(v, at / 4) {
                    self.write_bits(place, kind, value as u32, fx);
                }
            }
        }
    }

    /// A vCPU reads `bytes` at `offset` of `target`'s two redistributor frames.
    pub fn redistributor_read(&mut self, target: VcpuId, offset: u64, bytes: u8) -> u64 {
        let Some((v, (kind, at))) = self.index(target).zip(find(&REDISTRIBUTOR, offset, bytes)) else { return 0 };
        let place = Place::Private(v);
        match kind {
            Kind::RedistributorType => {
                let last = u64::from(v + 1 == self.banks.len()) << 4;
                let value = mpidr(target.number(), PER_CLUSTER) << 32 | u64::from(target.number()) << 8 | last;
                half(value, at, bytes)
            }
            Kind::Implementer => IMPLEMENTER,
            // ChildrenAsleep [2] follows ProcessorSleep [1] at once.
            Kind::Waker => u64::from(self.banks[v].asleep) * 6,
            Kind::RedistributorId => u64::from(identification(at, 0x44, 0x93, 0x3b)),
            Kind::Priority => self.each_byte(at, bytes, |vgic, n| vgic.word(place).priority[n % 32]),
            Kind::Config => self.config(place, at),
            _ => self.bits(place, kind),
        }
    }

    /// A vCPU writes `bytes` of `value` at `offset` of `target`'s two redistributor frames.
    pub fn redistributor_write(
        &mut self,
        target: VcpuId,
        offset: u64,
        bytes: u8,
        value: u64,
        fx: &mut (impl Effects + ?Sized),
    ) {
        let Some((v, (kind, at))) = self.index(target).zip(find(&REDISTRIBUTOR, offset, bytes)) else { return };
        let place = Place::Private(v);
        match kind {
            Kind::Waker => self.banks[v].asleep = value & 2 != 0,
            Kind::Priority => {
                for (i, byte) in value.to_le_bytes().iter().take(usize::from(bytes)).enumerate() {
                    self.set_priority(place, (at + i) % 32, *byte, fx);
                }
            }
            // SGIs are edge and PPIs level for good.
            Kind::Config => {}
            _ => self.write_bits(place, kind, value as u32, fx),
        }
    }

    fn bits(&self, place: Place, kind: Kind) -> u64 {
        let word = self.word(place);
        u64::from(match kind {
            Kind::Group => word.group1,
            Kind::SetEnable | Kind::ClearEnable => word.enabled,
            Kind::SetPending | Kind::ClearPending => word.pending() | word.loaded_pending,
            Kind::SetActive | Kind::ClearActive => word.active | word.loaded_active,
            _ => 0,
        })
    }

    fn write_bits(&mut self, place: Place, kind: Kind, bits: u32, fx: &mut (impl Effects + ?Sized)) {
        match kind {
            Kind::Group => self.set_group(place, bits, fx),
            Kind::SetEnable => self.set_enabled(place, bits, true, fx),
            Kind::ClearEnable => self.set_enabled(place, bits, false, fx),
            Kind::SetPending => self.set_pending(place, bits, fx),
            Kind::ClearPending => self.clear_pending(place, bits, fx),
            Kind::SetActive => self.set_active(place, bits, fx),
            Kind::ClearActive => self.clear_active(place, bits, fx),
            _ => {}
        }
    }

    /// Reads `bytes` registers of one byte each from number `first`.
    fn each_byte(&self, first: usize, bytes: u8, read: impl Fn(&Self, usize) -> u8) -> u64 {
        (0..usize::from(bytes)).fold(0, |value, i| value | u64::from(read(self, first + i)) << (8 * i))
    }

    /// GICD_ICFGR: two bits each, the upper one says edge.
    fn config(&self, place: Place, at: usize) -> u64 {
        let edge = self.word(place).edge >> (at / 4 % 2 * 16) & 0xffff;
        Bits(edge).fold(0, |value, n| value | 2 << (2 * n))
    }

    fn set_config(&mut self, w: usize, at: usize, value: u32, fx: &mut (impl Effects + ?Sized)) {
        let edge = (0..16).fold(0, |edge, n| edge | (value >> (2 * n + 1) & 1) << n);
        let shift = at / 4 % 2 * 16;
        self.set_edge(w, SGIS << shift, edge << shift, fx);
    }

    /// GICv2: one bit for each vCPU.
    fn cpu_mask(&self) -> u8 {
        0xff_u8 >> 8_usize.saturating_sub(self.banks.len())
    }

    /// One byte of GICD_ITARGETSR: the reader for private INTIDs; RAZ/WI with one vCPU.
    fn itargetsr(&self, v: usize, intid: usize) -> u8 {
        match intid {
            _ if self.banks.len() == 1 => 0,
            0..32 => 1 << (v % 8),
            _ => self.route.get(intid - 32).map_or(0, |route| *route as u8),
        }
    }

    fn set_itargetsr(&mut self, intid: usize, mask: u8, fx: &mut (impl Effects + ?Sized)) {
        let spi = intid.checked_sub(32).filter(|spi| *spi < SPIS as usize && self.banks.len() > 1);
        if let Some(spi) = spi {
            self.set_route(spi, u32::from(mask & self.cpu_mask()), fx);
        }
    }

    /// GICD_IROUTER or half of it: Aff3 39:32, Aff2 to Aff0 23:0. No 1-of-N.
    fn irouter(&self, at: usize, bytes: u8) -> u64 {
        let route = (at / 8).checked_sub(32).and_then(|spi| self.route.get(spi));
        let route = u64::from(route.copied().unwrap_or(0));
        half((route >> 24) << 32 | route & 0xff_ffff, at, bytes)
    }

    fn set_irouter(&mut self, at: usize, bytes: u8, value: u64, fx: &mut (impl Effects + ?Sized)) {
        let Some(spi) = (at / 8).checked_sub(32).filter(|spi| *spi < SPIS as usize) else { return };
        let old = self.route[spi];
        let low = value as u32 & 0xff_ffff;
        let route = match (bytes, at % 8) {
            (8, _) => ((value >> 32) as u32) << 24 | low,
            (_, 0) => old & 0xff00_0000 | low,
            _ => (value as u32) << 24 | old & 0xff_ffff,
        };
        self.set_route(spi, route, fx);
    }
}

/// The half of a 64-bit register that an access of four bytes reads, or all of it.
fn half(value: u64, at: usize, bytes: u8) -> u64 {
    match (bytes, at % 8) {
        (8, _) => value,
        (_, 0) => value & 0xffff_ffff,
        _ => value >> 32,
    }
}
