//! Which profile of `configs/systems` describes this machine, or the one that is nearest to it.

use glob::{MatchOptions, Pattern};

use super::Device;
use crate::config::LayerFile;
use crate::error::Failure;

/// Memory that differs by less than this share is the same: error correction takes some of it, drivers another part.
const SAME_MEMORY: f64 = 0.1;
/// GPUs of one architecture are near each other while neither has more than so many times the other's memory.
const NEAR_MEMORY: f64 = 1.25;

/// How a profile fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// All that it states holds, or it was asked for by name.
    Exact,
    /// It describes these GPUs, but another number of them or another CPU.
    SameGpu,
    /// It describes GPUs of the same architecture with about the same memory.
    NearGpu,
}

/// The profile that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileMatch {
    /// Index into the profiles given.
    pub index: usize,
    /// How it fits.
    pub fit: Fit,
    /// Why, for people.
    pub reason: String,
}

/// What a profile is compared with: the CPU, and the devices that are to be used.
#[derive(Debug, Clone, Copy)]
struct Here<'a> {
    cpu: &'a str,
    devices: &'a [Device],
}

/// The profile whose every statement holds; of several the one that states most. Where that one says nothing about the
/// GPUs, the nearest of those that do. None is no error: a machine that nothing describes runs with what holds
/// everywhere.
pub fn choose_profile(
    cpu: &str,
    devices: &[Device],
    profiles: &[LayerFile],
) -> Result<Option<ProfileMatch>, Failure> {
    let here = Here { cpu, devices };
    let exact = best_exact(here, profiles)?;
    let describes_gpu = exact
        .as_ref()
        .is_some_and(|found| profiles[found.index].about.gpu.is_some());
    if describes_gpu {
        return Ok(exact);
    }
    Ok(nearest(here, profiles)?.or(exact))
}

fn best_exact(here: Here<'_>, profiles: &[LayerFile]) -> Result<Option<ProfileMatch>, Failure> {
    let mut best: Option<(usize, ProfileMatch)> = None;
    for (index, profile) in profiles.iter().enumerate() {
        let Some(reasons) = matches(here, profile)? else {
            continue;
        };
        if best
            .as_ref()
            .is_none_or(|(count, _)| reasons.len() > *count)
        {
            let found = ProfileMatch {
                index,
                fit: Fit::Exact,
                reason: reasons.join(", "),
            };
            best = Some((reasons.len(), found));
        }
    }
    Ok(best.map(|(_, found)| found))
}

/// What holds, one reason for each statement; `None` when something does not. What is not known of this machine is
/// neither.
fn matches(here: Here<'_>, profile: &LayerFile) -> Result<Option<Vec<String>>, Failure> {
    let about = &profile.about;
    let mut reasons = Vec::new();
    if let Some(text) = &about.cpu {
        if !pattern(profile, text)?.matches_with(here.cpu, ANY_CASE) {
            return Ok(None);
        }
        reasons.push(format!("CPU `{}` matches `{text}`", here.cpu));
    }
    if let Some(text) = &about.gpu {
        if !all_named(here.devices, &pattern(profile, text)?) {
            return Ok(None);
        }
        reasons.push(format!("GPU `{}` matches `{text}`", here.devices[0].name));
    }
    for device in here.devices {
        let known = device.capability().zip(about.compute_capability.as_deref());
        if known.is_some_and(|(_, stated)| stated != device.compute_capability) {
            return Ok(None);
        }
        let known = memory_gib(device).zip(about.gpu_memory_gib);
        if known.is_some_and(|(here, stated)| (here / stated - 1.0).abs() > SAME_MEMORY) {
            return Ok(None);
        }
    }
    let count = here.devices.len();
    if count < about.min_gpus.unwrap_or(0) || count > about.max_gpus.unwrap_or(usize::MAX) {
        return Ok(None);
    }
    if about.min_gpus.is_some() || about.max_gpus.is_some() {
        reasons.push(gpus(count));
    }
    Ok(Some(reasons))
}

