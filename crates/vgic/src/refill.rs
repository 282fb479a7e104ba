//! Choosing what a vCPU's list registers hold.
//!
//! The most urgent come first: by priority, then active before pending, then by INTID. So whatever waits is less urgent
//! than everything loaded. One list register is kept for a pending interrupt, as the guest may have dropped the
//! priority of the active ones.

use crate::bank::Bank;
use crate::model::{NOBODY, Place};
use crate::word::Bits;
use crate::{ListRegister, ListRegisters, Maintenance, State, Version, Vgic};
use abi::{IntId, VcpuId};

/// A candidate: priority 23:16, not active 15, INTID 13:1, pending 0. Less is more urgent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate(u32);

impl Candidate {
    const NONE: Self = Self(u32::MAX);

    #[inline]
    fn new(priority: u8, active: bool, pending: bool, intid: IntId) -> Self {
        let inactive = u32::from(!active);
        Self(u32::from(priority) << 16 | inactive << 15 | intid.number() << 1 | u32::from(pending))
    }
    fn is_active(self) -> bool {
        self.0 & 1 << 15 == 0
    }
    fn is_pending(self) -> bool {
        self.0 & 1 != 0
    }
    fn intid(self) -> IntId {
        IntId::new(self.0 >> 1 & 0x1fff)
    }
}

/// The best candidates seen so far, in order.
struct Choice {
    best: [Candidate; 16],
    len: usize,
    room: usize,
    /// The best of those left out that the guest could take, and how many there are.
    waiting: Candidate,
    waiting_count: u32,
    spilled: bool,
}

impl Choice {
    fn new(room: usize) -> Self {
        Self { best: [Candidate::NONE; 16], len: 0, room, waiting: Candidate::NONE, waiting_count: 0, spilled: false }
    }

    fn offer(&mut self, new: Candidate) {
        let mut at = self.len;
        while at > 0 && new < self.best[at - 1] {
            at -= 1;
        }
        if at >= self.room {
            return self.leave_out(new);
        }
        if self.len == self.room {
            self.leave_out(self.best[self.len - 1]);
        } else {
            self.len += 1;
        }
        self.best[at..self.len].rotate_right(1);
        self.best[at] = new;
    }

    fn leave_out(&mut self, candidate: Candidate) {
        if candidate.is_active() {
            // Pending as well or not, the guest cannot take it before it ends it.
            self.spilled = true;
        } else {
            self.waiting = self.waiting.min(candidate);
            self.waiting_count += 1;
        }
    }

    /// Of all-active list registers the least urgent gives way.
    fn keep_one_pending(&mut self) {
        if self.waiting == Candidate::NONE || self.best[..self.len].iter().any(|chosen| !chosen.is_active()) {
            return;
        }
        if let Some(last) = self.best[..self.len].last_mut() {
            *last = self.waiting;
            self.spilled = true;
            self.waiting_count -= 1;
        }
    }
}

