//! Taking over what a vCPU's list registers hold.

use crate::bank::SPI_WORDS;
use crate::model::{NOBODY, Place, SGIS};
use crate::word::Bits;
use crate::{Effects, ListRegister, ListRegisters, Version, Vgic};
use abi::VcpuId;

impl Vgic<'_> {
    /// The list registers of `vcpu` are the truth for what they hold, and what the model had loaded and is no longer there
    /// is done. `eoi_count` (EOIcount of the hypervisor control register) tells how many interrupts the guest ended that
    /// were in no list register. Afterwards the model holds everything of this vCPU, and its list registers must be
    /// written by [`Vgic::refill`].
    #[inline]
    pub fn sync(&mut self, vcpu: VcpuId, registers: &ListRegisters, eoi_count: u8, fx: &mut (impl Effects + ?Sized)) {
        let Some(bank) = self.banks.get_mut(vcpu.index()) else { return };
        let v = vcpu.index();
        bank.word.loaded_pending = 0;
        bank.word.loaded_active = 0;
        bank.synced = true;
        let software = u32::from(self.software_words) | bank.word.software;
        let nothing = registers.is_empty() && eoi_count == 0 && bank.resident_words == 0;
        if !nothing || software != 0 || bank.drops {
            self.take_over(v, registers, eoi_count, fx);
        }
    }

    #[inline(never)]
    fn take_over(&mut self, v: usize, registers: &ListRegisters, eoi_count: u8, fx: &mut (impl Effects + ?Sized)) {
        if eoi_count != 0 {
            self.end_spilled(v, eoi_count, fx);
        }
        let mut touched = self.release(v);
        for i in Bits(u32::from(registers.occupied())) {
            let register = registers.get(i);
            if let Some((place, n)) = self.place(v, register.intid) {
                self.fold(v, place, n, register, fx);
                if let Place::Shared(w) = place {
                    touched[w] |= 1 << n;
                }
            }
        }
        let bank = &mut self.banks[v];
        if bank.drops {
            (bank.drop_pending, bank.drop_active) = Default::default();
            bank.drops = false;
        }
        self.restore_templates(v, fx);
        self.pass_on(v, &touched, fx);
    }

    /// The guest ended `count` active interrupts that were in no list register: the most urgent ones, for those were
    /// acknowledged last.
    #[cold]
    #[inline(never)]
    fn end_spilled(&mut self, v: usize, count: u8, fx: &mut (impl Effects + ?Sized)) {
        // An interrupt that the guest deactivated by register and then ended counts as well.
        let spilled = self.banks[v].maintenance.eoi_without_register;
        for _ in 0..if spilled { count.min(31) } else { 0 } {
            let Some((place, n)) = self.most_urgent_active(v) else { return };
            self.give_up(place, 0, 1 << n, fx);
            self.word_mut(place).active &= !(1 << n);
            if let Place::Shared(w) = place {
                self.holder[32 * w + n] = NOBODY;
            }
        }
    }

    fn most_urgent_active(&self, v: usize) -> Option<(Place, usize)> {
        let places = core::iter::once(Place::Private(v)).chain(Bits(u32::from(self.busy)).map(Place::Shared));
        let active = places.flat_map(|place| Bits(self.word(place).active).map(move |n| (place, n)));
        let own = active.filter(|(place, n)| self.owner(*place, *n) == Some(v));
        own.min_by_key(|(place, n)| self.word(*place).priority[*n])
    }

    /// This vCPU holds none of the SPIs that were loaded; returns which those are.
    fn release(&mut self, v: usize) -> [u32; SPI_WORDS] {
        let bank = &mut self.banks[v];
        let words = core::mem::take(&mut bank.resident_words);
        let resident = if words == 0 { [0; SPI_WORDS] } else { core::mem::take(&mut bank.resident) };
        for w in Bits(u32::from(words)) {
            self.spis[w].loaded_pending &= !resident[w];
            self.spis[w].loaded_active &= !resident[w];
            for n in Bits(resident[w]) {
                if usize::from(self.holder[32 * w + n]) == v {
                    self.holder[32 * w + n] = NOBODY;
                }
            }
        }
        resident
    }

    fn fold(&mut self, v: usize, place: Place, n: usize, register: ListRegister, fx: &mut (impl Effects + ?Sized)) {
        let (bit, bank) = (1_u32 << n, &mut self.banks[v]);
        // An SGI may have got there without the model.
        let (index, sgis) = match place {
            Place::Private(_) => (0, SGIS),
            Place::Shared(w) => (w + 1, 0),
        };
        let pending = register.state.is_pending() && bank.drop_pending[index] & bit == 0;
        let active = register.state.is_active() && bank.drop_active[index] & bit == 0;
        let source = usize::from(register.source % 8);
        if self.version == Version::V2 && register.intid.is_sgi() {
            bank.sources[n] |= u8::from(pending) << source;
            if active {
                bank.active_source[n] = source as u8;
            }
        }
        if let (Place::Shared(w), true) = (place, active) {
            self.holder[32 * w + n] = v as u8;
        }
        let (linked, word) = (register.hardware.is_some(), self.word_mut(place));
        if active {
            word.active |= bit;
            word.held_active |= if linked { bit } else { 0 };
        }
        if pending && linked {
            word.held_pending |= bit;
        } else if pending {
            word.latch |= bit & (word.loaded_latch | sgis);
        }
        let unlinked = word.latch & word.held_active & bit;
        self.mark_busy(place);
        if unlinked != 0 {
            self.unlink(place, unlinked, fx);
        }
        if let (Some(physical), false) = (register.hardware, pending || active) {
            fx.physical_deactivate(VcpuId::new(v as u16), physical);
        }
    }

    fn restore_templates(&mut self, v: usize, fx: &mut (impl Effects + ?Sized)) {
        if self.banks[v].word.software != 0 {
            self.unmark_software(Place::Private(v), fx);
        }
        for w in Bits(u32::from(self.software_words)) {
            self.unmark_software(Place::Shared(w), fx);
        }
    }

    /// SPIs that this vCPU held and that are pending for another now.
    fn pass_on(&self, v: usize, touched: &[u32; SPI_WORDS], fx: &mut (impl Effects + ?Sized)) {
        for (w, touched) in touched.iter().enumerate() {
            let elsewhere = touched & !self.banks[v].mine[w];
            if elsewhere != 0 {
                self.kick_owners(Place::Shared(w), elsewhere & self.spis[w].deliverable(self.groups()), fx);
            }
        }
    }
}
