//! Numbers that look random and are the same in every run, so that a finding can be made again.

/// A generator (xorshift64*). Not for secrets.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The seed of a run: `JOTGATE_TEST_SEED`, or always the same one.
    pub(crate) fn from_environment() -> Self {
        let seed = std::env::var("JOTGATE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        Self(seed.unwrap_or(0x9e37_79b9_7f4a_7c15_u64).max(1))
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// A number below `end`, which must not be 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() % u64::try_from(end).unwrap_or(u64::MAX).max(1)).unwrap_or(0)
    }

    /// One of several things.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn pick<'a, T>(&mut self, things: &'a [T]) -> &'a T {
        let at = self.below(things.len());
        things.get(at).unwrap_or_else(|| unreachable!("nothing to pick from"))
    }

    /// One of several texts.
    pub(crate) fn text<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        let text: &&str = self.pick(texts);
        text
    }
}
