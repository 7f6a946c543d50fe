//! Which rate to try next: brackets the limit by doubling and halving, then divides the bracket, and tries both of its
//! ends a second time, as one try of a machine that does other things too proves little.
//!
//! A try may come with an estimate of the limit. It is followed as long as it makes the bracket smaller faster than
//! dividing it would.

/// How the search goes about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The first rate.
    pub start: f64,
    /// The bracket is small enough when its upper end is above the lower one by this share.
    pub precision: f64,
    /// Tries, at most.
    pub most: usize,
}

/// What a try said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Said {
    /// Whether the rate holds.
    pub holds: bool,
    /// Where the limit should be, if it said so.
    pub estimate: Option<f64>,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next {
    /// Try this rate.
    Try(f64),
    /// Nothing: it is over.
    Over(Outcome),
}

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// This rate holds and one a little higher does not, both tried twice.
    Found(f64),
    /// Not even this rate holds.
    NothingHolds(f64),
    /// Even this rate holds: there is no limit within reach.
    NoLimit(f64),
    /// The tries are used up; the highest rate that held, if any did.
    UsedUp(Option<f64>),
}

/// Doublings and halvings away from the first rate, at most.
const FURTHEST: i32 = 12;
/// Tries of an end of the bracket before it is believed.
const VOTES: usize = 2;
/// An estimate is passed over when so many tries have not halved the bracket.
const PATIENCE: usize = 3;

#[derive(Debug, Clone, Copy)]
struct Point {
    rate: f64,
    holds: usize,
    breaks: usize,
}

impl Point {
    fn votes(&self) -> usize {
        self.holds + self.breaks
    }
}

/// A search in progress.
#[derive(Debug, Clone)]
pub struct Search {
    settings: Settings,
    points: Vec<Point>,
    tries: usize,
    estimate: Option<f64>,
    /// The bracket's size, as a logarithm, when it was last halved, and the tries since.
    halved: (f64, usize),
}

impl Search {
    /// A search that has tried nothing.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            points: Vec::new(),
            tries: 0,
            estimate: None,
            halved: (f64::INFINITY, 0),
        }
    }

    /// Notes what a try said.
    pub fn note(&mut self, rate: f64, said: Said) {
        self.tries += 1;
        let found = self.points.iter().position(|point| point.rate == rate);
        let index = found.unwrap_or(self.points.len());
        if found.is_none() {
            self.points.push(Point {
                rate,
                holds: 0,
                breaks: 0,
            });
        }
        let point = &mut self.points[index];
        match said.holds {
            true => point.holds += 1,
            false => point.breaks += 1,
        }
        self.points.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        self.estimate = said.estimate.or(self.estimate);
        if let (Some(low), Some(high)) = self.bracket() {
            let size = (high.rate / low.rate).ln();
            self.halved = match self.halved {
                (before, _) if size <= before / 2.0 => (size, 0),
                (before, tries) => (before, tries + 1),
            };
        }
    }

    /// The highest rate that held, as far as is known.
    pub fn best(&self) -> Option<f64> {
        Some(self.bracket().0?.rate)
    }

    /// What to do next.
    pub fn next(&self) -> Next {
        if self.tries >= self.settings.most {
            return Next::Over(Outcome::UsedUp(self.best()));
        }
        let (low, high) = self.bracket();
        let inside = |point: &&Point| {
            low.is_none_or(|low| point.rate > low.rate)
                && high.is_none_or(|high| point.rate < high.rate)
        };
        // One try said this, another that.
        let torn = |point: &&Point| point.holds == point.breaks;
        if let Some(point) = self.points.iter().filter(inside).find(torn) {
            return Next::Try(point.rate);
        }
        let furthest = 2.0_f64.powi(FURTHEST);
        match (low, high) {
            (None, None) => Next::Try(round(self.settings.start)),
            (Some(low), None) if low.rate >= self.settings.start * furthest => {
                Next::Over(Outcome::NoLimit(low.rate))
            }
            (Some(low), None) => Next::Try(self.above(low.rate)),
            (None, Some(high)) if high.rate <= self.settings.start / furthest => {
                Next::Over(Outcome::NothingHolds(high.rate))
            }
            (None, Some(high)) => Next::Try(self.below(high.rate)),
            (Some(low), Some(high)) => self.between(low, high),
        }
    }

    /// The highest rate that holds below the lowest that does not.
    fn bracket(&self) -> (Option<Point>, Option<Point>) {
        let points = self.points.iter();
        let high = points.clone().find(|point| point.breaks > point.holds);
        let below = |point: &&Point| high.is_none_or(|high| point.rate < high.rate);
        let low = points
            .filter(below)
            .rfind(|point| point.holds > point.breaks);
        (low.copied(), high.copied())
    }

    /// Half the width that the bracket is to have, and a little less.
    fn half(&self) -> f64 {
        0.45 * self.settings.precision
    }

    fn above(&self, low: f64) -> f64 {
        let estimate = self.estimate.map(|limit| limit * (1.0 + self.half()));
        let estimate = estimate.filter(|rate| *rate > low * (1.0 + self.half()));
        round(estimate.map_or(low * 2.0, |rate| rate.min(low * 4.0)))
    }

    fn below(&self, high: f64) -> f64 {
        let estimate = self.estimate.map(|limit| limit * (1.0 - self.half()));
        let estimate = estimate.filter(|rate| *rate < high * (1.0 - self.half()));
        round(estimate.map_or(high / 2.0, |rate| rate.max(high / 16.0)))
    }

    fn between(&self, low: Point, high: Point) -> Next {
        if high.rate / low.rate <= 1.0 + self.settings.precision {
            return match (low.votes() < VOTES, high.votes() < VOTES) {
                (true, _) => Next::Try(low.rate),
                (_, true) => Next::Try(high.rate),
                _ => Next::Over(Outcome::Found(low.rate)),
            };
        }
        let middle = (low.rate * high.rate).sqrt();
        let trusted = self.estimate.filter(|_| self.halved.1 < PATIENCE);
        let ends = trusted.map(|limit| [limit * (1.0 + self.half()), limit * (1.0 - self.half())]);
        let inside = |rate: &f64| *rate > low.rate * 1.001 && *rate < high.rate * 0.999;
        Next::Try(round(
            ends.into_iter().flatten().find(inside).unwrap_or(middle),
        ))
    }
}

