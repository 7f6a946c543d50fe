//! A plan for a test: the one that is there, a copy of an equal one, or a new one.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::HumanBytes;
use serde::{Deserialize, Serialize};

use super::manifest::{Manifest, PlanFile, SCHEMA_VERSION, Seconds, Stale};
use super::needs::Needs;
use super::place::Place;
use crate::bridge::{EngineError, ErrorKind, ffi};
use crate::config::ResolvedConfig;
use crate::disk::Destination;
use crate::error::Failure;
use crate::model::ModelConfig;
use crate::model::fingerprint::{self, WHOLE};
use crate::report::{files, timestamp};

/// A plan and what was measured for it, with room to spare: a plan holds no weights.
const LEAST_FREE_BYTES: u64 = 256 << 20;

/// How far a build is, for whoever draws it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The library starts, and says what a plan depends on.
    Asking,
    /// Another process builds for the same system.
    Waiting,
    /// The library builds.
    Building,
    /// The new plan is read for its digest.
    Reading,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asking => "looking at the plan",
            Self::Waiting => "waiting for another process that builds a plan",
            Self::Building => "building the plan",
            Self::Reading => "reading the plan back",
        })
    }
}

/// Who is told how it goes.
pub trait Listener: Send + Sync {
    /// Something begins that may take a while.
    fn phase(&self, phase: Phase);
    /// A line for people.
    fn say(&self, line: String);
}

/// Where a plan comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// It was there and fits.
    Kept,
    /// The plan of another test was built for the same.
    Copied,
    /// It was built now.
    Built,
}

/// A plan that fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provided {
    /// The file.
    pub path: PathBuf,
    /// What is written beside it.
    pub manifest: Manifest,
    /// Where it comes from.
    pub origin: Origin,
}

/// Provides plans for the tests of one command.
pub struct Engines<'a> {
    listener: &'a dyn Listener,
    /// Plans of this command: to build them once is enough, even where they must be built anew.
    fresh: Vec<PathBuf>,
}

impl<'a> Engines<'a> {
    /// `listener` is told how things go. `fresh` are plans that the same command has provided.
    pub fn new(listener: &'a dyn Listener, fresh: Vec<PathBuf>) -> Self {
        Self { listener, fresh }
    }

    /// The plan of a test with this model; `None` where the engine runs without one. Starts the engine's library, which
    /// uses its GPU. A build takes minutes and cannot be stopped but by ending the process, which leaves what was there.
    pub fn provide(
        &self,
        config: &ResolvedConfig,
        model: &ModelConfig,
    ) -> Result<Option<Provided>, Failure> {
        if !ffi::has_plans(&config.engine.on_device(0)).map_err(EngineError::from)? {
            return Ok(None);
        }
        self.listener.phase(Phase::Asking);
        let job = Job::new(config, model)?;
        // A plan that fits needs no folder that can be written.
        if let Ok(manifest) = self.check(&job) {
            return Ok(Some(job.provided(manifest, Origin::Kept)));
        }
        job.system().create()?;
        let _lock = self.lock(&job)?;
        // While this process waited, another one may have built it.
        let stale = match self.check(&job) {
            Ok(manifest) => return Ok(Some(job.provided(manifest, Origin::Kept))),
            Err(stale) => stale,
        };
        job.folder().create()?;
        job.folder().probe()?;
        let path = job.place.plan.display();
        if let Some((equal, manifest)) = self.equal(&job) {
            self.listener.say(format!(
                "{path}: {stale}; copying {}, which was built for the same",
                equal.display()
            ));
            return job.copy(&equal, manifest).map(Some);
        }
        self.listener.say(format!("{path}: {stale}; building it"));
        let built = job.build(self.listener)?;
        self.listener
            .say(format!("{path}: {}", summary(&built.manifest)));
        Ok(Some(built))
    }

    fn check(&self, job: &Job<'_>) -> Result<Manifest, Stale> {
        let place = &job.place;
        let found = Manifest::of_fitting(&place.plan, &place.manifest, &job.needs);
        match found {
            Ok(_) if !self.may_use(job, &place.plan) => Err(Stale::Forced),
            other => other,
        }
    }

    fn may_use(&self, job: &Job<'_>, plan: &Path) -> bool {
        !job.config.engine.force_build || self.fresh.iter().any(|fresh| fresh == plan)
    }

    /// A plan of another scenario or accuracy target that was built for the same.
    fn equal(&self, job: &Job<'_>) -> Option<(PathBuf, Manifest)> {
        let mut others = job.place.others().into_iter();
        others.find_map(|(plan, manifest)| {
            let fits = || Manifest::of_fitting(&plan, &manifest, &job.needs).ok();
            let manifest = self.may_use(job, &plan).then(fits)??;
            Some((plan, manifest))
        })
    }

    /// One build at a time for each system: they share the timing cache, and would spoil each other's timings.
    fn lock(&self, job: &Job<'_>) -> Result<File, Failure> {
        let refused = |error| job.system().refused(error);
        let lock = File::create(&job.place.lock).map_err(refused)?;
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
        self.listener.phase(Phase::Waiting);
        self.listener.say(format!(
            "waiting for another process that builds a plan in {}",
            job.place.system.display()
        ));
        lock.lock().map_err(refused)?;
        Ok(lock)
    }
}

/// One test, and what its plan must have been built for.
struct Job<'a> {
    config: &'a ResolvedConfig,
    /// The first engine's; the others only have other devices.
    settings: ffi::EngineSettings,
    shape: ffi::ModelShape,
    generation: ffi::Generation,
    needs: Needs,
    place: Place,
}

