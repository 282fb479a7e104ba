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
/// All of CM_PWMCTL.SRC.
const CRYSTAL_MASK: u32 = 0xf;
/// All of CM_PWMDIV: twelve bits and a fraction of twelve.
const DIVISOR_MASK: u32 = 0xff_ffff;
/// CM_PWMCTL.ENAB.
const ENABLE: u32 = 1 << 4;

/// Stops the clock: CM_PWMCTL, and then [`BUSY`] must go.
pub const PWM_STOP: u32 = PASSWORD | CRYSTAL;
/// What is written then, in this order: the divisor, the clock's start.
pub const PWM_STEPS: [(u64, u32); 2] =
    [(PWM_DIVIDER, PASSWORD | PWM_DIVISOR << 12), (PWM_CONTROL, PASSWORD | CRYSTAL | ENABLE)];

/// Whether the clock runs as it should, by the registers at these offsets.
pub fn is_pwm_set(read: impl Fn(u64) -> u32) -> bool {
    let is_on = read(PWM_CONTROL) & (CRYSTAL_MASK | ENABLE) == CRYSTAL | ENABLE;
    is_on && read(PWM_DIVIDER) & DIVISOR_MASK == PWM_DIVISOR << 12
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_runs_is_told_from_others() {
        let is_set = |control: u32, divider: u32| is_pwm_set(|at| if at == PWM_CONTROL { control } else { divider });
        assert!(is_set(0x91, 0x6000));
        assert!(!is_set(0x81, 0x6000) && !is_set(0x96, 0x6000) && !is_set(0x91, 0x5666) && !is_set(0, 0));
    }

    #[test]
    fn the_clock_is_stopped_divided_and_started_with_the_password() {
        assert_eq!(PWM_STOP, 0x5a00_0001);
        assert_eq!(PWM_STEPS, [(0xa4, 0x5a00_6000), (0xa0, 0x5a00_0011)]);
        assert_eq!(PWM_HZ, 9_000_000);
    }
}
