//! Numbers as people read them.

/// Four significant digits or so, whole numbers as such: `58.12`, `1,242`, `0.0391`, `32`.
pub fn number(value: f64) -> String {
    let size = value.abs();
    match size {
        size if !size.is_finite() => "–".to_owned(),
        size if size >= 999.5 || value.fract() == 0.0 => grouped(value),
        size if size >= 99.95 => format!("{value:.1}"),
        size if size >= 9.995 => format!("{value:.2}"),
        size if size >= 0.9995 => format!("{value:.3}"),
        _ => {
            let digits = (3.0 - size.log10().floor() - 1.0).clamp(0.0, 12.0);
            format!("{value:.*}", digits as usize)
        }
    }
}

/// A whole number with commas: `13,368`.
pub fn count(value: u64) -> String {
    grouped(value as f64)
}

fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    match value < 0.0 {
        true => format!("-{text}"),
        false => text,
    }
}

/// Nanoseconds with the unit that fits: `26.45 s`, `2.34 ms`.
pub fn duration(ns: f64) -> String {
    match ns {
        ns if ns < 1e6 => format!("{} µs", number(ns / 1e3)),
        ns if ns < 1e9 => format!("{} ms", number(ns / 1e6)),
        ns => format!("{} s", number(ns / 1e9)),
    }
}

/// Bytes in binary units: `79.6 GiB`.
pub fn bytes(value: u64) -> String {
    let value = value as f64;
    match value {
        value if value >= 1024.0 * 1024.0 * 1024.0 => format!("{:.1} GiB", value / 1024f64.powi(3)),
        value => format!("{:.1} MiB", value / 1024f64.powi(2)),
    }
}

/// One number over another: `×1.034`.
pub fn ratio(value: f64, first: f64) -> Option<String> {
    let ratio = value / first;
    (ratio.is_finite() && first > 0.0).then(|| format!("×{ratio:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_matter() {
        for (value, text) in [
            (0.0, "0"),
            (0.039_12, "0.0391"),
            (1.0, "1"),
            (500.0, "500"),
            (58.1234, "58.12"),
            (105.756, "105.8"),
            (999.96, "1,000"),
            (1242.1, "1,242"),
            (13_368.0, "13,368"),
            (1_234_567.0, "1,234,567"),
            (-12.5, "-12.50"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(count(1000), "1,000");
        assert_eq!(count(7), "7");
    }

    #[test]
    fn durations_and_sizes_have_the_unit_that_fits() {
        assert_eq!(duration(1_500.0), "1.500 µs");
        assert_eq!(duration(2_340_000.0), "2.340 ms");
        assert_eq!(duration(20e9), "20 s");
        assert_eq!(duration(26_451_000_000.0), "26.45 s");
        assert_eq!(bytes(85_520_809_984), "79.6 GiB");
        assert_eq!(bytes(1 << 20), "1.0 MiB");
        assert_eq!(ratio(3.0, 2.0).as_deref(), Some("×1.500"));
        assert_eq!(ratio(3.0, 0.0), None);
    }
}
