//! 32 interrupts side by side: one bit of each property to a word, as the GIC's registers have them.

/// Yields the numbers of the set bits, lowest first.
#[derive(Clone, Copy)]
pub(crate) struct Bits(pub u32);

impl Iterator for Bits {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let lowest = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(lowest as usize)
    }
}

/// State of 32 interrupts.
///
/// *Held* means that the physical interrupt behind a forwarded one is active: EL2 acknowledged it. It is held by the
/// pending or by the active state, never both, for there is one physical interrupt.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Word {
    /// GICD_ISENABLER.
    pub enabled: u32,
    /// GICD_IGROUPR.
    pub group1: u32,
    /// GICD_ICFGR bit 1 of each pair.
    pub edge: u32,
    /// Pending by an edge or by software.
    pub latch: u32,
    /// Input of an emulated device.
    pub line: u32,
    /// Active, and in no list register.
    pub active: u32,
    /// Forwarded from hardware. Set up once, survives a reset.
    pub forwarded: u32,
    /// Pending because the physical interrupt is active.
    pub held_pending: u32,
    /// Active; ending it deactivates the physical interrupt.
    pub held_active: u32,
    /// Forwarded, but software state exists that has no physical interrupt behind it: no template.
    pub software: u32,
    /// Pending in a list register at the last refill.
    pub loaded_pending: u32,
    /// Active in a list register at the last refill.
    pub loaded_active: u32,
    /// `latch` at the last load; decides whether what comes back pending is so without its line.
    pub loaded_latch: u32,
    /// GICD_IPRIORITYR.
    pub priority: [u8; 32],
}

impl Word {
    /// First-boot state. `edge` and `enabled` are what the version fixes.
    pub fn reset(&mut self, edge: u32, enabled: u32) {
        *self = Self { forwarded: self.forwarded, edge, enabled, ..Self::default() };
    }
    /// What is pending in the model.
    #[inline]
    pub fn pending(&self) -> u32 {
        self.latch | self.held_pending | self.line & !self.edge
    }
    /// What the distributor would forward if it were pending: enabled, and so is its group.
    #[inline]
    pub fn forwardable(&self, groups: Groups) -> u32 {
        self.enabled & (self.group1 & groups.one | !self.group1 & groups.zero)
    }
    /// Pending and forwardable.
    #[inline]
    pub fn deliverable(&self, groups: Groups) -> u32 {
        self.pending() & self.forwardable(groups)
    }
    /// Whether nothing here could ever want a list register.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.latch | self.held_pending | self.line | self.active == 0
    }
}

/// The two group enables of GICD_CTLR, spread over a word.
#[derive(Clone, Copy)]
pub(crate) struct Groups {
    zero: u32,
    one: u32,
}

impl Groups {
    #[inline]
    pub fn from_ctlr(ctlr: u32) -> Self {
        Self { zero: (ctlr & 1).wrapping_neg(), one: (ctlr >> 1 & 1).wrapping_neg() }
    }
}
