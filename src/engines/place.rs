//! Where plans lie, under the names that the v3.1 harness gave them.

use std::path::{Path, PathBuf};

use super::needs::Needs;
use crate::config::ResolvedConfig;

/// The workload whose plans have no further name.
const OFFICIAL: &str = "cnn_dailymail";

/// Where the plan of one test is, and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Everything of one system: `<engine_dir>/<system>`.
    pub system: PathBuf,
    /// The plan: `gptj/<Scenario>/gptj-<Scenario>-gpu-b<N>-<precision>.<setting>.plan` below it.
    pub plan: PathBuf,
    /// What the plan was built for, beside it.
    pub manifest: PathBuf,
    /// What the builder measured on this kind of GPU for such a network; every build of one reads and writes it.
    /// Networks of other precisions and products ask for other kernels.
    pub timing_cache: PathBuf,
    /// Held by whoever builds.
    pub lock: PathBuf,
}

impl Place {
    /// The place of a test's plan.
    pub fn new(config: &ResolvedConfig, needs: &Needs) -> Self {
        let system = config.paths.engine_dir.join(&config.run.system_name);
        let scenario = config.run.scenario;
        // Whoever goes back and forth between models keeps the plans of both.
        let workload = match config.run.workload.as_str() {
            OFFICIAL => String::new(),
            other => format!(".{other}"),
        };
        let name = format!(
            "{benchmark}-{scenario}-gpu-b{batch}-{precision}.{setting}{workload}.plan",
            benchmark = config.run.benchmark,
            batch = config.engine.max_requests,
            precision = plain(&needs.precision),
            setting = config.workload_setting(),
        );
        let folder = system
            .join(config.run.benchmark.name())
            .join(scenario.name());
        let timings = format!(
            "{}-{}-sm{}-{}{}.timings",
            needs.engine,
            plain(&needs.builder_version),
            needs.compute_capability,
            plain(&needs.precision),
            match needs.gemm_plugin {
                true => "",
                false => "-no_gemm_plugin",
            }
        );
        Self {
            manifest: folder.join(format!("{name}{MANIFEST}")),
            plan: folder.join(name),
            timing_cache: system.join(timings),
            lock: system.join(".lock"),
            system,
        }
    }

    /// The folder of the plan.
    pub fn folder(&self) -> &Path {
        self.plan.parent().unwrap_or(&self.system)
    }

    /// Every other plan of the system that has a manifest, with that.
    pub fn others(&self) -> Vec<(PathBuf, PathBuf)> {
        let system = glob::Pattern::escape(&self.system.to_string_lossy());
        let Ok(found) = glob::glob(&format!("{system}/*/*/*.plan{MANIFEST}")) else {
            return Vec::new();
        };
        found
            .filter_map(Result::ok)
            .filter(|manifest| *manifest != self.manifest)
            .map(|manifest| (manifest.with_extension(""), manifest))
            .collect()
    }
}

/// Put behind the name of a plan.
const MANIFEST: &str = ".json";

/// What a library says becomes part of a file's name.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => c,
            _ => '_',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::needs::tests::needs;
    use super::*;
    use crate::config::testing::Setup;

    fn place(workload: &'static str, flags: &[(&str, &str)]) -> Place {
        let mut all = vec![
            ("system_name", "box"),
            ("engine", "tensorrt"),
            ("gpu_batch_size", "192"),
        ];
        all.extend(flags);
        let config = Setup { workload, gpus: 1 }.config(&all);
        Place::new(&config, &needs())
    }

    #[test]
    fn plans_have_the_names_that_scripts_know() {
        let server = place(
            "cnn_dailymail",
            &[("scenarios", "server"), ("config_ver", "high_accuracy")],
        );
        let plan = "engines/box/gptj/Server/gptj-Server-gpu-b192-fp8.custom_k_99_9_MaxP.plan";
        assert_eq!(server.plan, Path::new(plan));
        assert_eq!(server.manifest, PathBuf::from(format!("{plan}.json")));
        assert_eq!(
            server.timing_cache,
            Path::new("engines/box/tensorrt-8.6.0-sm90-fp8.timings")
        );
        let mini = place("gptj-mini", &[("scenarios", "single_stream")]);
        assert_eq!(
            mini.plan,
            Path::new(
                "engines/box/gptj/SingleStream/\
                 gptj-SingleStream-gpu-b192-fp8.custom_k_99_MaxP.gptj-mini.plan"
            )
        );
    }

    #[test]
    fn what_a_library_says_does_not_lead_elsewhere() {
        let config = Setup {
            workload: "cnn_dailymail",
            gpus: 1,
        }
        .config(&[("engine", "tensorrt")]);
        let odd = Needs {
            precision: "../fp8".to_owned(),
            builder_version: "8/6 0".to_owned(),
            ..needs()
        };
        let place = Place::new(&config, &odd);
        assert!(
            place.plan.to_string_lossy().contains("-.._fp8."),
            "{place:?}"
        );
        assert!(
            place
                .timing_cache
                .ends_with("tensorrt-8_6_0-sm90-.._fp8.timings"),
            "{place:?}"
        );
    }
}
