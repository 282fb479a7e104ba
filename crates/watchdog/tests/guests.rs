//! The model as Linux's driver drives it (`arm,sbsa-gwdt`), as the specification describes it, and as a hostile guest
//! does.

use proptest::prelude::*;
use watchdog::Frame::{Control, Refresh};
use watchdog::register::*;
use watchdog::{Expiry, Frame, Watchdog};

/// Counter ticks in a second, as on QEMU.
const HZ: u64 = 62_500_000;

/// Linux's driver: the accesses that its probe and its file operations make, with one period as half the timeout
/// (`action=0`, the default: WS0 is ignored) or as the whole one (`action=1`: WS0 is a panic).
struct Linux {
    watchdog: Watchdog,
    action: u64,
}

impl Linux {
    fn read(&self, register: u64, now: u64) -> u64 {
        self.watchdog.read(Control, register, 4, now)
    }
    /// Reads 64 bits as two words, low one first.
    fn read_pair(&self, register: u64, now: u64) -> u64 {
        self.read(register, now) | self.read(register + 4, now) << 32
    }
    fn write(&mut self, register: u64, value: u64, now: u64) {
        self.watchdog.write(Control, register, 4, value, now);
    }
    fn set_timeout(&mut self, seconds: u64, now: u64) {
        let period = if self.action == 1 { HZ * seconds } else { HZ / 2 * seconds };
        self.write(WOR, period & 0xffff_ffff, now);
        self.write(WOR + 4, period >> 32, now);
    }
    fn keepalive(&mut self, now: u64) {
        self.watchdog.write(Refresh, WRR, 4, 0, now);
    }
    fn start(&mut self, now: u64) {
        self.write(WCS, WCS_EN.into(), now);
    }
    fn stop(&mut self, now: u64) {
        self.write(WCS, 0, now);
    }
    fn time_left(&self, now: u64) -> u64 {
        let is_first_period = self.action == 0 && self.read(WCS, now) & u64::from(WCS_WS0) == 0;
        let second = if is_first_period { self.read_pair(WOR, now) } else { 0 };
        second.wrapping_add(self.read_pair(WCV, now).wrapping_sub(now)) / HZ
    }
    fn probe(action: u64, timeout: u64, now: u64) -> Self {
        let mut linux = Self { watchdog: Watchdog::new(5 * HZ), action };
        assert_eq!(linux.read(W_IIDR, now) >> 16 & 0xf, 1, "version 1: WOR has 48 bits");
        assert_eq!(linux.read(WCS, now), 0, "neither running nor the cause of the last reset");
        if action == 1 {
            linux.keepalive(now); // before it requests the interrupt
        }
        linux.set_timeout(timeout, now);
        linux
    }
    /// What EL2's timer does at `now`.
    fn look(&mut self, now: u64) -> Expiry {
        self.watchdog.expire(now)
    }
}

#[test]
fn linux_probes_and_a_watchdog_that_is_not_opened_never_expires() {
    let mut linux = Linux::probe(0, 10, 7 * HZ);
    assert_eq!(linux.read_pair(WOR, 7 * HZ), 5 * HZ);
    assert_eq!(linux.watchdog.deadline(), None);
    assert_eq!((linux.look(u64::MAX), linux.watchdog.irq_level()), (Expiry::No, false));
}

#[test]
fn linux_that_feeds_it_lives() {
    let mut linux = Linux::probe(0, 10, 0);
    linux.start(HZ);
    for second in 1..1_000 {
        assert_eq!(linux.look(second * HZ), Expiry::No);
        if second % 4 == 0 {
            linux.keepalive(second * HZ);
        }
    }
}

#[test]
fn linux_that_stops_feeding_starves_when_its_timeout_is_over() {
    let mut linux = Linux::probe(0, 10, 0);
    linux.start(HZ);
    linux.keepalive(2 * HZ);
    assert_eq!(linux.time_left(2 * HZ), 10);
    let first = linux.watchdog.deadline().expect("it runs");
    assert_eq!(first, 7 * HZ + 1);
    assert_eq!((linux.look(first - 1), linux.watchdog.irq_level()), (Expiry::No, false));
    assert_eq!((linux.look(first), linux.watchdog.irq_level()), (Expiry::First, true));
    assert_eq!(linux.time_left(8 * HZ), 4, "the second period runs");
    let second = linux.watchdog.deadline().expect("it runs");
    assert_eq!(second, 12 * HZ + 2);
    assert_eq!((linux.look(second - 1), linux.look(second)), (Expiry::No, Expiry::Second));
    assert_eq!((linux.look(u64::MAX), linux.watchdog.deadline()), (Expiry::No, None), "it is said once");
}

#[test]
fn linux_that_feeds_after_the_first_signal_lives() {
    let mut linux = Linux::probe(0, 10, 0);
    linux.start(0);
    assert_eq!(linux.look(6 * HZ), Expiry::First);
    linux.keepalive(9 * HZ);
    assert_eq!((linux.watchdog.irq_level(), linux.time_left(9 * HZ)), (false, 10));
    assert_eq!((linux.look(13 * HZ), linux.look(15 * HZ)), (Expiry::No, Expiry::First));
}