/// A rate that a full test refuted is lowered by this share at most.
pub const LARGEST_STEP: f64 = 0.15;

/// The rate to try when a full test refuted `rate`: a little below the limit that this test told, if it told one. Each
/// attempt goes down by twice as much as the one before, at least.
fn lowered(rate: f64, limit: Option<f64>, precision: f64, attempt: usize) -> f64 {
    let doublings = attempt.saturating_sub(1).min(8);
    let step = (precision * (1_u32 << doublings) as f64).min(LARGEST_STEP);
    let below = limit.map_or(rate, |limit| limit * (1.0 - precision / 2.0));
    round(below.clamp(rate * (1.0 - LARGEST_STEP), rate * (1.0 - step)))
}

/// The rate to try when a full test held `rate` and told a limit well above it: short tests were disturbed.
fn raised(rate: f64, limit: Option<f64>, precision: f64) -> Option<f64> {
    let limit = limit.filter(|limit| *limit > rate * (1.0 + 2.5 * precision))?;
    Some(round(
        (limit * (1.0 - precision / 2.0)).min(rate * (1.0 + LARGEST_STEP)),
    ))
}

/// Full tests so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Full {
    /// The highest rate that was VALID.
    pub valid: Option<f64>,
    /// The lowest rate that was INVALID.
    pub invalid: Option<f64>,
    /// How many there were.
    pub count: usize,
}

impl Full {
    /// Notes one.
    pub fn note(&mut self, rate: f64, valid: bool) {
        self.count += 1;
        if valid {
            self.valid = Some(self.valid.map_or(rate, |best| best.max(rate)));
        } else {
            self.invalid = Some(self.invalid.map_or(rate, |least| least.min(rate)));
        }
    }

