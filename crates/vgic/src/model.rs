//! The model's state, its set-up, and the two things that follow from a change: templates and kicks.

use crate::bank::{Bank, SPI_WORDS};
use crate::word::{Bits, Groups, Word};
use crate::{Effects, ListRegister, State};
use abi::machine::SPIS;
use abi::{IntId, MAX_CORES, VcpuId};

/// Which GIC architecture the guest sees: the one that the board's CPU interface has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// GICv2, IHI 0048; at most 8 vCPUs.
    V2,
    /// GICv3, IHI 0069.
    V3,
}

/// Most SPIs that one partition's assigned devices may have.
pub const MAX_FORWARDED_SPIS: usize = 40;

/// No vCPU.
pub(crate) const NOBODY: u8 = u8::MAX;
/// The SGIs in word 0.
pub(crate) const SGIS: u32 = 0xffff;

/// Where 32 interrupts live. Made only for vCPUs that exist, so it may index.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// INTIDs 0 to 31 of a vCPU.
    Private(usize),
    /// INTIDs from `32 * (n + 1)`.
    Shared(usize),
}

/// The GIC of one partition.
#[derive(Debug)]
pub struct Vgic<'a> {
    pub(crate) version: Version,
    pub(crate) banks: &'a mut [Bank],
    /// GICD_CTLR: the two group enables.
    pub(crate) ctlr: u32,
    /// One bit for each word of SPIs that is not quiet (it may be stale on the busy side).
    pub(crate) busy: u8,
    /// One bit for each word of SPIs that has a `software` bit.
    pub(crate) software_words: u8,
    pub(crate) spis: [Word; SPI_WORDS],
    /// The vCPU that the distributor sends each SPI to.
    pub(crate) target: [u8; SPIS as usize],
    /// The vCPU that has each SPI active or in a list register.
    pub(crate) holder: [u8; SPIS as usize],
    /// GICD_ITARGETSR bytes, or GICD_IROUTER as Aff3 to Aff0.
    pub(crate) route: [u32; SPIS as usize],
    /// The physical INTID of each forwarded SPI.
    physical: [u16; SPIS as usize],
    /// The forwarded SPIs: virtual and physical INTID.
    forwarded: [(u16, u16); MAX_FORWARDED_SPIS],
    forwarded_count: usize,
}

impl<'a> Vgic<'a> {
    /// A GIC for as many vCPUs as there are banks. Forward what is to be forwarded, then [`Vgic::reset`].
    pub fn new(version: Version, banks: &'a mut [Bank]) -> Self {
        let most = if version == Version::V2 { 8 } else { MAX_CORES };
        assert!(!banks.is_empty() && banks.len() <= most, "{} vCPUs on a {version:?} GIC", banks.len());
        Self {
            version,
            banks,
            ctlr: 0,
            busy: 0,
            software_words: 0,
            spis: [Word::default(); SPI_WORDS],
            target: [NOBODY; SPIS as usize],
            holder: [NOBODY; SPIS as usize],
            route: [0; SPIS as usize],
            physical: [0; SPIS as usize],
            forwarded: [(0, 0); MAX_FORWARDED_SPIS],
            forwarded_count: 0,
        }
    }

    /// The guest's PPI `intid` is the physical PPI of the same number, on each vCPU's own core.
    pub fn forward_private(&mut self, intid: IntId) {
        assert!(intid.is_private() && !intid.is_sgi(), "{intid} cannot be forwarded as a PPI");
        for bank in self.banks.iter_mut() {
            bank.word.forwarded |= 1 << intid.number();
        }
    }

    /// The guest's SPI `virtual_` is the physical SPI `physical`. At most [`MAX_FORWARDED_SPIS`].
    pub fn forward_spi(&mut self, virtual_: IntId, physical: IntId) {
        let known = virtual_.number().checked_sub(32).filter(|spi| *spi < SPIS).map(|spi| spi as usize);
        let free = self.forwarded.get_mut(self.forwarded_count);
        let (Some(spi), Some(free), 32..1020) = (known, free, physical.number()) else {
            panic!("{physical} cannot be forwarded as {virtual_}");
        };
        *free = (virtual_.number() as u16, physical.number() as u16);
        self.forwarded_count += 1;
        self.physical[spi] = physical.number() as u16;
        self.spis[spi / 32].forwarded |= 1 << (spi % 32);
    }

