//! The table of all scenarios, by theme.

mod beat;
mod boot_failures;
mod channel;
mod clone;
mod console;
mod guests;
mod isolation;
mod life;
mod linux;
mod network;
mod panic;
pub mod restarts;
mod sd;
mod service;
pub mod speed;
mod torture;

use crate::scenario::Scenario;

/// Every scenario there is.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    let themes = [
        beat::SCENARIOS,
        boot_failures::SCENARIOS,
        clone::SCENARIOS,
        console::SCENARIOS,
        guests::SCENARIOS,
        isolation::SCENARIOS,
        life::SCENARIOS,
        life::linux::SCENARIOS,
        linux::SCENARIOS,
        panic::SCENARIOS,
        restarts::SCENARIOS,
        sd::SCENARIOS,
        speed::SCENARIOS,
        torture::SCENARIOS,
    ];
    let groups = network::SCENARIOS.iter().chain(service::SCENARIOS).chain(channel::SCENARIOS);
    themes.into_iter().chain(groups.copied()).flatten()
}
