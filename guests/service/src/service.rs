//! The service at work: what is set up in which order, and the loop.

use crate::arch::insn;
use crate::console::Console;
use crate::events::Events;
use crate::gic::Gic;
use crate::hypercall::Hello;
use crate::kept::Kept;
use crate::watchdog::Watchdog;
use crate::{clock, heap, say, timer};
use abi::machine;
use abi::plan::{DOORBELL_INTID, Plan};

/// Everything that the loop turns over.
struct Service {
    gic: Gic,
    events: Events,
    console: Console,
    watchdog: Watchdog,
}

/// Sets everything up and serves for ever.
pub fn run(plan: &'static Plan, hello: &Hello) -> ! {
    let watchdog = Watchdog::start(plan.watchdog_ms);
    // SAFETY: the plan gives this region to the service alone, map.rs maps it, and this is the only call.
    let kept = unsafe { Kept::open(&plan.kept, hello.restarts == 0) };
    let kept = kept.unwrap_or_else(|| panic!("the kept memory {} is too small", plan.kept));
    let gic = Gic::start();
    gic.enable_edge(DOORBELL_INTID);
    gic.enable(machine::VIRTUAL_TIMER);
    // SAFETY: EL2 named the pages, and map.rs maps them.
    let events = unsafe { Events::new(hello) };
    clock::set(plan.rtc);
    let console = Console::take(plan, kept.focus());
    gic.enable(console.uart().intid());
    let (used, total) = heap::usage();
    say!("life {}: {}K of {}K in use", hello.restarts + 1, used >> 10, total >> 10);
    Service { gic, events, console, watchdog }.serve()
}

impl Service {
    fn serve(&mut self) -> ! {
        loop {
            self.watchdog.feed(timer::now());
            if !self.turn() {
                self.sleep();
            }
        }
    }

    /// Does what there is to do. Whether there may be more.
    fn turn(&mut self) -> bool {
        let news = self.events.look();
        if news.console {
            self.console.notice();
        }
        if news.any {
            self.console.set_over(self.events.is_over());
        }
        self.console.pump(timer::now()) | news.any
    }

    /// Waits for an interrupt, unless something happened meanwhile.
    fn sleep(&mut self) {
        self.events.announce_sleep();
        if !self.events.has_news() {
            timer::wake_at(earliest(self.watchdog.deadline(), self.console.deadline()));
            insn::wfi();
            while self.take_interrupt() {}
        }
        self.events.announce_awake();
    }

    fn take_interrupt(&mut self) -> bool {
        let console = &mut self.console;
        self.gic.take(|intid| {
            if intid == machine::VIRTUAL_TIMER {
                timer::wake_at(None);
            } else if intid == console.uart().intid() {
                console.uart().acknowledge();
                console.notice();
            }
        })
    }
}

fn earliest(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
