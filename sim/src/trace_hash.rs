//! A fingerprint of a run: all its steps, in their order, in 64 bits.

/// The fingerprint so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceHash(u64);

impl Default for TraceHash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl TraceHash {
    /// Adds an event. Multiply and rotate, as in FxHash: quick, the same everywhere, and no secret.
    #[inline]
    pub fn mix(&mut self, words: &[u64; 3]) {
        for word in words {
            self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }
    /// The number to compare.
    pub fn value(self) -> u64 {
        self.0
    }
}
