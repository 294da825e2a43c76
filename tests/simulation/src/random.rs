//! Random numbers: xorshift64*, which passes every test that matters for a simulated day.

/// A generator; the same seed gives the same numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed and a stream, so that the oscillator's walk does not change with the number of packets.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mixed = (seed ^ stream.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = Self((mixed ^ (mixed >> 29) ^ 0x5851_f42d_4c95_7f2d) | 1);
        for _ in 0..16 {
            random.uniform();
        }
        random
    }

    /// In (0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Exponential with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.uniform().ln()
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (2.0 * core::f64::consts::PI * self.uniform()).cos()
    }

    /// Pareto with exponent 2.5, less its least value, scaled to this mean: a heavy tail with practically
    /// no finite variance.
    pub fn heavy(&mut self, mean: f64) -> f64 {
        1.5 * mean * (self.uniform().powf(-1.0 / 2.5) - 1.0)
    }

    /// Whether an event of this probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.uniform() < probability
    }
}
