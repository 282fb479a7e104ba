//! What a guest's write to an enable, group, pending, active or configuration register does (IHI 0069 chapter 4,
//! IHI 0048 chapter 3). `bits` select interrupts of one word.

use crate::model::{NOBODY, Place, SGIS};
use crate::word::Bits;
use crate::{Effects, Version, Vgic};
use abi::VcpuId;

impl Vgic<'_> {
    /// The enables of GICD_CTLR.
    pub(crate) fn set_control(&mut self, value: u32, fx: &mut (impl Effects + ?Sized)) {
        let changed = self.ctlr ^ value & 3;
        self.ctlr = value & 3;
        if changed == 0 {
            return;
        }
        for v in 0..self.banks.len() {
            self.publish(Place::Private(v), u32::MAX, fx);
            self.kick(v, fx);
        }
        for w in 0..self.spis.len() {
            self.publish(Place::Shared(w), u32::MAX, fx);
        }
    }

    /// GICD_ISENABLER and GICD_ICENABLER.
    pub(crate) fn set_enabled(&mut self, place: Place, bits: u32, enabled: bool, fx: &mut (impl Effects + ?Sized)) {
        let bits = self.writable(place, bits);
        let word = self.word_mut(place);
        let changed = bits & if enabled { !word.enabled } else { word.enabled };
        word.enabled ^= changed;
        for n in Bits(changed & word.forwarded) {
            fx.physical_enable(self.vcpu_of(place, n), self.physical(place, n), enabled);
        }
        self.delivery_changed(place, changed, fx);
    }

    /// GICD_IGROUPR.
    pub(crate) fn set_group(&mut self, place: Place, group1: u32, fx: &mut (impl Effects + ?Sized)) {
        let word = self.word_mut(place);
        let changed = word.group1 ^ group1;
        word.group1 = group1;
        self.delivery_changed(place, changed, fx);
    }

    /// GICD_ICFGR of SPIs; that of SGIs and PPIs is fixed.
    pub(crate) fn set_edge(&mut self, w: usize, bits: u32, edge: u32, fx: &mut (impl Effects + ?Sized)) {
        let place = Place::Shared(w);
        let word = self.word_mut(place);
        word.edge = word.edge & !bits | edge & bits;
        let interesting = word.line | word.loaded_pending | word.loaded_active;
        self.kick_owners(place, bits & interesting, fx);
    }

    /// GICD_IPRIORITYR of one interrupt: five bits.
    pub(crate) fn set_priority(&mut self, place: Place, n: usize, priority: u8, fx: &mut (impl Effects + ?Sized)) {
        let slot = &mut self.word_mut(place).priority[n % 32];
        if *slot == priority & 0xf8 {
            return;
        }
        *slot = priority & 0xf8;
        let bit = 1 << (n % 32);
        self.publish(place, bit, fx);
        self.kick_owners(place, bit & (self.word(place).loaded_pending | self.templated(place)), fx);
    }

    /// GICD_ISPENDR. On GICv2 an SGI has GICD_SPENDSGIR instead.
    pub(crate) fn set_pending(&mut self, place: Place, bits: u32, fx: &mut (impl Effects + ?Sized)) {
        let bits = self.writable(place, bits);
        let groups = self.groups();
        let word = self.word_mut(place);
        let new = bits & !word.held_pending;
        word.latch |= new;
        let (software, deliverable) = (new & word.forwarded, bits & word.deliverable(groups));
        self.mark_busy(place);
        if software != 0 {
            self.unlink(place, software, fx);
            self.mark_software(place, software, fx);
        }
        // Another vCPU may have it active and linked: it unlinks it.
        self.kick_owners(place, deliverable | software, fx);
    }

    /// GICD_ICPENDR. A level interrupt stays pending while its line is high.
    pub(crate) fn clear_pending(&mut self, place: Place, bits: u32, fx: &mut (impl Effects + ?Sized)) {
        let bits = self.writable(place, bits);
        self.word_mut(place).latch &= !bits;
        self.give_up(place, bits, 0, fx);
        self.withdraw(place, bits, 0, fx);
    }

    /// GICD_ISACTIVER.
    pub(crate) fn set_active(&mut self, place: Place, bits: u32, fx: &mut (impl Effects + ?Sized)) {
        let word = self.word_mut(place);
        let new = bits & !word.active;
        word.active |= new;
        let software = new & word.forwarded;
        self.mark_busy(place);
        if software != 0 {
            self.mark_software(place, software, fx);
        }
        self.kick_owners(place, new, fx);
    }

    /// GICD_ICACTIVER.
    pub(crate) fn clear_active(&mut self, place: Place, bits: u32, fx: &mut (impl Effects + ?Sized)) {
        let groups = self.groups();
        self.give_up(place, 0, bits, fx);
        let word = self.word_mut(place);
        let ended = word.active & bits;
        word.active &= !ended;
        let deliverable = ended & word.deliverable(groups);
        if let Place::Shared(w) = place {
            for n in Bits(ended) {
                if let Some(holder) = self.holder.get_mut(32 * w + n) {
                    *holder = NOBODY;
                }
            }
        }
        self.withdraw(place, 0, bits, fx);
        self.kick_owners(place, deliverable, fx);
    }

    /// The bits that a GICv2 guest may change: not those of its SGIs.
    fn writable(&self, place: Place, bits: u32) -> u32 {
        match (self.version, place) {
            (Version::V2, Place::Private(_)) => bits & !SGIS,
            _ => bits,
        }
    }

    /// The vCPU on whose core the physical side of a forwarded interrupt is; any, for an SPI that nobody has.
    pub(crate) fn vcpu_of(&self, place: Place, n: usize) -> VcpuId {
        VcpuId::new(self.owner(place, n).unwrap_or(0) as u16)
    }

    fn delivery_changed(&mut self, place: Place, changed: u32, fx: &mut (impl Effects + ?Sized)) {
        if changed == 0 {
            return;
        }
        self.publish(place, changed, fx);
        let word = self.word(place);
        let interesting = word.pending() | word.loaded_pending | self.templated(place);
        self.kick_owners(place, changed & interesting, fx);
    }

    /// Forwarded interrupts got state without a physical interrupt behind it: EL2 must not deliver them by itself.
    #[inline(never)]
    fn mark_software(&mut self, place: Place, bits: u32, fx: &mut (impl Effects + ?Sized)) {
        let word = self.word_mut(place);
        let new = bits & !word.software;
        word.software |= new;
        if let Place::Shared(w) = place {
            self.software_words |= 1 << w;
        }
        if new != 0 {
            self.publish(place, new, fx);
        }
    }

    /// Gives back the templates that [`Self::mark_software`] took, once that state is gone.
    #[inline(never)]
    pub(crate) fn unmark_software(&mut self, place: Place, fx: &mut (impl Effects + ?Sized)) {
        let word = self.word(place);
        let mut done = word.software & !(word.latch | word.active & !word.held_active);
        for n in Bits(done) {
            if self.owner(place, n).is_some_and(|v| !self.banks[v].synced) && self.is_held(place, n) {
                done &= !(1 << n);
            }
        }
        let word = self.word_mut(place);
        word.software &= !done;
        if let (Place::Shared(w), 0) = (place, word.software) {
            self.software_words &= !(1 << w);
        }
        if done != 0 {
            self.publish(place, done, fx);
        }
    }

    /// Whether a vCPU's list registers may hold an SPI that it loaded. Private ones are asked for only when they do not.
    fn is_held(&self, place: Place, n: usize) -> bool {
        matches!(place, Place::Shared(w) if self.holder.get(32 * w + n).is_some_and(|holder| *holder != NOBODY))
    }

    /// An active interrupt that is pending again cannot stay linked to its physical one: a list register with HW = 1
    /// must not be both. From now on the physical interrupt may come again.
    #[inline(never)]
    pub(crate) fn unlink(&mut self, place: Place, bits: u32, fx: &mut (impl Effects + ?Sized)) {
        let word = self.word_mut(place);
        let linked = bits & word.held_active;
        word.held_active &= !linked;
        if linked != 0 {
            self.mark_software(place, linked, fx);
        }
        self.deactivate(place, linked, fx);
    }

    /// Deactivates the physical interrupts that these pending and active states hold; otherwise they would never come
    /// again.
    #[inline(never)]
    pub(crate) fn give_up(&mut self, place: Place, pending: u32, active: u32, fx: &mut (impl Effects + ?Sized)) {
        let word = self.word_mut(place);
        let held = word.held_pending & pending | word.held_active & active;
        word.held_pending &= !pending;
        word.held_active &= !active;
        self.deactivate(place, held, fx);
    }

    fn deactivate(&self, place: Place, bits: u32, fx: &mut (impl Effects + ?Sized)) {
        for n in Bits(bits) {
            fx.physical_deactivate(self.vcpu_of(place, n), self.physical(place, n));
        }
    }

    /// Clears state that a list register of a vCPU may hold which is not here: at its next `sync`.
    fn withdraw(&mut self, place: Place, pending: u32, active: u32, fx: &mut (impl Effects + ?Sized)) {
        let templated = self.templated(place);
        let word = self.word_mut(place);
        let out = (pending | active) & (word.loaded_pending | word.loaded_active | templated);
        word.loaded_pending &= !pending;
        word.loaded_active &= !active;
        let index = match place {
            Place::Private(_) => 0,
            Place::Shared(w) => w + 1,
        };
        for n in Bits(out) {
            let owner = self.owner(place, n);
            let Some(bank) = owner.and_then(|v| self.banks.get_mut(v)).filter(|bank| !bank.synced) else { continue };
            bank.drop_pending[index] |= pending & 1 << n;
            bank.drop_active[index] |= active & 1 << n;
            bank.drops = true;
        }
        self.kick_owners(place, out, fx);
    }
}
