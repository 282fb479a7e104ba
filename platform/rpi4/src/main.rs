//! The EL2 binary for rpi4: hands the board's facts and its hooks to the hypervisor.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod pins;
#[cfg(target_os = "none")]
mod watchdog;

#[cfg(target_os = "none")]
hypervisor::entry!(
    platform_rpi4::BOARD,
    hypervisor::Hooks {
        before_console: Some(pins::to_console),
        watchdog: Some(watchdog::WATCHDOG),
        lamp: Some(watchdog::ACT),
    }
);

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this binary boots at EL2: build it for aarch64-unknown-none-softfloat");
}