#[test]
fn linux_with_action_1_panics_at_its_timeout_and_is_restarted_after_a_second_one() {
    let mut linux = Linux::probe(1, 10, 0);
    linux.start(0);
    assert_eq!(linux.look(10 * HZ), Expiry::No);
    assert_eq!((linux.look(10 * HZ + 1), linux.watchdog.irq_level()), (Expiry::First, true));
    assert_eq!(linux.look(20 * HZ + 2), Expiry::Second);
}

#[test]
fn linux_closes_it_and_nothing_expires() {
    let mut linux = Linux::probe(0, 10, 0);
    linux.start(0);
    assert_eq!(linux.look(6 * HZ), Expiry::First);
    linux.stop(7 * HZ);
    assert_eq!((linux.watchdog.irq_level(), linux.watchdog.deadline()), (false, None));
    assert_eq!(linux.look(u64::MAX), Expiry::No);
    linux.start(100 * HZ);
    assert_eq!(linux.watchdog.deadline(), Some(105 * HZ + 1), "a whole period after it was opened again");
}

#[test]
fn a_timeout_beyond_32_bits_of_ticks_works() {
    let mut linux = Linux::probe(0, 3_600, 0);
    linux.start(0);
    assert_eq!((linux.look(1_800 * HZ), linux.look(1_800 * HZ + 1)), (Expiry::No, Expiry::First));
}

/// Enabled at `now` with periods of `ticks`.
fn enabled(ticks: u64, now: u64) -> Watchdog {
    let mut watchdog = Watchdog::new(ticks);
    watchdog.write(Control, WCS, 4, WCS_EN.into(), now);
    watchdog
}

#[test]
fn each_explicit_refresh_starts_a_new_first_period() {
    for (frame, register, value) in
        [(Refresh, WRR, 0), (Refresh, WRR, u64::MAX), (Control, WCS, 1), (Control, WOR, 100), (Control, WOR_HIGH, 0)]
    {
        let mut watchdog = enabled(100, 0);
        assert_eq!([101, 202].map(|now| watchdog.expire(now)), [Expiry::First, Expiry::Second]);
        watchdog.write(frame, register, 4, value, 1_000);
        assert_eq!(watchdog.read(Control, WCS, 4, 1_000), WCS_EN.into(), "{frame:?} {register:#x}");
        assert_eq!((watchdog.irq_level(), watchdog.deadline()), (false, Some(1_101)));
        assert_eq!([1_101, 1_202].map(|now| watchdog.expire(now)), [Expiry::First, Expiry::Second]);
    }
}

#[test]
fn a_compare_value_that_the_guest_writes_counts_and_refreshes_nothing() {
    let mut watchdog = enabled(100, 0);
    assert_eq!(watchdog.expire(101), Expiry::First);
    watchdog.write(Control, WCV, 8, 0x1_0000_0005, 102);
    assert_eq!((watchdog.irq_level(), watchdog.deadline()), (true, Some(0x1_0000_0006)));
    watchdog.write(Control, WCV_HIGH, 4, 0, 103);
    watchdog.write(Control, WCV, 4, 110, 103);
    assert_eq!((watchdog.expire(110), watchdog.expire(111)), (Expiry::No, Expiry::Second));
}

#[test]
fn status_bits_are_read_only_and_registers_read_back_in_both_widths() {
    let mut watchdog = Watchdog::new(u64::MAX);
    assert_eq!(watchdog.read(Control, WOR, 8, 0), WOR_MAX);
    watchdog.write(Control, WCS, 4, u64::MAX, 0);
    assert_eq!(watchdog.read(Control, WCS, 4, 0), WCS_EN.into());
    watchdog.write(Control, WOR, 8, u64::MAX - 0xff, 0);
    watchdog.write(Control, WCV, 8, 0x0123_4567_89ab_cdef, 0);
    for (register, value) in [(WOR, WOR_MAX - 0xff), (WCV, 0x0123_4567_89ab_cdef)] {
        assert_eq!(watchdog.read(Control, register, 8, 0), value);
        assert_eq!(watchdog.read(Control, register, 4, 0), value & 0xffff_ffff);
        assert_eq!(watchdog.read(Control, register + 4, 4, 0), value >> 32);
    }
}

#[test]
fn both_frames_name_the_architecture_version_and_the_refresh_frame_holds_nothing_else() {
    let mut watchdog = enabled(100, 0);
    for frame in [Control, Refresh] {
        assert_eq!(watchdog.read(frame, W_IIDR, 4, 0), IDENTIFICATION.into());
    }
    for offset in (0..0x1000).step_by(4).filter(|&offset| offset != W_IIDR) {
        assert_eq!(watchdog.read(Refresh, offset, 4, 0), 0);
        if offset != WRR {
            watchdog.write(Refresh, offset, 4, 0, 50);
        }
    }
    assert_eq!(watchdog.deadline(), Some(101), "only WRR refreshes");
}