    /// The rate of the next one, after one that told `limit`; `None` when the highest VALID rate is near enough to the
    /// limit.
    pub fn next(&self, limit: Option<f64>, precision: f64) -> Option<f64> {
        match (self.valid, self.invalid) {
            (None, None) => None,
            (None, Some(invalid)) => Some(lowered(invalid, limit, precision, self.count)),
            (Some(valid), None) => raised(valid, limit, precision),
            // Steps down grow, and may have gone too far.
            (Some(valid), Some(invalid)) => {
                (invalid / valid > 1.0 + 2.0 * precision).then(|| round((valid * invalid).sqrt()))
            }
        }
    }
}

/// Four significant digits, as people write rates; the precision of a search is coarser.
pub fn round(rate: f64) -> f64 {
    let digits = 10.0_f64.powf(3.0 - rate.log10().floor());
    (rate * digits).round() / digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRECISION: f64 = 0.02;

    fn searched(start: f64, mut tried: impl FnMut(f64) -> Said) -> (Outcome, usize) {
        let mut search = Search::new(Settings {
            start,
            precision: PRECISION,
            most: 40,
        });
        let mut tries = 0;
        loop {
            match search.next() {
                Next::Over(outcome) => return (outcome, tries),
                Next::Try(rate) => {
                    tries += 1;
                    search.note(rate, tried(rate));
                }
            }
        }
    }

    fn said(holds: bool) -> Said {
        Said {
            holds,
            estimate: None,
        }
    }

    /// As good as numbers that look drawn: no two runs of a test differ.
    fn noise(seed: &mut u64) -> f64 {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 11) as f64 / (1_u64 << 53) as f64
    }

    proptest! {
        #[test]
        fn a_sharp_limit_is_found(limit in 0.01_f64..1e4, factor in 0.01_f64..100.0) {
            let (outcome, tries) = searched(limit * factor, |rate| said(rate <= limit));
            let Outcome::Found(rate) = outcome else { panic!("{outcome:?}") };
            prop_assert!(rate <= limit && rate * (1.0 + PRECISION) > limit, "{rate} of {limit}");
            prop_assert!(tries <= 16, "{tries}");
        }

        #[test]
        fn a_good_estimate_saves_tries(limit in 1.0_f64..1e3, factor in 0.1_f64..10.0, off in -0.005_f64..0.005) {
            let estimate = Some(limit * (1.0 + off));
            let (outcome, tries) = searched(limit * factor, |rate| Said { holds: rate <= limit, estimate });
            let Outcome::Found(rate) = outcome else { panic!("{outcome:?}") };
            prop_assert!(rate <= limit && rate * (1.0 + PRECISION) > limit);
            prop_assert!(tries <= 7, "{tries}");
        }

        #[test]
        fn an_estimate_that_misleads_costs_tries_alone(limit in 1.0_f64..1e3, factor in 0.1_f64..10.0, off in 0.2_f64..5.0) {
            let estimate = Some(limit * off);
            let (outcome, _) = searched(limit * factor, |rate| Said { holds: rate <= limit, estimate });
            let Outcome::Found(rate) = outcome else { panic!("{outcome:?}") };
            prop_assert!(rate <= limit && rate * (1.0 + PRECISION) > limit, "{rate} of {limit}");
        }

        #[test]
        fn a_limit_that_moves_is_found_where_it_was(limit in 1.0_f64..1e3, mut seed: u64) {
            // Up to 2 % up and down from one try to the next.
            let (outcome, _) = searched(limit * 0.6, |rate| {
                said(rate <= limit * (0.98 + 0.04 * noise(&mut seed)))
            });
            let (Outcome::Found(rate) | Outcome::UsedUp(Some(rate))) = outcome else { panic!("{outcome:?}") };
            prop_assert!((0.95..1.03).contains(&(rate / limit)), "{rate} of {limit}");
        }

        #[test]
        fn one_disturbed_try_does_not_matter(limit in 1.0_f64..1e3, factor in 0.3_f64..0.9, disturbed in 1_usize..8) {
            let mut tries = 0;
            let (outcome, _) = searched(limit * factor, |rate| {
                tries += 1;
                said((rate <= limit) && tries != disturbed)
            });
            let Outcome::Found(rate) = outcome else { panic!("{outcome:?}") };
            prop_assert!(rate <= limit && rate * (1.0 + PRECISION) > limit, "{rate} of {limit}");
        }
    }

    #[test]
    fn a_machine_that_holds_nothing_is_told() {
        let (outcome, tries) = searched(100.0, |_| said(false));
        assert!(
            matches!(outcome, Outcome::NothingHolds(rate) if rate < 0.03),
            "{outcome:?}"
        );
        assert_eq!(tries, 14);
    }

    #[test]
    fn a_machine_that_holds_everything_is_told() {
        let (outcome, _) = searched(100.0, |_| said(true));
        assert!(
            matches!(outcome, Outcome::NoLimit(rate) if rate > 4e5),
            "{outcome:?}"
        );
    }

    #[test]
    fn tries_are_used_up_with_the_best_so_far() {
        let mut search = Search::new(Settings {
            start: 8.0,
            precision: 0.001,
            most: 4,
        });
        while let Next::Try(rate) = search.next() {
            search.note(rate, said(rate < 11.0));
        }
        // 8, 16, 11.31, 9.512
        assert_eq!(search.next(), Next::Over(Outcome::UsedUp(Some(9.512))));
    }

    #[test]
    fn a_refuted_rate_is_lowered_by_more_each_time() {
        let lowered = |limit, attempt| lowered(100.0, limit, 0.02, attempt);
        let steps = [1, 2, 3, 4].map(|attempt| lowered(None, attempt));
        assert_eq!(steps, [98.0, 96.0, 92.0, 85.0]);
        assert_eq!(lowered(Some(90.0), 1), 89.1);
        assert_eq!(lowered(Some(10.0), 1), 85.0);
        assert_eq!(lowered(Some(120.0), 1), 98.0);
    }

    #[test]
    fn a_rate_is_raised_where_a_full_test_told_much_more() {
        let raised = |limit| raised(100.0, limit, 0.02);
        assert_eq!(raised(None), None);
        assert_eq!(raised(Some(104.0)), None);
        assert_eq!(raised(Some(110.0)), Some(108.9));
        assert_eq!(raised(Some(200.0)), Some(115.0));
    }

    /// Full tests from `first` on, of engines that hold `holds`, each telling `limit`.
    fn full_tests(first: f64, holds: f64, limit: Option<f64>) -> Vec<f64> {
        let (mut full, mut rates) = (Full::default(), vec![first]);
        loop {
            let rate = rates[rates.len() - 1];
            full.note(rate, rate <= holds);
            match full.next(limit, PRECISION) {
                Some(next) if rates.len() < 20 => rates.push(next),
                Some(_) => panic!("{rates:?}"),
                None => return rates,
            }
        }
    }

    #[test]
    fn one_full_test_is_enough_where_short_ones_were_right() {
        assert_eq!(full_tests(100.0, 101.0, None), [100.0]);
        assert_eq!(full_tests(100.0, 101.0, Some(102.0)), [100.0]);
    }

    #[test]
    fn a_step_down_that_went_too_far_is_divided() {
        // Down by 2, 4 and 8 %, then then between the last two, twice.
        assert_eq!(
            full_tests(100.0, 92.0, None),
            [100.0, 98.0, 94.08, 86.55, 90.24, 92.14]
        );
        assert_eq!(full_tests(100.0, 97.0, Some(97.5)), [100.0, 96.53]);
    }

    proptest! {
        #[test]
        fn full_tests_end_near_the_limit(holds in 30.0_f64..100.0, off in proptest::option::of(0.9_f64..1.1)) {
            let rates = full_tests(100.0, holds, off.map(|off| off * holds));
            let best = rates.iter().copied().filter(|rate| *rate <= holds).fold(0.0, f64::max);
            prop_assert!(best * (1.0 + 2.0 * PRECISION) * 1.001 > holds, "{rates:?}");
        }
    }

    #[test]
    fn both_ends_are_tried_twice() {
        let mut tried = Vec::new();
        let (outcome, _) = searched(10.0, |rate| {
            tried.push(rate);
            said(rate <= 10.0)
        });
        let Outcome::Found(low) = outcome else {
            panic!("{outcome:?}")
        };
        let times = |of: f64| tried.iter().filter(|rate| **rate == of).count();
        assert_eq!(times(low), 2);
        let high = tried.iter().copied().filter(|rate| *rate > low);
        assert_eq!(times(high.fold(f64::INFINITY, f64::min)), 2);
    }
}
