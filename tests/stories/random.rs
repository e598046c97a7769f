//! Random numbers that a seed repeats.

/// How many rounds a story goes: so many, unless `HYPERCOPY_ROUNDS` says otherwise.
pub fn rounds(usual: u64) -> u64 {
    std::env::var("HYPERCOPY_ROUNDS").map_or(usual, |rounds| rounds.parse().expect("rounds are a number"))
}

/// Goes so many rounds, unless `HYPERCOPY_ROUNDS` says otherwise, each with a seed of its own that is told as it begins: with
/// that in `HYPERCOPY_SEED` and one round, a round is repeated alone.
pub fn each_round(usual: u64, mut go: impl FnMut(Random)) {
    let first = seed_of_this_run();
    for round in 0..rounds(usual) {
        let seed = first.wrapping_add(round);
        eprintln!("HYPERCOPY_SEED={seed}");
        go(Random(seed));
    }
}

fn seed_of_this_run() -> u64 {
    let clock = || std::time::UNIX_EPOCH.elapsed().expect("the clock is past 1970").as_nanos() as u64;
    std::env::var("HYPERCOPY_SEED").ok().map_or_else(clock, |seed| seed.parse().expect("a seed is a number"))
}

/// splitmix64.
pub struct Random(u64);

impl Random {
    /// Seeded by `HYPERCOPY_SEED`, or by the clock; the seed is told, so that a run can be repeated.
    pub fn of_this_run() -> Random {
        let seed = seed_of_this_run();
        eprintln!("HYPERCOPY_SEED={seed}");
        Random(seed)
    }

    /// Another one, which this one's seed repeats.
    pub fn fork(&mut self) -> Random {
        Random(self.next())
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    /// A number of any magnitude, of either sign.
    pub fn number(&mut self) -> i64 {
        let bits = self.below(64);
        (self.next() as i64) >> bits
    }
}
