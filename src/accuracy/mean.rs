//! The mean and the rounding of NumPy, whose last digits the reference script prints.

/// Below this many values NumPy adds them one after the other in eight strands.
const BLOCK: usize = 128;
const STRANDS: usize = 8;

/// `numpy.mean` of a contiguous array: the order of additions is NumPy's pairwise summation.
/// `values` must not be empty.
pub fn mean(values: &[f64]) -> f64 {
    pairwise_sum(values) / values.len() as f64
}

fn pairwise_sum(values: &[f64]) -> f64 {
    let count = values.len();
    if count < STRANDS {
        return values.iter().sum();
    }
    if count > BLOCK {
        let half = count / 2;
        let (left, right) = values.split_at(half - half % STRANDS);
        return pairwise_sum(left) + pairwise_sum(right);
    }
    let groups = values.chunks_exact(STRANDS);
    let rest = groups.remainder();
    let mut strands = [0.0; STRANDS];
    for group in groups {
        for (strand, value) in strands.iter_mut().zip(group) {
            *strand += value;
        }
    }
    let [a, b, c, d, e, f, g, h] = strands;
    rest.iter()
        .fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |sum, value| {
            sum + value
        })
}

/// `numpy.round(value, 4)`: scaled, rounded half to even, scaled back.
pub fn round_to_four_decimals(value: f64) -> f64 {
    const SCALE: f64 = 10_000.0;
    (value * SCALE).round_ties_even() / SCALE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 / 1 + 1 / 2 + ... so that the order of additions shows in the last bits.
    fn reciprocals(count: u32) -> Vec<f64> {
        (1..=count).map(|n| 1.0 / f64::from(n)).collect()
    }

    #[test]
    fn mean_has_the_bits_of_numpy() {
        // numpy.mean(1 / numpy.arange(1, n + 1)), NumPy 2.4.6.
        for (count, expected) in [
            (5, 0.45666666666666667),
            (8, 0.3397321428571428),
            (100, 0.05187377517639621),
            (129, 0.042177511864912164),
            (1_000, 0.007485470860550345),
            (13_368, 0.0007538803214739142),
        ] {
            assert_eq!(
                mean(&reciprocals(count)).to_bits(),
                f64::to_bits(expected),
                "{count}"
            );
        }
    }

    #[test]
    fn halves_round_to_even() {
        assert_eq!(round_to_four_decimals(43.072_249), 43.0722);
        assert_eq!(round_to_four_decimals(0.00005), 0.0);
        assert_eq!(round_to_four_decimals(0.00015), 0.0001);
        assert_eq!(round_to_four_decimals(1.03125), 1.0312);
        assert_eq!(round_to_four_decimals(1.09375), 1.0938);
    }
}
