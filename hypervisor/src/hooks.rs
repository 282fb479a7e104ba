//! What a board needs done that its table of facts cannot say: a few stores to its registers at fixed points of boot.
//!
//! A platform's binary names its hooks in [`entry!`](crate::entry). One that a board does not have is not even called. A
//! hook drives no device: it puts registers where the driver behind it expects them.

use crate::arch::barrier;
use crate::memory;
use addr::{PAGE_SIZE, Pa};

/// What a platform does beside handing over its table.
pub struct Hooks {
    /// Before the first byte goes to the UART, on the boot core, no lock held. Not where the firmware's tree is of another
    /// board.
    pub before_console: Option<fn()>,
    /// The watchdog of the whole board.
    pub watchdog: Option<Watchdog>,
    /// A lamp for who has no serial line.
    pub lamp: Option<Lamp>,
}

/// A board's watchdog. Its registers are in one page.
pub struct Watchdog {
    /// The page.
    pub page: Pa,
    /// Seconds until it resets the board.
    pub seconds: u32,
    /// Whether it counts time. If not it is never fed, because that would start it.
    pub counts: fn(&Registers) -> bool,
    /// Starts it, or sets its time anew.
    pub feed: fn(&Registers),
    /// Resets the board.
    pub reset: fn(&Registers),
}

/// A lamp that is switched by stores to one register each.
pub struct Lamp {
    /// Makes the pin an output.
    pub prepare: &'static [Change],
    /// The page of its registers.
    pub page: Pa,
    /// Offset and value of the store that lights it.
    pub on: (u64, u32),
    /// Offset and value of the store that puts it out.
    pub off: (u64, u32),
}

/// One page of a device's registers, mapped.
#[derive(Clone, Copy)]
pub struct Registers(usize);

impl Registers {
    /// Maps the page at `pa`. At boot only.
    pub(crate) fn map(pa: Pa) -> Self {
        Self(memory::map_device(pa, PAGE_SIZE))
    }

    fn register(self, offset: u64) -> *mut u32 {
        assert!(offset < PAGE_SIZE && offset.is_multiple_of(4), "no register of 32 bits at {offset:#x}");
        (self.0 + offset as usize) as *mut u32
    }

    /// The register at `offset`, a multiple of 4 below the page's size.
    pub fn read(self, offset: u64) -> u32 {
        // SAFETY: `map` mapped the page, and the platform names one of its board's devices, which EL2 alone has.
        unsafe { self.register(offset).read_volatile() }
    }

    /// Stores to the register at `offset`, a multiple of 4 below the page's size.
    pub fn write(self, offset: u64, value: u32) {
        // SAFETY: as above.
        unsafe { self.register(offset).write_volatile(value) };
    }
}

impl Hooks {
    /// Of a board that needs nothing.
    pub const NONE: Self = Self { before_console: None, watchdog: None, lamp: None };
}

/// A register of 32 bits that gets new bits where `mask` has ones and keeps the others.
pub struct Change {
    /// Where it is.
    pub register: Pa,
    /// The bits that change.
    pub mask: u32,
    /// What they become.
    pub value: u32,
}

/// Makes the changes in order. At boot only: the registers get mapped.
pub fn change(changes: &[Change]) {
    for Change { register, mask, value } in changes {
        let address = memory::map_device(*register, 4) as *mut u32;
        // SAFETY: the platform names registers of its board, as in its table, and this one was mapped just above. No other
        // core runs yet.
        let old = unsafe { address.read_volatile() };
        // SAFETY: as above.
        unsafe { address.write_volatile(old & !mask | value) };
    }
    // Different devices may see stores of device memory in another order.
    barrier::dsb_sy();
}
