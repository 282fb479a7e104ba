//! What each vCPU has for itself: its SGIs and PPIs, and its claim on SPIs.

use crate::word::Word;

/// INTIDs 32 and up come in this many words.
pub(crate) const SPI_WORDS: usize = abi::machine::SPIS as usize / 32;

/// One vCPU's share of a [`crate::Vgic`]. All of it is private to the model.
#[derive(Default, Debug)]
pub struct Bank {
    /// INTIDs 0 to 31.
    pub(crate) word: Word,
    /// GICv2: which vCPUs' SGI `n` is pending here (GICD_SPENDSGIR). A bit of `word.latch` says that any is.
    pub(crate) sources: [u8; 16],
    /// GICv2: who sent the active SGI `n`.
    pub(crate) active_source: [u8; 16],
    /// SPIs that go to this vCPU.
    pub(crate) mine: [u32; SPI_WORDS],
    /// SPIs that the last refill put into its list registers.
    pub(crate) resident: [u32; SPI_WORDS],
    /// One bit for each word of `resident` that is not zero.
    pub(crate) resident_words: u8,
    /// Whether the model has what the list registers had: between `sync` and `refill`.
    pub(crate) synced: bool,
    /// Cleared by another vCPU while a list register may have it: applied at the next `sync`. Word 0 is private.
    pub(crate) drop_pending: [u32; SPI_WORDS + 1],
    /// The same for active state.
    pub(crate) drop_active: [u32; SPI_WORDS + 1],
    /// Whether any of the two has a bit set.
    pub(crate) drops: bool,
    /// GICR_WAKER.ProcessorSleep.
    pub(crate) asleep: bool,
    /// What the last refill asked for.
    pub(crate) maintenance: crate::Maintenance,
}