/// The profile of the same architecture whose memory, and then whose number of GPUs, is nearest; of equal ones the one
/// that is not tied to a CPU.
fn nearest(here: Here<'_>, profiles: &[LayerFile]) -> Result<Option<ProfileMatch>, Failure> {
    let count = here.devices.len();
    let mut best: Option<((Fit, f64, usize, bool), ProfileMatch)> = None;
    for (index, profile) in profiles.iter().enumerate() {
        let Some(ratio) = memory_ratio(here.devices, profile) else {
            continue;
        };
        let about = &profile.about;
        let named = match &about.gpu {
            Some(text) => all_named(here.devices, &pattern(profile, text)?),
            None => false,
        };
        let fit = match named && ratio <= 1.0 + SAME_MEMORY {
            true => Fit::SameGpu,
            false => Fit::NearGpu,
        };
        let memory = if fit == Fit::SameGpu { 1.0 } else { ratio };
        let missing = about.min_gpus.unwrap_or(1).abs_diff(count);
        let distance = (fit, memory, missing, about.cpu.is_some());
        if best.as_ref().is_none_or(|(best, _)| distance < *best) {
            let reason = nearness(fit, here.devices);
            best = Some((distance, ProfileMatch { index, fit, reason }));
        }
    }
    Ok(best.map(|(_, found)| found))
}

fn nearness(fit: Fit, devices: &[Device]) -> String {
    let first = &devices[0];
    let what = match fit {
        Fit::NearGpu => format!(
            "GPU `{}` has compute capability {} and {:.1} GiB",
            first.name,
            first.compute_capability,
            memory_gib(first).unwrap_or_default()
        ),
        Fit::Exact | Fit::SameGpu => format!("GPU `{}` is the same", first.name),
    };
    format!("nearest: {what}; {}", gpus(devices.len()))
}

/// How many times more memory a device has than the profile says, or less; the worst of all devices. `None` when the
/// profile does not describe GPUs of this architecture and size.
fn memory_ratio(devices: &[Device], profile: &LayerFile) -> Option<f64> {
    let stated = profile.about.gpu_memory_gib?;
    let capability = profile.about.compute_capability.as_deref()?;
    devices.first()?;
    let mut worst = 1.0_f64;
    for device in devices {
        if device.compute_capability != capability {
            return None;
        }
        let ratio = memory_gib(device)? / stated;
        worst = worst.max(ratio.max(1.0 / ratio));
    }
    (worst <= NEAR_MEMORY).then_some(worst)
}

/// A MIG instance is never what a profile describes, whatever its size.
fn all_named(devices: &[Device], pattern: &Pattern) -> bool {
    let named =
        |device: &Device| device.instance.is_none() && pattern.matches_with(&device.name, ANY_CASE);
    !devices.is_empty() && devices.iter().all(named)
}

fn memory_gib(device: &Device) -> Option<f64> {
    (device.memory_bytes != 0).then(|| device.memory_bytes as f64 / f64::from(1 << 30))
}