    /// Puts everything into its first-boot state and tells the edge: no templates, forwarded interrupts disabled, routes
    /// as at reset. What the model itself held is deactivated; list registers and everything else that the cores hold
    /// must be cleaned there.
    pub fn reset(&mut self, fx: &mut (impl Effects + ?Sized)) {
        for v in 0..self.banks.len() {
            self.reset_bank(v, fx);
        }
        for w in 0..SPI_WORDS {
            self.give_up(Place::Shared(w), u32::MAX, u32::MAX, fx);
            self.spis[w].reset(0, 0);
        }
        (self.ctlr, self.busy, self.software_words) = (0, 0, 0);
        self.holder.fill(NOBODY);
        self.route.fill(0);
        let first = self.route_target(0);
        self.target.fill(first);
        if let Some(bank) = self.banks.get_mut(usize::from(first)) {
            bank.mine = [u32::MAX; SPI_WORDS];
        }
        for (virtual_, physical) in self.forwarded.iter().take(self.forwarded_count) {
            let physical = IntId::new(u32::from(*physical));
            fx.physical_enable(VcpuId::new(0), physical, false);
            for v in 0..self.banks.len() {
                fx.template(VcpuId::new(v as u16), IntId::new(u32::from(*virtual_)), None);
            }
            if first != NOBODY {
                fx.physical_route(physical, VcpuId::new(u16::from(first)));
            }
        }
    }

    fn reset_bank(&mut self, v: usize, fx: &mut (impl Effects + ?Sized)) {
        self.give_up(Place::Private(v), u32::MAX, u32::MAX, fx);
        let mut word = self.banks[v].word;
        // SGIs are edge; on GICv2 they cannot be disabled, as on QEMU `virt`.
        word.reset(SGIS, if self.version == Version::V2 { SGIS } else { 0 });
        self.banks[v] = Bank { word, asleep: true, ..Bank::default() };
        let vcpu = VcpuId::new(v as u16);
        for n in Bits(word.forwarded) {
            fx.physical_enable(vcpu, IntId::new(n as u32), false);
        }
        for n in Bits(word.forwarded | SGIS) {
            fx.template(vcpu, IntId::new(n as u32), None);
        }
    }

    /// Whether the guest has enabled SPI `intid`.
    pub fn is_enabled(&self, intid: IntId) -> bool {
        matches!(self.place(0, intid), Some((place @ Place::Shared(_), n)) if self.word(place).enabled >> n & 1 != 0)
    }

    /// The forwarded private interrupts, one bit for each INTID: what is pending there while the guest has it disabled
    /// only the hardware knows.
    pub fn forwarded_private(&self) -> u32 {
        self.banks.first().map_or(0, |bank| bank.word.forwarded)
    }

    /// `vcpu` as an index, if it exists.
    #[inline]
    pub(crate) fn index(&self, vcpu: VcpuId) -> Option<usize> {
        Some(vcpu.index()).filter(|v| *v < self.banks.len())
    }

