//! LoadGen tests for benches. LoadGen keeps process-global state and runs one test in a process, so a bench starts
//! itself again for each of its tests.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use mlperf_gptj::bridge::{EngineError, ffi};

/// Tells a child process which of the bench's tests it runs.
const TEST: &str = "GPTJ_BENCH_TEST";
const USER_CONF: &str = "user.conf";
const LOG_PREFIX: &str = "mlperf_log_";

/// Which test this process was started for; `None` in the bench itself.
pub fn child() -> Result<Option<usize>> {
    match env::var(TEST) {
        Ok(text) => Ok(Some(text.parse().context(TEST)?)),
        Err(_) => Ok(None),
    }
}

/// Runs test `index` in a child process and reads what LoadGen said of it. The child works in an empty folder: LoadGen
/// obeys an `audit.config` that lies where it is started.
pub fn run_child(index: usize) -> Result<Summary> {
    let folder = tempfile::tempdir()?;
    let status = Command::new(env::current_exe()?)
        .env(TEST, index.to_string())
        .current_dir(folder.path())
        .status()?;
    ensure!(status.success(), "test {index} ended with {status}");
    Summary::read(&folder.path().join(format!("{LOG_PREFIX}summary.txt")))
}

/// What LoadGen is asked for.
pub struct Test<'a> {
    pub scenario: ffi::Scenario,
    pub scheduler: &'a str,
    /// Lines of user.conf.
    pub user_conf: &'a str,
}

impl Test<'_> {
    /// In the child: runs the test in the working folder.
    pub fn run(
        &self,
        generation: &ffi::Generation,
        mut pool: cxx::UniquePtr<ffi::EnginePool>,
        samples: &ffi::SampleSet,
    ) -> Result<ffi::RunOutcome> {
        fs::write(USER_CONF, self.user_conf)?;
        let settings = ffi::RunSettings {
            scenario: self.scenario,
            mode: ffi::TestMode::PerformanceOnly,
            loadgen_model: "gptj".to_owned(),
            sut_name: "bench".to_owned(),
            qsl_name: "bench".to_owned(),
            user_conf: USER_CONF.to_owned(),
            log_dir: ".".to_owned(),
            log_prefix: LOG_PREFIX.to_owned(),
            log_suffix: String::new(),
            log_prefix_with_datetime: false,
            log_copy_detail_to_stdout: false,
            log_copy_summary_to_stdout: false,
            log_enable_trace: false,
            qsl_rng_seed: 0,
            sample_index_rng_seed: 0,
            schedule_rng_seed: 0,
            performance_sample_count: 0,
            server_coalesce_queries: true,
            server_num_issue_query_threads: 0,
            scheduler: scheduler(self.scheduler),
        };
        let progress = ffi::new_progress();
        let outcome = ffi::run_test(&settings, generation, pool.pin_mut(), samples, &progress);
        Ok(outcome.map_err(EngineError::from)?)
    }
}

/// The scheduler of that name; `static` sorts as the v3.1 harness did.
pub fn scheduler(name: &str) -> ffi::SchedulerSettings {
    ffi::SchedulerSettings {
        name: name.to_owned(),
        enable_sort: true,
        num_sort_segments: 2,
    }
}

/// LoadGen's `mlperf_log_summary.txt`.
pub struct Summary(String);

impl Summary {
    fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Ok(Self(text))
    }

    /// The first value of that name.
    pub fn number(&self, name: &str) -> Result<f64> {
        let values = self.0.lines().filter_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then_some(value.trim())
        });
        let value = values.map(str::parse).next().and_then(Result::ok);
        value.with_context(|| format!("LoadGen's summary has no number `{name}`:\n{}", self.0))
    }

    /// Whether LoadGen calls the result valid. A run that is invalid for any reason but its latency is an error: it
    /// measured nothing.
    pub fn is_valid(&self) -> Result<bool> {
        let says = |text: &str| self.0.lines().any(|line| line.trim() == text);
        if says("Result is : VALID") {
            return Ok(true);
        }
        let only_late = says("Result is : INVALID")
            && says("Min duration satisfied : Yes")
            && says("Min queries satisfied : Yes");
        if !only_late {
            bail!("LoadGen calls the run invalid:\n{}", self.0);
        }
        Ok(false)
    }
}