#[test]
fn a_period_that_is_over_shows_before_el2_looks_and_is_still_reported() {
    let mut watchdog = enabled(100, 0);
    let status = |watchdog: &Watchdog, now| (watchdog.read(Control, WCS, 4, now), watchdog.read(Control, WCV, 8, now));
    assert_eq!(status(&watchdog, 100), (WCS_EN.into(), 100));
    assert_eq!(status(&watchdog, 105), ((WCS_EN | WCS_WS0).into(), 205));
    assert_eq!(watchdog.expire(105), Expiry::First);
    assert_eq!(status(&watchdog, 206), ((WCS_EN | WCS_WS0 | WCS_WS1).into(), 205));
    assert_eq!(watchdog.expire(206), Expiry::Second);
}

#[test]
fn a_period_beyond_the_counters_end_never_ends() {
    let mut watchdog = enabled(100, u64::MAX - 50);
    assert_eq!((watchdog.deadline(), watchdog.expire(u64::MAX)), (None, Expiry::No));
    watchdog.write(Control, WCV, 8, u64::MAX - 1, 0);
    assert_eq!((watchdog.deadline(), watchdog.expire(u64::MAX)), (Some(u64::MAX), Expiry::First));
}

#[test]
fn a_refresh_before_el2_looks_wins() {
    let mut watchdog = enabled(100, 0);
    assert_eq!(watchdog.expire(101), Expiry::First);
    watchdog.write(Refresh, WRR, 4, 0, 300);
    assert_eq!((watchdog.expire(301), watchdog.irq_level()), (Expiry::No, false));
}

#[test]
fn other_widths_and_places_do_nothing() {
    let mut watchdog = enabled(100, 0);
    for (offset, bytes) in
        [(WCS, 1), (WCS, 2), (WCS, 16), (WCS, 0), (WCS + 1, 4), (WOR_HIGH, 8), (WCS + 2, 8), (0x18, 4)]
    {
        watchdog.write(Control, offset, bytes, 0, 50);
        assert_eq!(watchdog.deadline(), Some(101), "{bytes} bytes at {offset:#x}");
        assert_eq!(watchdog.read(Control, offset, bytes, 50), 0, "{bytes} bytes at {offset:#x}");
    }
}

fn any_offset() -> impl Strategy<Value = u64> {
    let registers = [WCS, WCS, WOR, WOR_HIGH, WCV, WCV_HIGH, W_IIDR];
    prop_oneof![3 => prop::sample::select(registers.to_vec()), 1 => 0..0x20u64, 1 => any::<u64>()]
}

fn any_width() -> impl Strategy<Value = u32> {
    prop_oneof![4 => Just(4), 2 => Just(8), 1 => 0..20u32, 1 => any::<u32>()]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any access at any time: no panic, and an expiry is reported exactly from the deadline on, the second only after
    /// the first.
    #[test]
    fn a_hostile_guest_only_starves_itself(
        wor: u64,
        steps in prop::collection::vec((any::<(bool, bool, u64, u64)>(), any_offset(), any_width()), 0..60),
    ) {
        let mut watchdog = Watchdog::new(wor);
        for ((is_refresh, is_read, value, now), offset, bytes) in steps {
            let frame = if is_refresh { Refresh } else { Control };
            if is_read {
                watchdog.read(frame, offset, bytes, now);
            } else {
                watchdog.write(frame, offset, bytes, value, now);
            }
            let (deadline, level) = (watchdog.deadline(), watchdog.irq_level());
            prop_assert!(watchdog.read(Control, WOR, 8, now) <= WOR_MAX);
            let expected = match deadline {
                Some(deadline) if now >= deadline => if level { Expiry::Second } else { Expiry::First },
                _ => Expiry::No,
            };
            prop_assert_eq!(watchdog.expire(now), expected);
            prop_assert_eq!(watchdog.irq_level(), level || expected == Expiry::First);
        }
    }

    /// However it is fed, it starves exactly when two periods pass without a refresh.
    #[test]
    fn it_starves_exactly_without_a_refresh_for_two_periods(
        period in 1..1_000u64,
        gaps in prop::collection::vec(0..3_000u64, 1..20),
    ) {
        let mut watchdog = enabled(period, 0);
        let mut refreshed = 0;
        for gap in gaps {
            let mut starved = false;
            // EL2 looks at each deadline, on time: there are two at most.
            for _ in 0..3 {
                if let Some(deadline) = watchdog.deadline().filter(|&deadline| deadline <= refreshed + gap) {
                    starved |= watchdog.expire(deadline) == Expiry::Second;
                }
            }
            prop_assert_eq!(starved, gap >= 2 * (period + 1));
            refreshed += gap;
            watchdog.write(Frame::Refresh, WRR, 4, 0, refreshed);
        }
    }
}
