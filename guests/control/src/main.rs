//! Takes the virtual timer's interrupt 1000 times a second, or as often as it is told, and accounts for every beat.
//!
//! Beat k is due at `start + k * period`: the deadline advances by exactly one period per interrupt, never from the
//! time of the handler, so lateness does not add up. A handler that comes more than one period late finds the next
//! deadline already passed and is called again at once: each period has its own interrupt. Every 2 s of the counter
//!
//! ```text
//! control: late <1us 1990 <2us 8 <64us 2
//! control: beats 5000 expected 5000 lost 0 doubled 0 max_late_us 40 writes 83 rings 2
//! ```
//!
//! - `beats`: timer interrupts taken while a deadline had passed. `expected`: periods that have passed, counted by
//!   the counter alone at an instant when interrupts are masked and no deadline waits.
//! - `lost`: expected and never taken. `doubled`: timer interrupts taken before their deadline. Both mean that
//!   someone lost or invented an interrupt; being late is neither.
//! - `late`: this interval's lateness of the handler, a count for each power of two of microseconds. `max_late_us`:
//!   since the start. `writes`: loads and stores of the console before this line, each one exit. `rings`: how often it rang
//!   its channel before this line, each one exit.
//!
//! Where it has a channel `ctl`, it takes orders from there ([`orders`]).
#![no_std]
#![no_main]

mod beat;
mod orders;

use beat::{Account, HZ, Lateness};
use orders::Orders;
use rt::arch::insn;
use rt::{console, cpu, println, timer};

/// Seconds between two reports.
const REPORT_S: u64 = 2;

rt::guest!(main = main, interrupt = beat::interrupt);

fn main() -> ! {
    println!("control: beat {HZ} Hz on vCPU {}, counter {} Hz", cpu::index(), timer::frequency());
    let mut orders = Orders::open();
    beat::start();

    let mut before = Lateness::NONE;
    let mut reported = 0;
    loop {
        insn::wfi();
        if let Some(orders) = &mut orders {
            orders.look();
        }
        if beat::count() < reported + REPORT_S * beat::rate() {
            continue;
        }
        if let Some(account) = cpu::without_interrupts(Account::at_rest) {
            reported = account.beats;
            print(&account, &mut before, orders.as_ref().map_or(0, Orders::rings));
        }
    }
}

fn print(account: &Account, before: &mut Lateness, rings: u64) {
    let late = Lateness::so_far();
    println!("control: {}", late.since(core::mem::replace(before, late)));
    println!(
        "control: beats {} expected {} lost {} doubled {} max_late_us {} writes {} rings {rings}",
        account.beats,
        account.expected,
        account.lost(),
        account.doubled,
        account.max_late_us,
        console::accesses()
    );
}
