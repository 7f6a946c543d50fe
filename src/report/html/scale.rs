//! From values to places on a chart, and the values that are written beside it.

/// A linear axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Values at its ends.
    domain: (f64, f64),
    /// Places of its ends.
    range: (f64, f64),
}

impl Scale {
    /// An axis from `domain.0` at `range.0` to `domain.1` at `range.1`. An axis without length shows one unit.
    pub fn new(domain: (f64, f64), range: (f64, f64)) -> Self {
        let (low, high) = domain;
        let high = if high > low { high } else { low + 1.0 };
        Self {
            domain: (low, high),
            range,
        }
    }

    /// The place of a value; values beyond the ends are at the ends.
    pub fn place(&self, value: f64) -> f64 {
        let (low, high) = self.domain;
        let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
        self.range.0 + share * (self.range.1 - self.range.0)
    }
}

/// Round values from 0 to `high` or just beyond: at most `most` intervals of 1, 2 or 5 times a power of ten. Always from
/// zero: a chart that begins elsewhere makes small things look large.
pub fn ticks(high: f64, most: u32) -> Vec<f64> {
    if !high.is_finite() || high <= 0.0 {
        return vec![0.0, 1.0];
    }
    let rough = high / f64::from(most.max(1));
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough * (1.0 - 1e-9))
        .unwrap_or(10.0 * power);
    let steps = (high / step - 1e-9).ceil().max(1.0) as u32;
    (0..=steps).map(|i| f64::from(i) * step).collect()
}

/// A tick in few letters: `0`, `0.25`, `1,500`, `20k`, `1.5M`.
pub fn tick_label(value: f64, step: f64) -> String {
    let (value, step, suffix) = match value.abs().max(step) {
        size if size >= 1e6 => (value / 1e6, step / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, step / 1e3, "k"),
        _ => (value, step, ""),
    };
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = (0..4)
        .find(|digits| {
            let scaled = step * 10f64.powi(*digits);
            (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1e-9)
        })
        .unwrap_or(4);
    let text = format!("{value:.*}", digits as usize);
    match text
        .strip_suffix("000")
        .filter(|_| digits == 0 && value >= 1000.0)
    {
        Some(thousands) => format!("{thousands},000{suffix}"),
        None if digits == 0 && value >= 1000.0 => {
            let (thousands, rest) = text.split_at(text.len() - 3);
            format!("{thousands},{rest}{suffix}")
        }
        None => format!("{text}{suffix}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_placed_between_the_ends() {
        let scale = Scale::new((0.0, 10.0), (100.0, 0.0));
        assert_eq!(scale.place(0.0), 100.0);
        assert_eq!(scale.place(2.5), 75.0);
        assert_eq!(scale.place(11.0), 0.0);
        let flat = Scale::new((3.0, 3.0), (0.0, 10.0));
        assert_eq!(flat.place(3.5), 5.0);
    }

    #[test]
    fn ticks_are_round_and_reach_the_end() {
        assert_eq!(ticks(47.0, 5), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!(ticks(1.0, 4), [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(ticks(0.0, 5), [0.0, 1.0]);
        assert_eq!(ticks(f64::NAN, 5), [0.0, 1.0]);
        for high in [1e-9, 0.3, 7.0, 1299.0, 6.5e7] {
            let all = ticks(high, 6);
            assert!(all.len() <= 7, "{high}: {all:?}");
            assert!(all[all.len() - 1] >= high * (1.0 - 1e-6), "{high}: {all:?}");
            assert!(all[all.len() - 2] < high, "{high}: {all:?}");
        }
    }

    #[test]
    fn tick_labels_are_short() {
        for (value, step, text) in [
            (0.0, 5.0, "0"),
            (0.25, 0.25, "0.25"),
            (7.5, 2.5, "7.5"),
            (40.0, 10.0, "40"),
            (1000.0, 500.0, "1,000"),
            (1500.0, 500.0, "1,500"),
            (20_000.0, 5000.0, "20k"),
            (12_500.0, 2500.0, "12.5k"),
            (1_500_000.0, 500_000.0, "1.5M"),
        ] {
            assert_eq!(tick_label(value, step), text);
        }
    }
}