fn gpus(count: usize) -> String {
    match count {
        0 => "no GPU".to_owned(),
        1 => "1 GPU".to_owned(),
        count => format!("{count} GPUs"),
    }
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

    fn profile(name: &str, about: About) -> LayerFile {
        LayerFile {
            path: name.to_owned(),
            about,
            ..LayerFile::default()
        }
    }

    fn hopper(cpu: Option<&str>, pattern: &str, gib: f64, count: usize) -> About {
        About {
            cpu: cpu.map(str::to_owned),
            gpu: Some(pattern.to_owned()),
            compute_capability: Some("9.0".to_owned()),
            gpu_memory_gib: Some(gib),
            min_gpus: Some(count),
            max_gpus: Some(count),
            ..About::default()
        }
    }

    fn profiles() -> Vec<LayerFile> {
        let generic = |min_gpus, max_gpus| About {
            min_gpus,
            max_gpus,
            ..About::default()
        };
        vec![
            profile("cpu", generic(None, Some(0))),
            profile("cuda", generic(Some(1), None)),
            profile("h200", hopper(None, "*H200", 140.0, 1)),
            profile("azure", hopper(Some("*8480c*"), "*H100*", 80.0, 8)),
            profile("x8", hopper(None, "*H100*", 80.0, 8)),
            profile("x1", hopper(None, "*H100*", 80.0, 1)),
        ]
    }

    const AZURE: &str = "Intel(R) Xeon(R) Platinum 8480C";

    fn device(name: &str, capability: &str, gib: u64) -> Device {
        Device {
            name: name.to_owned(),
            compute_capability: capability.to_owned(),
            memory_bytes: gib << 30,
            ..Device::default()
        }
    }

    fn h100() -> Device {
        device("NVIDIA H100 80GB HBM3", "9.0", 80)
    }

    fn chosen(cpu: &str, devices: &[Device]) -> (String, Fit, String) {
        let profiles = profiles();
        let found = choose_profile(cpu, devices, &profiles).unwrap().unwrap();
        (profiles[found.index].path.clone(), found.fit, found.reason)
    }

    fn name_and_fit(devices: &[Device]) -> (String, Fit) {
        let (name, fit, _) = chosen("x", devices);
        (name, fit)
    }

    #[test]
    fn the_most_statements_win_and_the_reason_names_them() {
        let (name, fit, reason) = chosen(AZURE, &vec![h100(); 8]);
        assert_eq!((name.as_str(), fit), ("azure", Fit::Exact));
        assert_eq!(
            reason,
            "CPU `Intel(R) Xeon(R) Platinum 8480C` matches `*8480c*`, GPU `NVIDIA H100 80GB HBM3` \
             matches `*H100*`, 8 GPUs"
        );
        assert_eq!(
            name_and_fit(&vec![h100(); 8]),
            ("x8".to_owned(), Fit::Exact)
        );
        assert_eq!(chosen("x", &[]).2, "no GPU");
    }

    #[test]
    fn another_number_of_the_same_gpu_is_near_whatever_the_cpu() {
        let (name, fit, reason) = chosen(AZURE, &vec![h100(); 5]);
        assert_eq!((name.as_str(), fit), ("x8", Fit::SameGpu));
        assert_eq!(
            reason,
            "nearest: GPU `NVIDIA H100 80GB HBM3` is the same; 5 GPUs"
        );
        assert_eq!(
            name_and_fit(&vec![h100(); 2]),
            ("x1".to_owned(), Fit::SameGpu)
        );
    }

    #[test]
    fn another_gpu_of_the_same_architecture_and_size_is_near() {
        let gh200 = device("NVIDIA GH200 144G HBM3e", "9.0", 141);
        let (name, fit, reason) = chosen("x", &[gh200]);
        assert_eq!((name.as_str(), fit), ("h200", Fit::NearGpu));
        assert_eq!(
            reason,
            "nearest: GPU `NVIDIA GH200 144G HBM3e` has compute capability 9.0 and 141.0 GiB; 1 GPU"
        );
        let nvl = device("NVIDIA H800 NVL", "9.0", 94);
        assert_eq!(name_and_fit(&[nvl]), ("x1".to_owned(), Fit::NearGpu));
    }

    #[test]
    fn what_is_near_to_nothing_gets_what_holds_everywhere() {
        let generic = ("cuda".to_owned(), Fit::Exact);
        for other in [
            device("NVIDIA A100-SXM4-80GB", "8.0", 80),
            device("NVIDIA H100 64GB", "9.0", 48),
            device("NVIDIA GPU", "", 0),
            Device::default(),
        ] {
            assert_eq!(
                name_and_fit(std::slice::from_ref(&other)),
                generic,
                "{other:?}"
            );
            assert_eq!(name_and_fit(&[h100(), other]), generic);
        }
    }

    #[test]
    fn a_mig_instance_is_no_gpu_of_its_size() {
        let mut instance = device("NVIDIA H100 80GB HBM3 MIG 7g.80gb", "9.0", 79);
        instance.instance = Some(0);
        assert_eq!(
            name_and_fit(std::slice::from_ref(&instance)),
            ("x1".to_owned(), Fit::NearGpu)
        );
        instance.memory_bytes = 10 << 30;
        assert_eq!(name_and_fit(&[instance]).0, "cuda");
    }

    #[test]
    fn what_is_not_known_is_not_held_against_a_machine() {
        let unknown = device("NVIDIA H100 80GB HBM3", "", 0);
        assert_eq!(name_and_fit(&[unknown]), ("x1".to_owned(), Fit::Exact));
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
        let failure = choose_profile("x", &[], &[broken]).unwrap_err();
        assert!(
            failure.message.starts_with("a.toml: [about]"),
            "{}",
            failure.message
        );
    }
}
