//! [`Port`]: a partition's network device as the network sees it.

use crate::timer;
use abi::plan::Nic;
use core::num::NonZeroU64;
use rate::Bucket;

/// How many milliseconds' worth of its bandwidth a device may have at once.
const BURST_MS: u64 = 20;
/// But no less than what a guest sends in one piece, in bits.
const LEAST_BURST: u64 = 8 * 65_536;

/// A partition's network device.
pub struct Port {
    /// Its place among the devices.
    pub device: usize,
    /// Its partition's name.
    pub name: &'static str,
    /// Limits what it sends.
    pub sends: Option<Bucket>,
    /// Limits what it gets.
    pub receives: Option<Bucket>,
    /// Frames that it did not get: no room for them, or more than its bandwidth.
    pub missed: u64,
    /// What it sent that was no frame.
    pub refused: u64,
    /// How many dropped frames were last spoken of, and when.
    pub said: (u64, Option<u64>),
}

impl Port {
    /// The port of a device.
    pub fn new(device: usize, name: &'static str, nic: &Nic) -> Self {
        let bucket = NonZeroU64::new(nic.bandwidth).map(|rate| {
            let burst = (rate.get() / 1000).saturating_mul(BURST_MS).max(LEAST_BURST);
            Bucket::new(rate, burst, timer::ticks(1000))
        });
        Self { device, name, sends: bucket, receives: bucket, missed: 0, refused: 0, said: (0, None) }
    }

    /// Counts what is to be sent. `Err`: not before this tick.
    #[inline]
    pub fn send(&mut self, bytes: u32) -> Result<(), u64> {
        let Some(bucket) = &mut self.sends else { return Ok(()) };
        bucket.take(8 * u64::from(bytes), timer::now()).map_err(|wait| wait.until_ticks)
    }

    /// What was counted did not find its way.
    pub fn was_not_received(&mut self, bytes: u32) {
        self.missed = self.missed.wrapping_add(1);
        if let Some(bucket) = &mut self.receives {
            bucket.put_back(8 * u64::from(bytes));
        }
    }

    /// Counts what is to be received; whether it may be.
    #[inline]
    pub fn receive(&mut self, bytes: u32) -> bool {
        self.receives.as_mut().is_none_or(|bucket| bucket.take(8 * u64::from(bytes), timer::now()).is_ok())
    }
}
