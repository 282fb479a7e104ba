//! Random numbers from a seed, so that a failure can be repeated.

/// xorshift64* (Vigna): enough to scatter, and the same everywhere.
pub struct Random(u64);

impl Random {
    /// Numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed | 1 << 63)
    }

    /// 64 bits.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// One of 0 to `bound`, without it.
    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// All shapes: small, a bit, random.
    pub fn value(&mut self) -> u64 {
        match self.below(4) {
            0 => self.below(64),
            1 => 1 << self.below(64),
            2 => !0,
            _ => self.next(),
        }
    }
}
