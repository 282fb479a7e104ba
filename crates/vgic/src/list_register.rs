//! List registers: what the virtual CPU interface offers the guest (IHI 0069 `ICH_LR<n>_EL2`, IHI 0048 `GICH_LR<n>`).

use abi::IntId;

/// State of the interrupt in a list register.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// The list register is free.
    #[default]
    Invalid = 0,
    /// Waiting for the guest.
    Pending = 1,
    /// Acknowledged by the guest, not yet deactivated.
    Active = 2,
    /// Active and waiting again. Never with `hardware`.
    PendingActive = 3,
}

impl State {
    const fn from_bits(bits: u64) -> Self {
        match bits & 3 {
            0 => Self::Invalid,
            1 => Self::Pending,
            2 => Self::Active,
            _ => Self::PendingActive,
        }
    }
    pub(crate) const fn is_pending(self) -> bool {
        self as u8 & 1 != 0
    }
    pub(crate) const fn is_active(self) -> bool {
        self as u8 & 2 != 0
    }
}

/// One list register, the same for both GIC versions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListRegister {
    /// The guest's interrupt number.
    pub intid: IntId,
    /// What the guest still has to do with it.
    pub state: State,
    /// 0 is the most urgent; GICv2 keeps the upper five bits.
    pub priority: u8,
    /// Group 1 (otherwise group 0).
    pub group1: bool,
    /// The physical interrupt that the guest's deactivation deactivates.
    pub hardware: Option<IntId>,
    /// Maintenance interrupt when the guest deactivates it. Not with `hardware`.
    pub eoi_maintenance: bool,
    /// The vCPU that sent this SGI; GICv2 only, otherwise 0.
    pub source: u8,
}

impl ListRegister {
    /// A free list register: all bits zero in both formats.
    pub const EMPTY: Self = Self {
        intid: IntId::new(0),
        state: State::Invalid,
        priority: 0,
        group1: false,
        hardware: None,
        eoi_maintenance: false,
        source: 0,
    };

    /// `ICH_LR<n>_EL2`: State 63:62, HW 61, Group 60, Priority 55:48, pINTID 44:32 or EOI 41, vINTID 31:0.
    pub const fn to_v3(self) -> u64 {
        let link = match self.hardware {
            Some(physical) => 1 << 61 | (physical.number() as u64 & 0x1fff) << 32,
            None => (self.eoi_maintenance as u64) << 41,
        };
        (self.state as u64) << 62
            | link
            | (self.group1 as u64) << 60
            | (self.priority as u64) << 48
            | self.intid.number() as u64
    }

    /// The inverse of [`Self::to_v3`].
    pub const fn from_v3(word: u64) -> Self {
        let linked = word & 1 << 61 != 0;
        Self {
            intid: IntId::new(word as u32),
            state: State::from_bits(word >> 62),
            priority: (word >> 48) as u8,
            group1: word & 1 << 60 != 0,
            hardware: if linked { Some(IntId::new((word >> 32) as u32 & 0x1fff)) } else { None },
            eoi_maintenance: !linked && word & 1 << 41 != 0,
            source: 0,
        }
    }

    /// `GICH_LR<n>`: HW 31, Grp1 30, State 29:28, Priority 27:23, PhysicalID 19:10 or EOI 19 and CPUID 12:10, VirtualID
    /// 9:0.
    pub const fn to_v2(self) -> u32 {
        let link = match self.hardware {
            Some(physical) => 1 << 31 | (physical.number() & 0x3ff) << 10,
            None => (self.eoi_maintenance as u32) << 19 | (self.source as u32 & 7) << 10,
        };
        link | (self.group1 as u32) << 30
            | (self.state as u32) << 28
            | (self.priority as u32 >> 3) << 23
            | self.intid.number() & 0x3ff
    }

    /// The inverse of [`Self::to_v2`].
    pub const fn from_v2(word: u32) -> Self {
        let linked = word & 1 << 31 != 0;
        Self {
            intid: IntId::new(word & 0x3ff),
            state: State::from_bits(word as u64 >> 28),
            priority: (word >> 20 & 0xf8) as u8,
            group1: word & 1 << 30 != 0,
            hardware: if linked { Some(IntId::new(word >> 10 & 0x3ff)) } else { None },
            eoi_maintenance: !linked && word & 1 << 19 != 0,
            source: if linked { 0 } else { (word >> 10 & 7) as u8 },
        }
    }
}

/// Most list registers that any GIC has.
const MAX: usize = 16;

/// A copy of one vCPU's list registers: as many as the hardware has.
#[derive(Clone, Debug)]
pub struct ListRegisters {
    registers: [ListRegister; MAX],
    len: u8,
    /// One bit for each that is not free; the others' contents mean nothing.
    occupied: u16,
}

impl ListRegisters {
    /// `count` free ones, at most 16. The model needs at least one.
    pub const fn new(count: usize) -> Self {
        let len = if count < MAX { count } else { MAX };
        Self { registers: [ListRegister::EMPTY; MAX], len: len as u8, occupied: 0 }
    }
    /// How many there are.
    pub const fn len(&self) -> usize {
        self.len as usize
    }
    /// Whether all are free.
    pub const fn is_empty(&self) -> bool {
        self.occupied == 0
    }
    /// One bit for each that is not free.
    pub const fn occupied(&self) -> u16 {
        self.occupied
    }
    /// List register `i`; a free one if there is no such.
    pub fn get(&self, i: usize) -> ListRegister {
        match self.registers.get(i) {
            Some(register) if self.occupied >> i & 1 != 0 => *register,
            _ => ListRegister::EMPTY,
        }
    }
    /// Replaces list register `i`; nothing happens if there is no such.
    pub fn set(&mut self, i: usize, register: ListRegister) {
        let Some(slot) = self.registers.get_mut(i).filter(|_| i < self.len as usize) else { return };
        if matches!(register.state, State::Invalid) {
            self.occupied &= !(1 << i);
        } else {
            *slot = register;
            self.occupied |= 1 << i;
        }
    }
    pub(crate) fn clear(&mut self) {
        self.occupied = 0;
    }
}

/// What must raise the maintenance interrupt until the next refill.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Maintenance {
    /// Pending interrupts wait for a list register: ask when none of them is pending any more (NPIE), or when all but
    /// one are free (UIE), which is as good while the guest ends each interrupt before it takes a less urgent one.
    pub underflow: bool,
    /// Active interrupts are in no list register: ask when the guest ends one of them (LRENPIE).
    pub eoi_without_register: bool,
}
