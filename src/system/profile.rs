//! Which profile of `configs/systems` describes this machine.

use glob::{MatchOptions, Pattern};

use super::Machine;
use crate::config::LayerFile;
use crate::error::Failure;

/// The profile that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileMatch {
    /// Index into the profiles given.
    pub index: usize,
    /// Why, for people.
    pub reason: String,
}

/// The profile whose every pattern holds; of several the one with the most patterns. None is no error: a machine that
/// nothing describes runs with what holds everywhere.
pub fn choose_profile(
    machine: &Machine,
    profiles: &[LayerFile],
) -> Result<Option<ProfileMatch>, Failure> {
    let mut best: Option<(usize, ProfileMatch)> = None;
    for (index, profile) in profiles.iter().enumerate() {
        let Some(reasons) = matches(machine, profile)? else {
            continue;
        };
        if best
            .as_ref()
            .is_none_or(|(count, _)| reasons.len() > *count)
        {
            best = Some((
                reasons.len(),
                ProfileMatch {
                    index,
                    reason: reasons.join(", "),
                },
            ));
        }
    }
    Ok(best.map(|(_, found)| found))
}

/// What matched, one reason for each pattern; `None` when something did not.
fn matches(machine: &Machine, profile: &LayerFile) -> Result<Option<Vec<String>>, Failure> {
    let about = &profile.about;
    let mut reasons = Vec::new();
    if let Some(text) = &about.cpu {
        if !pattern(profile, text)?.matches_with(&machine.cpu.model, ANY_CASE) {
            return Ok(None);
        }
        reasons.push(format!("CPU `{}` matches `{text}`", machine.cpu.model));
    }
    if let Some(text) = &about.gpu {
        let pattern = pattern(profile, text)?;
        let all = machine
            .gpus
            .iter()
            .all(|gpu| pattern.matches_with(&gpu.name, ANY_CASE));
        let Some(first) = machine.gpus.first().filter(|_| all) else {
            return Ok(None);
        };
        reasons.push(format!("GPU `{}` matches `{text}`", first.name));
    }
    let count = machine.gpus.len();
    if count < about.min_gpus.unwrap_or(0) || count > about.max_gpus.unwrap_or(usize::MAX) {
        return Ok(None);
    }
    if about.min_gpus.is_some() || about.max_gpus.is_some() {
        reasons.push(match count {
            0 => "no GPU".to_owned(),
            1 => "1 GPU".to_owned(),
            count => format!("{count} GPUs"),
        });
    }
    Ok(Some(reasons))
}

const ANY_CASE: MatchOptions = MatchOptions {
    case_sensitive: false,
    require_literal_separator: false,
    require_literal_leading_dot: false,
};

fn pattern(profile: &LayerFile, text: &str) -> Result<Pattern, Failure> {
    Pattern::new(text).map_err(|error| {
        Failure::user(format!(
            "{}: [about]: `{text}` is no shell pattern",
            profile.path
        ))
        .because(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::About;
    use crate::system::{Cpu, Gpu};

    fn profile(name: &str, about: About) -> LayerFile {
        LayerFile {
            path: name.to_owned(),
            about,
            ..LayerFile::default()
        }
    }

    fn profiles() -> Vec<LayerFile> {
        let h100 = Some("*H100*".to_owned());
        let one_of_eight = (Some(8), Some(8));
        let about = About::default;
        vec![
            profile(
                "cpu",
                About {
                    max_gpus: Some(0),
                    ..about()
                },
            ),
            profile(
                "cuda",
                About {
                    min_gpus: Some(1),
                    ..about()
                },
            ),
            profile(
                "x8",
                About {
                    gpu: h100.clone(),
                    min_gpus: one_of_eight.0,
                    max_gpus: one_of_eight.1,
                    ..about()
                },
            ),
            profile(
                "azure",
                About {
                    gpu: h100,
                    cpu: Some("*8480c*".to_owned()),
                    min_gpus: Some(8),
                    max_gpus: Some(8),
                    ..about()
                },
            ),
        ]
    }

    fn machine(cpu: &str, gpus: &[&str]) -> Machine {
        Machine {
            cpu: Cpu {
                model: cpu.to_owned(),
                ..Cpu::default()
            },
            gpus: gpus
                .iter()
                .map(|name| Gpu {
                    name: (*name).to_owned(),
                })
                .collect(),
            ..Machine::default()
        }
    }

    fn chosen(machine: &Machine) -> (String, String) {
        let profiles = profiles();
        let found = choose_profile(machine, &profiles).unwrap().unwrap();
        (profiles[found.index].path.clone(), found.reason)
    }

    #[test]
    fn the_most_patterns_win_and_the_reason_names_them() {
        let h100 = ["NVIDIA H100 80GB HBM3"; 8];
        let (name, reason) = chosen(&machine("Intel(R) Xeon(R) Platinum 8480C", &h100));
        assert_eq!(name, "azure");
        assert_eq!(
            reason,
            "CPU `Intel(R) Xeon(R) Platinum 8480C` matches `*8480c*`, GPU `NVIDIA H100 80GB HBM3` \
             matches `*H100*`, 8 GPUs"
        );
        assert_eq!(chosen(&machine("other", &h100)).0, "x8");
    }

    #[test]
    fn any_number_and_mixture_of_gpus_finds_something() {
        assert_eq!(
            chosen(&machine("x", &["NVIDIA H100"; 5])),
            ("cuda".into(), "5 GPUs".into())
        );
        assert_eq!(
            chosen(&machine("x", &["NVIDIA H100", "NVIDIA L4"])).0,
            "cuda"
        );
        assert_eq!(chosen(&machine("x", &[])), ("cpu".into(), "no GPU".into()));
    }

    #[test]
    fn a_broken_pattern_names_its_file() {
        let broken = profile(
            "a.toml",
            About {
                cpu: Some("[".to_owned()),
                ..About::default()
            },
        );
        let failure = choose_profile(&machine("x", &[]), &[broken]).unwrap_err();
        assert!(
            failure.message.starts_with("a.toml: [about]"),
            "{}",
            failure.message
        );
    }
}
