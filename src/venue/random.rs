//! Seeded random numbers for simulations: xoshiro256++ seeded by SplitMix64 (Blackman and Vigna,
//! "Scrambled linear pseudorandom number generators", 2019). Never for secrets.

/// A deterministic stream of random numbers: the same seed gives the same stream on every machine.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        let mut mix = seed;
        let state = [(); 4].map(|()| {
            mix = mix.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut word = mix;
            word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            word ^ (word >> 31)
        });
        Self { state }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// Uniform in 0..1, 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in 0..limit; 0 when `limit` is 0. The bias of 2^-64 × limit is accepted.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(limit)) >> 64) as u64
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// Near-normal with mean 0 and deviation 1: the sum of twelve uniforms (Irwin-Hall), bounded by
    /// ±6. Only additions, so that every machine gives the same bits.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// Near-exponential with mean 1, by von Neumann's comparison method: no logarithm, so that every
    /// machine gives the same bits.
    pub fn exponential(&mut self) -> f64 {
        let mut whole = 0.0;
        loop {
            let first = self.uniform();
            let (mut last, mut accepted) = (first, true);
            loop {
                let next = self.uniform();
                if next >= last {
                    break;
                }
                last = next;
                accepted = !accepted;
            }
            if accepted {
                return whole + first;
            }
            whole += 1.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distributions_have_their_moments() {
        let mut random = Random::new(7);
        let count = 200_000;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let normal: Vec<f64> = (0..count).map(|_| random.normal()).collect();
        let squares: Vec<f64> = normal.iter().map(|v| v * v).collect();
        assert!(mean(&normal).abs() < 0.01 && (mean(&squares) - 1.0).abs() < 0.02);
        let waits: Vec<f64> = (0..count).map(|_| random.exponential()).collect();
        let squares: Vec<f64> = waits.iter().map(|v| v * v).collect();
        assert!((mean(&waits) - 1.0).abs() < 0.01 && (mean(&squares) - 2.0).abs() < 0.05);
    }
}
