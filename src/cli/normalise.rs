//! `--min-duration` is `--min_duration`: the names that people know have underscores, the habit has dashes.

use std::ffi::{OsStr, OsString};

/// The name of the option that an argument is, and the value given with `=`.
pub fn option(arg: &OsStr) -> Option<(&str, Option<&str>)> {
    let rest = arg.to_str()?.strip_prefix("--")?;
    Some(match rest.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (rest, None),
    })
}

/// Turns the dashes within option names into underscores. Values and what follows `--` stay as they are.
pub fn normalise(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut only_values = false;
    let one = |arg: OsString| -> OsString {
        only_values = only_values || arg == "--";
        match option(&arg).filter(|_| !only_values) {
            Some((name, Some(value))) => format!("--{}={value}", name.replace('-', "_")).into(),
            Some((name, None)) => format!("--{}", name.replace('-', "_")).into(),
            // Not an option, or not text: a path perhaps.
            _ => arg,
        }
    };
    args.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(args: &[&str]) -> Vec<OsString> {
        normalise(args.iter().map(OsString::from))
    }

    #[test]
    fn names_change_and_values_do_not() {
        let args = [
            "run-harness",
            "show-config",
            "--min-duration=6-0",
            "--log-dir",
            "a-b",
            "-h",
        ];
        let expected = [
            "run-harness",
            "show-config",
            "--min_duration=6-0",
            "--log_dir",
            "a-b",
            "-h",
        ];
        assert_eq!(normalised(&args), expected);
    }

    #[test]
    fn only_the_first_equals_sign_ends_the_name() {
        assert_eq!(normalised(&["--log-dir=a=--b-c"]), ["--log_dir=a=--b-c"]);
    }

    #[test]
    fn nothing_changes_behind_two_dashes() {
        assert_eq!(
            normalised(&["--a-b", "--", "--a-b"]),
            ["--a_b", "--", "--a-b"]
        );
    }
}
