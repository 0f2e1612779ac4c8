//! Random numbers of tests: the seed stands in what a failure prints.

/// A seed and where it has come to (xorshift64*).
#[derive(Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// The numbers of a round of a test. With `SEED=n` in the environment every round is that of this seed.
    pub(crate) fn new(test: &str, round: u64) -> Self {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(round);
        println!("SEED={seed} cargo test {test}"); // shown where the test fails
        Self { state: (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 up to, not including.
    pub(crate) fn below(&mut self, end: i64) -> i64 {
        i64::try_from(self.next() >> 33).expect("31 bits") % end.max(1)
    }

    /// An index of a list of so many.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.next() >> 33).expect("31 bits") % len.max(1)
    }

    /// Any order.
    pub(crate) fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            all.swap(last, self.index(last + 1));
        }
    }
}
