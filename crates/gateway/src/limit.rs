//! [`Limit`]: at most so many packets in a second that only tell of an error (RFC 1812, 4.3.2.8).

/// Most in a burst, and then per second.
const BURST: u64 = 20;
const MS_EACH: u64 = 1000 / BURST;

/// A token bucket, full at first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limit {
    /// When it will be full again.
    full_ms: u64,
}

impl Limit {
    /// Takes a token, if there is one.
    pub fn take(&mut self, now_ms: u64) -> bool {
        let full = self.full_ms.max(now_ms).saturating_add(MS_EACH);
        let is_taken = full <= now_ms.saturating_add(BURST * MS_EACH);
        if is_taken {
            self.full_ms = full;
        }
        is_taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_so_many_a_second() {
        let mut limit = Limit::default();
        assert_eq!((0..100).filter(|_| limit.take(5)).count() as u64, BURST);
        assert_eq!((0..1000).filter(|ms| limit.take(5 + ms)).count() as u64, BURST - 1);
    }
}