impl<'a> Job<'a> {
    fn new(config: &'a ResolvedConfig, model: &ModelConfig) -> Result<Self, Failure> {
        let mut engines = config.engine.to_settings().into_iter();
        let Some(settings) = engines.next() else {
            return Err(Failure::harness(format!(
                "the configuration names no device for the {} engine",
                config.engine.engine
            )));
        };
        let facts = facts(&settings)?;
        for other in engines {
            check_alike(&settings, &facts, &other)?;
        }
        let library = ffi::engine_library(&settings).map_err(EngineError::from)?;
        let library = fingerprint::of_file(Path::new(&library), WHOLE, &|_| {})?;
        let shape = model.into();
        let generation = config.generation.to_settings(model.eos_token);
        let needs = Needs::new(&settings, &shape, &generation, facts, library);
        Ok(Self {
            place: Place::new(config, &needs),
            config,
            settings,
            shape,
            generation,
            needs,
        })
    }

    fn system(&self) -> Destination<'_> {
        self.destination(&self.place.system)
    }

    fn folder(&self) -> Destination<'_> {
        self.destination(self.place.folder())
    }

    fn destination<'b>(&self, path: &'b Path) -> Destination<'b> {
        Destination {
            path,
            what: "folder of engines",
            writer: "a build",
            bytes: LEAST_FREE_BYTES,
            option: "--engine_dir",
        }
    }

    fn provided(&self, manifest: Manifest, origin: Origin) -> Provided {
        Provided {
            path: self.place.plan.clone(),
            manifest,
            origin,
        }
    }

    fn copy(&self, equal: &Path, manifest: Manifest) -> Result<Provided, Failure> {
        let plan = fs::read(equal).map_err(|error| {
            Failure::user(format!("cannot read `{}`", equal.display())).because(error)
        })?;
        files::write(&self.place.plan, &plan).map_err(|failure| self.with_remedy(failure))?;
        self.finish(manifest, Origin::Copied)
    }

    fn build(&self, listener: &dyn Listener) -> Result<Provided, Failure> {
        let start = Instant::now();
        listener.phase(Phase::Building);
        let settings = ffi::EngineSettings {
            plan_path: self.place.plan.to_string_lossy().into_owned(),
            ..self.settings.clone()
        };
        let timing_cache = self.place.timing_cache.to_string_lossy();
        let report = ffi::build_plan(&settings, &self.shape, &self.generation, &timing_cache)
            .map_err(|error| self.not_built(error.into()))?;
        listener.phase(Phase::Reading);
        let manifest = Manifest {
            schema_version: SCHEMA_VERSION,
            program: format!("run_harness {}", env!("CARGO_PKG_VERSION")),
            built: timestamp(),
            needs: self.needs.clone(),
            plan: PlanFile::of(&self.place.plan)?,
            seconds: Seconds {
                network: report.network_seconds,
                kernels: report.build_seconds,
                total: start.elapsed().as_secs_f64(),
            },
            timing_cache_bytes: report.timings_reused,
        };
        self.finish(manifest, Origin::Built)
    }

    /// Whoever is interrupted before leaves a plan whose digest its manifest does not have.
    fn finish(&self, manifest: Manifest, origin: Origin) -> Result<Provided, Failure> {
        files::write_json(&self.place.manifest, &manifest)
            .map_err(|failure| self.with_remedy(failure))?;
        Ok(self.provided(manifest, origin))
    }

    fn with_remedy(&self, failure: Failure) -> Failure {
        failure.hint(self.folder().remedy())
    }

    fn not_built(&self, error: EngineError) -> Failure {
        let kind = error.kind;
        let failure = Failure::from(error).because(format!(
            "while the plan `{}` was built",
            self.place.plan.display()
        ));
        match kind {
            ErrorKind::Io => self.with_remedy(failure),
            ErrorKind::OutOfMemory => failure.hint(
                "free memory on the GPU (nvidia-smi lists what holds it), or use a smaller \
                 --max_tokens_per_step or --gpu_batch_size",
            ),
            _ => failure,
        }
    }
}

fn facts(settings: &ffi::EngineSettings) -> Result<ffi::PlanFacts, Failure> {
    ffi::plan_facts(settings).map_err(|error| {
        Failure::from(EngineError::from(error)).because(format!(
            "while the {} engine was asked what its plans depend on",
            settings.engine
        ))
    })
}

/// One plan serves all engines of a test, so that their GPUs must be of one kind.
fn check_alike(
    first: &ffi::EngineSettings,
    facts_of_first: &ffi::PlanFacts,
    other: &ffi::EngineSettings,
) -> Result<(), Failure> {
    let facts_of_other = facts(other)?;
    if facts_of_other == *facts_of_first {
        return Ok(());
    }
    let show = |device: i32, facts: &ffi::PlanFacts| {
        format!(
            "GPU {device} is {}, compute capability {}, computing in {}",
            facts.gpu, facts.compute_capability, facts.precision
        )
    };
    Err(Failure::user(format!(
        "GPU {} and GPU {} cannot run the same plan",
        first.device, other.device
    ))
    .because(show(first.device, facts_of_first))
    .because(show(other.device, &facts_of_other))
    .hint("name GPUs of one kind with --devices"))
}

/// What a build took, and what came of it.
fn summary(manifest: &Manifest) -> String {
    let seconds = manifest.seconds;
    let timings = match manifest.timing_cache_bytes {
        0 => "no earlier timings used".to_owned(),
        bytes => format!("{} of earlier timings used", HumanBytes(bytes)),
    };
    format!(
        "built in {:.1} s (network {:.1} s, kernels {:.1} s), {}, {timings}",
        seconds.total,
        seconds.network,
        seconds.kernels,
        HumanBytes(manifest.plan.bytes)
    )
}
