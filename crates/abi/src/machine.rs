//! The one guest machine: the memory map of QEMU's `virt` board, the same on every board.
//!
//! Images made for QEMU `virt` find what they expect; a device tree made from these constants describes it.

use crate::{IntId, channel};
use addr::Ipa;

/// Distributor of either GIC version (trapped), 64 KiB on GICv3, 4 KiB on GICv2.
pub const GICD: Ipa = Ipa::new(0x0800_0000);
/// Bytes of the distributor's range.
pub const GICD_SIZE: u64 = 0x1_0000;
/// GICv2 CPU interface: the hardware's GICV mapped in.
pub const GICC: Ipa = Ipa::new(0x0801_0000);
/// Bytes of the CPU interface: two pages, GICC_DIR is the second.
pub const GICC_SIZE: u64 = 0x2000;
/// GICv3 redistributors (trapped): vCPU n at `GICR + n * GICR_STRIDE`.
pub const GICR: Ipa = Ipa::new(0x080a_0000);
/// Bytes of one redistributor: RD frame and SGI frame, 64 KiB each.
pub const GICR_STRIDE: u64 = 0x2_0000;
/// The two flash banks of QEMU's `virt`: here empty, they read as 0 and ignore writes. No code runs from them.
pub const FLASH: Ipa = Ipa::new(0);
/// Bytes of the flash banks.
pub const FLASH_SIZE: u64 = 0x0800_0000;
/// PL011 console.
pub const UART: Ipa = Ipa::new(0x0900_0000);
/// Bytes of the console's range.
pub const UART_SIZE: u64 = 0x1000;
/// The console's interrupt, level.
pub const UART_INTID: IntId = IntId::spi(1);
/// PL031 clock. Only where there is a service partition, which knows the time of day.
pub const RTC: Ipa = Ipa::new(0x0901_0000);
/// Bytes of the clock's range.
pub const RTC_SIZE: u64 = 0x1000;
/// The clock's interrupt, level.
pub const RTC_INTID: IntId = IntId::spi(2);
/// PL061 with the power key.
pub const GPIO: Ipa = Ipa::new(0x0903_0000);
/// Bytes of the PL061's range.
pub const GPIO_SIZE: u64 = 0x1000;
/// The PL061's interrupt, level.
pub const GPIO_INTID: IntId = IntId::spi(7);
/// The PL061's pin that the power key pulls high.
pub const POWER_KEY_PIN: u8 = 3;
/// Most plain pins of the board that a partition has: the PL061's others.
pub const MAX_LINES: usize = 7;

/// The PL061's pin that stands for a partition's plain pin `n` of the board, counted upwards by the board's numbers.
pub const fn line_pin(n: u8) -> u8 {
    n + (n >= POWER_KEY_PIN) as u8
}

/// SBSA generic watchdog: the control frame. Only in partitions whose system file asks for one.
pub const WATCHDOG: Ipa = Ipa::new(0x090d_0000);
/// SBSA generic watchdog: the refresh frame.
pub const WATCHDOG_REFRESH: Ipa = Ipa::new(0x090e_0000);
/// Bytes of each of the watchdog's frames.
pub const WATCHDOG_SIZE: u64 = 0x1000;
/// The watchdog's first signal (WS0), level.
pub const WATCHDOG_INTID: IntId = IntId::spi(10);
/// virtio-mmio transports: the partition's device n at `VIRTIO + n * VIRTIO_STRIDE`.
pub const VIRTIO: Ipa = Ipa::new(0x0a00_0000);
/// Bytes from one transport to the next: a page each, which its guest may only read.
pub const VIRTIO_STRIDE: u64 = 0x1000;
/// Memory of channels: the system's channel n at `CHANNELS + n * channel::MAX_SIZE`. Normal memory, for both ends.
pub const CHANNELS: Ipa = Ipa::new(0x0b20_0000);
/// First byte of guest RAM.
pub const RAM: Ipa = Ipa::new(0x4000_0000);
/// First byte of what a partition with a window has besides. The window is at [`RAM`].
pub const MAIN_RAM: Ipa = Ipa::new(0x8000_0000);
/// Behind the last device of the guest machine. RAM of a partition that sees physical addresses is nowhere below: EL2
/// emulates the devices there too.
pub const DEVICES_END: Ipa = channel_ipa(channel::MAX_CHANNELS);
/// Width of the guest's physical address space in bits where the CPU allows it.
pub const IPA_BITS: u32 = 40;
/// SPIs that the guest's distributor implements: INTIDs 32 to 287, as on QEMU `virt`.
pub const SPIS: u32 = 256;

/// Interrupt of the partition's virtio device `n`, edge.
pub const fn virtio_intid(n: u32) -> IntId {
    IntId::spi(16 + n)
}

/// Where a guest sees the memory of the system's channel `n`.
pub const fn channel_ipa(n: usize) -> Ipa {
    Ipa::new(CHANNELS.as_u64() + n as u64 * channel::MAX_SIZE)
}

/// Whether `ipa` is where a guest has its channels.
pub const fn is_in_channels(ipa: Ipa) -> bool {
    ipa.as_u64().wrapping_sub(CHANNELS.as_u64()) < channel::MAX_CHANNELS as u64 * channel::MAX_SIZE
}

/// Interrupt of the system's channel `n`, edge: the other end has rung.
pub const fn channel_intid(n: usize) -> IntId {
    assert!(n < channel::MAX_CHANNELS);
    IntId::spi(48 + n as u32)
}

/// Virtual timer of EL1: PPI 11, the guest's own.
pub const VIRTUAL_TIMER: IntId = IntId::ppi(11);
/// Physical timer of EL1: PPI 14, the guest's own.
pub const PHYSICAL_TIMER: IntId = IntId::ppi(14);
/// Physical timer of EL2: PPI 10, the hypervisor's.
pub const HYPERVISOR_TIMER: IntId = IntId::ppi(10);
/// Performance monitor overflow: PPI 7, the guest's own.
pub const PMU: IntId = IntId::ppi(7);
/// Maintenance interrupt of the virtual CPU interface: PPI 9, the hypervisor's.
pub const MAINTENANCE: IntId = IntId::ppi(9);

/// MPIDR affinity (Aff1 << 8 | Aff0) of vCPU `n`: 16 to a cluster on GICv3, 8 on GICv2, whose masks have 8 bits.
pub const fn mpidr(n: u16, per_cluster: u16) -> u64 {
    ((n / per_cluster) as u64) << 8 | (n % per_cluster) as u64
}
