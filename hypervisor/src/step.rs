//! How far boot has come: each step has a number (docs/MANUAL.md has the table). `bulkhead.debug=1` in the firmware's boot
//! arguments prints them; where boot ends early and nobody may see why, the board's lamp blinks the number of the step.

use crate::hooks::{self, Hooks, Lamp, Registers};
use crate::timer;
use crate::uart;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use spin::Once;

unsafe extern "Rust" {
    safe static BULKHEAD_HOOKS: &'static Hooks;
}

/// The boot argument that has the steps printed.
pub const DEBUG: &str = "bulkhead.debug=1";
/// Milliseconds that the lamp is lit before a number: no code of the firmware's begins with one long flash.
const LONG_MS: u32 = 1000;
/// Milliseconds that it is on, and off, in a flash.
const FLASH_MS: u32 = 250;
/// Milliseconds between two numbers.
const PAUSE_MS: u32 = 1500;

/// Steps of a boot, as they are counted.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// EL2's own page tables are on.
    Memory = 1,
    /// The firmware's device tree was read, and is this board's.
    Tree,
    /// The console is open.
    Console,
    /// The manifest was read and breaks no rule.
    Manifest,
    /// The board has the cores, the RAM and the GIC that it needs.
    Board,
    /// Partitions have their memory and their tables.
    Partitions,
    /// All cores have started.
    Cores,
    /// Guests start.
    Guests,
}

static LAST: AtomicU8 = AtomicU8::new(0);
static IS_PRINTED: AtomicBool = AtomicBool::new(false);
static LAMP: Once<(Registers, &'static Lamp)> = Once::new();

/// Prints the steps from here on.
pub fn print() {
    IS_PRINTED.store(true, Ordering::Relaxed);
}

/// A step is done.
pub fn done(step: Step) {
    LAST.store(step as u8, Ordering::Relaxed);
    if IS_PRINTED.load(Ordering::Relaxed) {
        let ms = timer::now_ms();
        uart::emergency(format_args!("bulkhead: boot step {} of {}, {ms} ms\r\n", step as u8, Step::Guests as u8));
    }
}

/// Gets the board's lamp, and puts it out. At boot only.
pub fn open_lamp() {
    if let Some(lamp) = &BULKHEAD_HOOKS.lamp {
        hooks::change(lamp.prepare);
        LAMP.call_once(|| (Registers::map(lamp.page), lamp));
        switch(false);
    }
}

/// Lights the lamp or puts it out.
fn switch(is_on: bool) {
    if let Some((registers, lamp)) = LAMP.get() {
        let (offset, value) = if is_on { lamp.on } else { lamp.off };
        registers.write(offset, value);
    }
}

/// Boot is over: guests run from here on, and the lamp is lit.
pub fn started() {
    done(Step::Guests);
    switch(true);
}

/// Boot ends early: one long flash and then the number of the last step that was done, for ever. Returns where there is no
/// lamp, or guests have started.
#[cold]
pub fn blink() {
    let last = LAST.load(Ordering::Relaxed);
    while LAMP.is_completed() && last < Step::Guests as u8 {
        flash(LONG_MS);
        for _ in 0..last {
            flash(FLASH_MS);
        }
        wait(PAUSE_MS);
    }
}

fn flash(milliseconds: u32) {
    switch(true);
    wait(milliseconds);
    switch(false);
    wait(FLASH_MS);
}

fn wait(milliseconds: u32) {
    let end = timer::now() + timer::ticks(milliseconds);
    while timer::now() < end {
        core::hint::spin_loop();
    }
}
