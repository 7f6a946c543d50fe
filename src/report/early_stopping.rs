//! Early stopping: how many queries LoadGen wants before it believes a percentile.
//!
//! A share `p` of all queries must be within the bound. Were the true share only `p`, then among `n` queries with `t`
//! over the bound, seeing `t` or fewer would have the odds of a binomial distribution's lower tail. LoadGen asks for odds
//! of at most 1 %: confidence 0.99, tolerance 0. Its `early_stopping.cc` computes the tail as a regularised incomplete
//! beta function; here it is summed term by term, which is exact and as fast as anybody needs.

/// LoadGen's confidence, which no setting changes.
const CONFIDENCE: f64 = 0.99;
/// Beyond so many queries there is nothing to say.
const MOST: u64 = 1 << 40;
/// The same where a share is kept: days of queries.
const MOST_AT_SHARE: u64 = 1 << 22;

/// The fewest queries with which `over` of them may take longer than the bound.
pub fn queries_needed(over: u64, percentile: f64) -> u64 {
    // One query within the bound more is always enough room for the search to begin with.
    let mut enough = over + 1;
    while !passes(enough, over, percentile) {
        if enough >= MOST {
            return MOST;
        }
        enough *= 2;
    }
    let mut too_few = over;
    while enough - too_few > 1 {
        let middle = too_few + (enough - too_few) / 2;
        match passes(middle, over, percentile) {
            true => enough = middle,
            false => too_few = middle,
        }
    }
    enough
}

/// How many of `queries` may take longer than the bound; `None`: they are too few even if none does.
pub fn allowed(queries: u64, percentile: f64) -> Option<u64> {
    if !passes(queries, 0, percentile) {
        return None;
    }
    // More than that share can never pass.
    let (mut fine, mut too_many) = (0, (queries as f64 * (1.0 - percentile)) as u64 + 2);
    while too_many - fine > 1 {
        let middle = fine + (too_many - fine) / 2;
        match passes(queries, middle, percentile) {
            true => fine = middle,
            false => too_many = middle,
        }
    }
    Some(fine)
}

/// The fewest queries that pass while that share of them takes longer than the bound; `None`: no number that anybody
/// would run does.
pub fn queries_needed_at_share(share: f64, percentile: f64) -> Option<u64> {
    if share >= 1.0 - percentile {
        return None;
    }
    let is_enough = |queries: u64| {
        allowed(queries, percentile).is_some_and(|over| over as f64 >= share * queries as f64)
    };
    let mut enough = queries_needed(0, percentile);
    while !is_enough(enough) {
        enough = Some(enough * 2).filter(|queries| *queries < MOST_AT_SHARE)?;
    }
    let mut too_few = enough / 2;
    while enough - too_few > 1 {
        let middle = too_few + (enough - too_few) / 2;
        match is_enough(middle) {
            true => enough = middle,
            false => too_few = middle,
        }
    }
    Some(enough)
}

/// Whether LoadGen believes that the percentile is within the bound.
pub fn passes(queries: u64, over: u64, percentile: f64) -> bool {
    over < queries && ln_odds(queries, over, percentile) < (1.0 - CONFIDENCE).ln()
}

/// Logarithm of the odds of `over` or fewer queries over the bound among `queries`, when each is over it with
/// probability 1 - `percentile`.
fn ln_odds(queries: u64, over: u64, percentile: f64) -> f64 {
    let ratio = (1.0 - percentile) / percentile;
    // Terms as multiples of the first one, whose logarithm is known; rescaled before they leave the range of an f64.
    let mut ln_scale = queries as f64 * percentile.ln();
    let (mut term, mut sum) = (1.0_f64, 1.0_f64);
    for x in 0..over {
        term *= (queries - x) as f64 / (x + 1) as f64 * ratio;
        sum += term;
        if sum > 1e280 {
            ln_scale += sum.ln();
            term /= sum;
            sum = 1.0;
        }
    }
    ln_scale + sum.ln()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What LoadGen 5.0's MinPassingQueriesFinder returns, over-latency queries added: t and h + t.
    const OF_LOADGEN: &[(f64, &[(u64, u64)])] = &[
        (
            0.9,
            &[
                (0, 44),
                (1, 64),
                (2, 81),
                (5, 127),
                (20, 325),
                (100, 1246),
                (500, 5518),
                (2500, 26128),
            ],
        ),
        (
            0.99,
            &[
                (0, 459),
                (1, 662),
                (2, 838),
                (3, 1001),
                (4, 1157),
                (5, 1307),
                (10, 2010),
                (20, 3304),
                (50, 6898),
                (100, 12571),
                (200, 23527),
                (500, 55427),
                (1000, 107_569),
                (2500, 261_822),
            ],
        ),
        (
            0.999,
            &[
                (0, 4603),
                (1, 6636),
                (10, 20140),
                (100, 125_826),
                (1000, 1_076_032),
            ],
        ),
    ];

    #[test]
    fn it_is_loadgens_number() {
        for (percentile, rows) in OF_LOADGEN {
            for (over, needed) in *rows {
                assert_eq!(queries_needed(*over, *percentile), *needed, "{over}");
                assert_eq!(allowed(*needed, *percentile), Some(*over));
                let before = over.checked_sub(1);
                assert_eq!(allowed(needed - 1, *percentile), before, "{needed}");
            }
        }
    }

    #[test]
    fn a_share_that_is_too_large_never_passes() {
        assert_eq!(queries_needed_at_share(0.01, 0.99), None);
        assert_eq!(queries_needed_at_share(0.0, 0.99), Some(459));
        let needed = queries_needed_at_share(0.005, 0.99).unwrap();
        assert!(passes(needed, needed / 200, 0.99), "{needed}");
        assert!((2_010..6_898).contains(&needed), "{needed}");
    }

    proptest! {
        #[test]
        fn what_is_needed_is_the_least_that_passes(over in 0_u64..3_000, percentile in 0.5_f64..0.999) {
            let needed = queries_needed(over, percentile);
            prop_assert!(passes(needed, over, percentile));
            prop_assert!(!passes(needed - 1, over, percentile));
            prop_assert_eq!(allowed(needed, percentile), Some(over));
        }

        #[test]
        fn more_queries_never_allow_less(queries in 1_u64..100_000, percentile in 0.5_f64..0.999) {
            prop_assert!(allowed(queries, percentile) <= allowed(queries + 1, percentile));
        }
    }
}
