//! Clocks of the small devices. Guests cannot reach the clock manager (CPRMAN), so their trees name fixed clocks.

/// I2C and SPI divide the core clock. This is its highest value: where the firmware lowers it, a bus is slower than
/// asked for, never faster.
pub const CORE_HZ: u32 = 500_000_000;
/// The PL011s' clock, as the firmware leaves it.
pub const UART_HZ: u32 = 48_000_000;
/// The crystal.
pub const CRYSTAL_HZ: u32 = 54_000_000;
/// What the crystal is divided by for the PWM blocks: a whole number, so that the clock has no jitter.
pub const PWM_DIVISOR: u32 = 6;
/// The PWM blocks' clock, once [`PWM_STEPS`] were written.
pub const PWM_HZ: u32 = CRYSTAL_HZ / PWM_DIVISOR;

/// Offset of CM_PWMCTL in the clock manager (BCM2711 ARM Peripherals, section 5.4).
pub const PWM_CONTROL: u64 = 0xa0;
/// Offset of CM_PWMDIV.
pub const PWM_DIVIDER: u64 = 0xa4;
/// CM_PWMCTL.BUSY: the clock runs, and its divisor must not change.
pub const BUSY: u32 = 1 << 7;

/// The upper byte that every write to the clock manager needs.
const PASSWORD: u32 = 0x5a << 24;
/// CM_PWMCTL.SRC: the crystal.
const CRYSTAL: u32 = 1;
/// CM_PWMCTL.ENAB.
const ENABLE: u32 = 1 << 4;

/// Stops the clock: CM_PWMCTL, and then [`BUSY`] must go.
pub const PWM_STOP: u32 = PASSWORD | CRYSTAL;
/// What is written then, in this order: the divisor, the clock's start.
pub const PWM_STEPS: [(u64, u32); 2] =
    [(PWM_DIVIDER, PASSWORD | PWM_DIVISOR << 12), (PWM_CONTROL, PASSWORD | CRYSTAL | ENABLE)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_stopped_divided_and_started_with_the_password() {
        assert_eq!(PWM_STOP, 0x5a00_0001);
        assert_eq!(PWM_STEPS, [(0xa4, 0x5a00_6000), (0xa0, 0x5a00_0011)]);
        assert_eq!(PWM_HZ, 9_000_000);
    }
}
