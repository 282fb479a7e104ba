//! Rules about what ends a partition's life and what follows: limit, back-off and watchdog.

use crate::{Board, Mistake, Name, Partition, Setting};
use abi::machine::{WATCHDOG, WATCHDOG_INTID, WATCHDOG_REFRESH, WATCHDOG_SIZE};

/// Both frames of the watchdog and what lies between them.
const WATCHDOG_SPAN: u64 = WATCHDOG_REFRESH.as_u64() + WATCHDOG_SIZE - WATCHDOG.as_u64();

/// Calls `report` for each rule about the lives of `partition` that is broken.
pub(super) fn validate(board: &Board, owner: &Name, partition: &Partition, report: &mut dyn FnMut(Mistake)) {
    let limit = partition.policy.limit;
    let has_watchdog = partition.watchdog_ms != 0;
    let settings = [
        (Setting::Restarts, limit.map(|limit| u32::from(limit.restarts))),
        (Setting::Window, limit.map(|limit| limit.window_ms)),
        (Setting::Backoff, Some(partition.policy.backoff_ms)),
        (Setting::Watchdog, has_watchdog.then_some(partition.watchdog_ms)),
    ];
    for (setting, value) in settings {
        if let Some(value) = value.filter(|value| !setting.range().contains(value)) {
            report(Mistake::SettingRange { partition: owner.clone(), setting, value });
        }
    }
    if has_watchdog && !partition.has_room_for(board, WATCHDOG, WATCHDOG_SPAN, WATCHDOG_INTID) {
        report(Mistake::WatchdogCovered { partition: owner.clone() });
    }
}