    /// Where `intid` lives for vCPU `v`, and its bit's number.
    #[inline]
    pub(crate) fn place(&self, v: usize, intid: IntId) -> Option<(Place, usize)> {
        let bit = intid.index() % 32;
        match intid.index() / 32 {
            0 if v < self.banks.len() => Some((Place::Private(v), bit)),
            n @ 1..=SPI_WORDS => Some((Place::Shared(n - 1), bit)),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn word(&self, place: Place) -> &Word {
        match place {
            Place::Private(v) => &self.banks[v].word,
            Place::Shared(w) => &self.spis[w % SPI_WORDS],
        }
    }
    #[inline]
    pub(crate) fn word_mut(&mut self, place: Place) -> &mut Word {
        match place {
            Place::Private(v) => &mut self.banks[v].word,
            Place::Shared(w) => &mut self.spis[w % SPI_WORDS],
        }
    }
    /// Something in `place` may want a list register from now on.
    #[inline]
    pub(crate) fn mark_busy(&mut self, place: Place) {
        if let Place::Shared(w) = place {
            self.busy |= 1 << w;
        }
    }
    #[inline]
    pub(crate) fn groups(&self) -> Groups {
        Groups::from_ctlr(self.ctlr)
    }

    /// The INTID of bit `n` in `place`.
    #[inline]
    pub(crate) fn intid(place: Place, n: usize) -> IntId {
        match place {
            Place::Private(_) => IntId::new(n as u32),
            Place::Shared(w) => IntId::new((32 * (w + 1) + n) as u32),
        }
    }
    /// The physical interrupt behind bit `n` of `place`, which is forwarded.
    #[inline]
    pub(crate) fn physical(&self, place: Place, n: usize) -> IntId {
        match place {
            Place::Private(_) => IntId::new(n as u32),
            Place::Shared(w) => IntId::new(u32::from(self.physical[(32 * w + n) % SPIS as usize])),
        }
    }
    /// The guest's number for a physical interrupt.
    pub(crate) fn virtual_of(&self, physical: IntId) -> Option<IntId> {
        if physical.is_private() {
            return Some(physical).filter(|_| self.forwarded_private() >> physical.number() & 1 != 0);
        }
        let mut known = self.forwarded.iter().take(self.forwarded_count);
        known.find(|(_, p)| u32::from(*p) == physical.number()).map(|(v, _)| IntId::new(u32::from(*v)))
    }

    /// The vCPU to which bit `n` of `place` belongs now: where it is, otherwise where it goes.
    pub(crate) fn owner(&self, place: Place, n: usize) -> Option<usize> {
        let owner = match place {
            Place::Private(v) => v,
            Place::Shared(w) => match self.holder[(32 * w + n) % SPIS as usize] {
                NOBODY => usize::from(self.target[(32 * w + n) % SPIS as usize]),
                holder => usize::from(holder),
            },
        };
        Some(owner).filter(|v| *v < self.banks.len())
    }

    /// The vCPU that a GICD_ITARGETSR byte or a GICD_IROUTER affinity selects.
    pub(crate) fn route_target(&self, route: u32) -> u8 {
        let vcpus = self.banks.len() as u32;
        let target = match self.version {
            Version::V2 if vcpus == 1 => 0,
            Version::V2 => route.trailing_zeros(),
            // Aff3, Aff2 and the upper half of Aff0 are zero on every vCPU.
            Version::V3 if route & 0xffff_00f0 == 0 => (route >> 8) * 16 + (route & 0xf),
            Version::V3 => u32::MAX,
        };
        if target < vcpus { target as u8 } else { NOBODY }
    }

    /// SPI number `spi` goes where `route` says from now on.
    pub(crate) fn set_route(&mut self, spi: usize, route: u32, fx: &mut (impl Effects + ?Sized)) {
        let (w, n) = (spi / 32 % SPI_WORDS, spi % 32);
        let place = Place::Shared(w);
        self.route[spi] = route;
        let (old, new) = (self.target[spi], self.route_target(route));
        if old == new {
            return;
        }
        let bit = 1 << n;
        let forwarded = self.spis[w].forwarded & bit != 0;
        if let Some(bank) = self.banks.get_mut(usize::from(old)) {
            bank.mine[w] &= !bit;
            if forwarded {
                fx.template(VcpuId::new(u16::from(old)), Self::intid(place, n), None);
                // EL2 may just have delivered it there.
                self.kick(usize::from(old), fx);
            }
        }
        self.target[spi] = new;
        if let Some(bank) = self.banks.get_mut(usize::from(new)) {
            bank.mine[w] |= bit;
            if forwarded {
                fx.physical_route(self.physical(place, n), VcpuId::new(u16::from(new)));
                self.publish(place, bit, fx);
            }
        }
        let interesting = self.spis[w].pending() | self.spis[w].loaded_pending;
        self.kick_owners(place, bit & interesting, fx);
    }

    /// Which interrupts of `place` have templates at all: those that EL2 may deliver by itself.
    #[inline]
    pub(crate) fn templated(&self, place: Place) -> u32 {
        match place {
            Place::Private(_) => self.word(place).forwarded | SGIS,
            Place::Shared(_) => self.word(place).forwarded,
        }
    }

    /// Tells the edge the templates of those `bits` that have one.
    #[inline(never)]
    pub(crate) fn publish(&self, place: Place, bits: u32, fx: &mut (impl Effects + ?Sized)) {
        let word = self.word(place);
        let ready = word.forwardable(self.groups()) & !word.software;
        for n in Bits(bits & self.templated(place)) {
            let vcpu = match place {
                Place::Private(v) => v,
                Place::Shared(w) => usize::from(self.target[(32 * w + n) % SPIS as usize]),
            };
            if vcpu >= self.banks.len() {
                continue;
            }
            let register = (ready >> n & 1 != 0).then(|| ListRegister {
                intid: Self::intid(place, n),
                state: State::Pending,
                priority: word.priority[n % 32],
                group1: word.group1 >> n & 1 != 0,
                hardware: (word.forwarded >> n & 1 != 0).then(|| self.physical(place, n)),
                ..ListRegister::EMPTY
            });
            fx.template(VcpuId::new(vcpu as u16), Self::intid(place, n), register);
        }
    }

    /// Kicks vCPU `v` unless it refills anyway.
    #[inline]
    pub(crate) fn kick(&self, v: usize, fx: &mut (impl Effects + ?Sized)) {
        if self.banks.get(v).is_some_and(|bank| !bank.synced) {
            fx.kick(VcpuId::new(v as u16));
        }
    }

    /// Kicks every vCPU that holds or would get one of `bits`, once.
    #[inline(never)]
    pub(crate) fn kick_owners(&self, place: Place, bits: u32, fx: &mut (impl Effects + ?Sized)) {
        let mut vcpus = 0_u64;
        for owner in Bits(bits).filter_map(|n| self.owner(place, n)) {
            vcpus |= 1 << (owner % MAX_CORES);
        }
        while vcpus != 0 {
            self.kick(vcpus.trailing_zeros() as usize, fx);
            vcpus &= vcpus - 1;
        }
    }
}
