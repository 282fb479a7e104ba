//! Rules about what ends a partition's life and what follows: limit, back-off and watchdog.

use crate::{Board, Mistake, Name, Partition, Setting};
use abi::machine::{WATCHDOG, WATCHDOG_INTID, WATCHDOG_REFRESH, WATCHDOG_SIZE};

/// Both frames of the watchdog and what lies between them.
const WATCHDOG_SPAN: u64 = WATCHDOG_REFRESH.as_u64() + WATCHDOG_SIZE - WATCHDOG.as_u64();

/// Calls `report` for each rule about the lives of `partition` that is broken.
pub(super) fn validate(board: &Board, owner: &Name, partition: &Partition, report: &mut dyn FnMut(Mistake)) {
    let limit = partition.policy.limit;
    let or_none = |ms: u32| (ms != 0).then_some(ms);
    let settings = [
        (Setting::Restarts, limit.map(|limit| u32::from(limit.restarts))),
        (Setting::Window, limit.map(|limit| limit.window_ms)),
        (Setting::Backoff, or_none(partition.policy.backoff_ms)),
        (Setting::Watchdog, or_none(partition.watchdog_ms)),
    ];
    for (setting, value) in settings {
        if let Some(value) = value.filter(|value| !setting.range().contains(value)) {
            report(Mistake::SettingRange { partition: owner.clone(), setting, value });
        }
    }
    if partition.watchdog_ms != 0 && !partition.has_room_for(board, WATCHDOG, WATCHDOG_SPAN, WATCHDOG_INTID) {
        report(Mistake::WatchdogCovered { partition: owner.clone() });
    }
}
