//! Options of the Python front end that have another name here, and mean the same.

use std::ffi::{OsStr, OsString};

use super::normalise::option;
use crate::error::Failure;

/// An option that is `true` or `false` there, and one value of another option here.
pub struct Translated {
    /// Its name there.
    pub name: &'static str,
    /// The option here.
    pub option: &'static str,
    /// Its value.
    pub value: &'static str,
}

/// All of them.
pub const TRANSLATED: &[Translated] = &[Translated {
    name: "use_fp8",
    option: "precision",
    value: "fp8",
}];

/// What an option is called here, if it is one of these.
pub fn translation(name: &str) -> Option<&'static Translated> {
    TRANSLATED.iter().find(|known| known.name == name)
}

/// Writes such options as they are written here.
pub fn translate(args: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    let mut translated = Vec::with_capacity(args.len());
    let mut only_values = false;
    for arg in &args {
        only_values = only_values || arg == "--";
        match find(arg).filter(|_| !only_values) {
            Some((known, given)) => translated.extend(one(known, given, &args)?),
            None => translated.push(arg.clone()),
        }
    }
    Ok(translated)
}

/// The option that an argument is, and the value given with `=`.
fn find(arg: &OsStr) -> Option<(&'static Translated, Option<&str>)> {
    let (name, given) = option(arg)?;
    Some((translation(name)?, given))
}

fn one(
    known: &Translated,
    given: Option<&str>,
    args: &[OsString],
) -> Result<Option<OsString>, Failure> {
    let Translated {
        name,
        option: ours,
        value,
    } = known;
    match given.unwrap_or("true").to_ascii_lowercase().as_str() {
        "true" | "1" => {}
        "false" | "0" => return Ok(None),
        other => {
            return Err(
                Failure::user(format!("--{name} is `{other}`")).hint("expected true or false")
            );
        }
    }
    let is_other = |arg: &OsString| {
        let text = arg.to_string_lossy();
        option(OsStr::new(&*text)).is_some_and(|(name, _)| name == *ours)
    };
    if args.iter().any(is_other) {
        return Err(Failure::user(format!(
            "`--{name}` means `--{ours}={value}`, and `--{ours}` is given too"
        ))
        .hint("leave one of them out"));
    }
    Ok(Some(format!("--{ours}={value}").into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::find_key;

    fn translated(args: &[&str]) -> Result<Vec<OsString>, Failure> {
        translate(args.iter().map(OsString::from).collect())
    }

    #[test]
    fn every_translation_is_a_value_that_its_key_takes() {
        for known in TRANSLATED {
            let key = find_key(known.option).unwrap();
            assert!(key.parse(known.value).is_ok(), "{}", known.name);
            assert!(find_key(known.name).is_none(), "{}", known.name);
        }
    }

    #[test]
    fn an_option_of_the_former_front_end_gets_its_name_here() {
        assert_eq!(
            translated(&["x", "--use_fp8", "--fast"]).unwrap(),
            ["x", "--precision=fp8", "--fast"]
        );
        assert_eq!(
            translated(&["x", "--use_fp8=True"]).unwrap(),
            ["x", "--precision=fp8"]
        );
        assert_eq!(translated(&["x", "--use_fp8=false"]).unwrap(), ["x"]);
        assert_eq!(
            translated(&["x", "--", "--use_fp8"]).unwrap(),
            ["x", "--", "--use_fp8"]
        );
    }

    #[test]
    fn it_is_not_given_under_both_names() {
        for other in ["--precision", "--precision=fp16"] {
            let failure = translated(&["x", other, "--use_fp8"]).unwrap_err();
            assert_eq!(
                failure.message,
                "`--use_fp8` means `--precision=fp8`, and `--precision` is given too"
            );
        }
        let failure = translated(&["x", "--use_fp8=8"]).unwrap_err();
        assert_eq!(failure.message, "--use_fp8 is `8`");
    }
}