impl Vgic<'_> {
    /// Moves what `vcpu` should see next into `registers`, replacing all of them, and tells what must raise the
    /// maintenance interrupt. Without a [`Vgic::sync`] before it changes nothing.
    #[inline]
    pub fn refill(&mut self, vcpu: VcpuId, registers: &mut ListRegisters) -> Maintenance {
        let Some(bank) = self.banks.get_mut(vcpu.index()) else { return Maintenance::default() };
        if !bank.synced {
            return bank.maintenance;
        }
        registers.clear();
        bank.synced = false;
        bank.maintenance = Maintenance::default();
        if self.busy == 0 && bank.word.is_quiet() {
            return Maintenance::default();
        }
        self.choose(vcpu.index(), registers)
    }

    #[inline(never)]
    fn choose(&mut self, v: usize, registers: &mut ListRegisters) -> Maintenance {
        let mut choice = Choice::new(registers.len());
        let word = &self.banks[v].word;
        let pending = word.deliverable(self.groups());
        self.offer(&mut choice, Place::Private(v), word.active, pending);
        for w in Bits(u32::from(self.busy)) {
            self.offer_spis(&mut choice, v, w);
        }
        choice.keep_one_pending();
        for (i, chosen) in choice.best.iter().take(choice.len).enumerate() {
            if let Some((place, n)) = self.place(v, chosen.intid()) {
                registers.set(i, self.load(v, place, n, chosen.is_active(), chosen.is_pending()));
            }
        }
        for w in Bits(u32::from(self.busy)) {
            if self.spis[w].is_quiet() {
                self.busy &= !(1 << w);
            }
        }
        let maintenance = Maintenance { underflow: choice.waiting_count != 0, eoi_without_register: choice.spilled };
        self.banks[v].maintenance = maintenance;
        maintenance
    }

    fn offer(&self, choice: &mut Choice, place: Place, active: u32, pending: u32) {
        let word = self.word(place);
        for n in Bits(active | pending) {
            let (active, pending) = (active >> n & 1 != 0, pending >> n & 1 != 0);
            choice.offer(Candidate::new(word.priority[n], active, pending, Self::intid(place, n)));
        }
    }

    /// An active SPI belongs to its holder, or to its target if the guest made it active by register; a pending one to its
    /// target, unless someone else still holds it.
    fn offer_spis(&self, choice: &mut Choice, v: usize, w: usize) {
        let (word, mine) = (&self.spis[w], self.banks[v].mine[w]);
        let pending = word.deliverable(self.groups());
        let (mut own_active, mut own_pending) = (0, 0);
        for n in Bits(word.active | pending & mine) {
            let (bit, holder) = (1 << n, self.holder[32 * w + n]);
            if usize::from(holder) == v || holder == NOBODY && mine & bit != 0 {
                own_active |= word.active & bit;
                own_pending |= pending & bit;
            }
        }
        self.offer(choice, Place::Shared(w), own_active, own_pending);
    }

    /// Moves interrupt `n` of `place` out of the model.
    fn load(&mut self, v: usize, place: Place, n: usize, active: bool, pending: bool) -> ListRegister {
        let bit = 1 << n;
        let physical = self.physical(place, n);
        let mut elsewhere = false;
        if let Place::Shared(w) = place {
            elsewhere = self.banks[v].mine[w] & bit == 0;
            self.holder[32 * w + n] = v as u8;
            self.banks[v].resident[w] |= bit;
            self.banks[v].resident_words |= 1 << w;
        }
        let sgi = match (self.version, place) {
            (Version::V2, Place::Private(_)) => Self::take_source(&mut self.banks[v], n, active, pending),
            _ => None,
        };
        let word = self.word_mut(place);
        let mut register = ListRegister {
            intid: Self::intid(place, n),
            priority: word.priority[n],
            group1: word.group1 & bit != 0,
            ..ListRegister::EMPTY
        };
        word.loaded_latch = word.loaded_latch & !bit | word.latch & bit;
        if active {
            // What is pending as well stays behind if it comes from a line, from hardware or from another vCPU's SGI, or goes
            // to another vCPU: the end of this one must come to the model.
            let other_source = sgi.is_some_and(|sgi| sgi.others);
            let resample = elsewhere || other_source || (word.line & !word.edge | word.held_pending) & bit != 0;
            let linked = word.held_active & bit != 0;
            let again = pending && !resample;
            register.state = if again { State::PendingActive } else { State::Active };
            register.eoi_maintenance = pending && resample;
            register.hardware = linked.then_some(physical);
            word.active &= !bit;
            word.held_active &= !bit;
            word.loaded_active |= bit;
            if again {
                word.latch &= !bit;
                word.loaded_pending |= bit;
            }
        } else {
            register.state = State::Pending;
            register.hardware = (word.held_pending & bit != 0).then_some(physical);
            register.eoi_maintenance = word.line & !word.edge & bit != 0;
            word.held_pending &= !bit;
            word.latch &= !bit;
            word.loaded_pending |= bit;
        }
        if let Some(sgi) = sgi {
            register.source = sgi.source;
            register.eoi_maintenance |= sgi.others;
            word.latch |= if sgi.others { bit } else { 0 };
        }
        register
    }

    /// Takes one sender of a GICv2 SGI out of the pending ones: that of the active SGI, otherwise the lowest.
    fn take_source(bank: &mut Bank, n: usize, active: bool, pending: bool) -> Option<SgiSource> {
        let sources = bank.sources.get_mut(n)?;
        if !active {
            let source = sources.trailing_zeros() as u8 & 7;
            *sources &= sources.wrapping_sub(1);
            return Some(SgiSource { source, others: *sources != 0 });
        }
        let source = *bank.active_source.get(n)?;
        let others = pending && *sources & !(1 << source) != 0;
        if pending && !others {
            *sources = 0;
        }
        Some(SgiSource { source, others })
    }
}

/// Which vCPU an SGI in a list register comes from, and whether it is pending from others too.
#[derive(Clone, Copy)]
struct SgiSource {
    source: u8,
    others: bool,
}
