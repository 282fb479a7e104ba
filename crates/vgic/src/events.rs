//! What happens to the model from outside: SGIs, lines of emulated devices, physical interrupts.

use crate::model::Place;
use crate::{Effects, Version, Vgic};
use abi::{IntId, VcpuId};

impl Vgic<'_> {
    /// Makes SGI `intid` pending for `vcpu`. GICv2 keeps one pending state for each `source`. Any other interrupt
    /// becomes pending as by GICD_ISPENDR. Unknown vCPUs and INTIDs are nobody's.
    pub fn make_pending(&mut self, vcpu: VcpuId, intid: IntId, source: VcpuId, fx: &mut (impl Effects + ?Sized)) {
        let Some(v) = self.index(vcpu) else { return };
        let Some((place, n)) = self.place(v, intid) else { return };
        if self.version == Version::V2 && intid.is_sgi() {
            self.add_sources(v, n, 1 << (source.number() % 8), fx);
        } else {
            self.set_pending(place, 1 << n, fx);
        }
    }

    /// GICv2: SGI `n` is pending from these vCPUs too (GICD_SPENDSGIR).
    pub(crate) fn add_sources(&mut self, v: usize, n: usize, sources: u8, fx: &mut (impl Effects + ?Sized)) {
        let groups = self.groups();
        let bank = &mut self.banks[v];
        let (Some(slot), 1..) = (bank.sources.get_mut(n), sources) else { return };
        *slot |= sources;
        bank.word.latch |= 1 << n;
        if bank.word.deliverable(groups) >> n & 1 != 0 {
            self.kick(v, fx);
        }
    }

    /// GICv2: SGI `n` is not pending from these vCPUs any more (GICD_CPENDSGIR).
    pub(crate) fn remove_sources(&mut self, v: usize, n: usize, sources: u8) {
        let bank = &mut self.banks[v];
        let Some(slot) = bank.sources.get_mut(n) else { return };
        *slot &= !sources;
        if *slot == 0 {
            bank.word.latch &= !(1 << n);
        }
    }

    /// `vcpu`'s core leaves the guest (power-off, stop), after a `sync`: its own physical interrupts are deactivated, as
    /// their devices are reset with the core, and what they made pending or active is forgotten. Everything else stays, as
    /// in a redistributor; the list registers are not refilled until the vCPU starts again.
    pub fn power_off(&mut self, vcpu: VcpuId, fx: &mut (impl Effects + ?Sized)) {
        let Some(v) = self.index(vcpu) else { return };
        let place = Place::Private(v);
        self.give_up(place, u32::MAX, u32::MAX, fx);
        let word = self.word_mut(place);
        word.latch &= !word.forwarded;
        word.active &= !word.forwarded;
        self.unmark_software(place, fx);
    }

    /// The line of an emulated device's SPI. An edge-triggered one becomes pending when it rises; a level-sensitive one
    /// is pending while it is high. Private and forwarded INTIDs have no such line.
    pub fn set_level(&mut self, intid: IntId, level: bool, fx: &mut (impl Effects + ?Sized)) {
        let Some((place @ Place::Shared(_), n)) = self.place(0, intid) else { return };
        let groups = self.groups();
        let (bit, word) = (1 << n, self.word_mut(place));
        if word.forwarded & bit != 0 || (word.line & bit != 0) == level {
            return;
        }
        word.line ^= bit;
        word.latch |= word.line & word.edge & bit;
        let wanted = word.deliverable(groups) | word.loaded_pending | word.loaded_active;
        self.mark_busy(place);
        self.kick_owners(place, bit & wanted, fx);
    }

    /// EL2 acknowledged this physical interrupt, so it is active, and has not put it into a list register. It is pending
    /// for the guest until the guest takes it or gives it up, however long it keeps it disabled. `vcpu` is the vCPU of
    /// the core that acknowledged. One that is not forwarded is deactivated at once.
    pub fn forwarded(&mut self, vcpu: VcpuId, physical: IntId, fx: &mut (impl Effects + ?Sized)) {
        let found = self.index(vcpu).zip(self.virtual_of(physical)).and_then(|(v, intid)| self.place(v, intid));
        let Some((place, n)) = found else {
            fx.physical_deactivate(vcpu, physical);
            return;
        };
        let groups = self.groups();
        let word = self.word_mut(place);
        word.held_pending |= 1 << n;
        let deliverable = word.deliverable(groups) & 1 << n;
        self.mark_busy(place);
        self.kick_owners(place, deliverable, fx);
    }
}
