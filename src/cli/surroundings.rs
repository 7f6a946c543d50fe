//! The one place that asks the process for its environment, its folder and the time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::macros::format_description;

use super::args::ConfigArgs;
use super::probe_engine;
use crate::config::{Assets, Request, Resolution, Surroundings, Wanted, resolve};
use crate::error::Failure;
use crate::model::{ModelChoice, ModelPlaces};
use crate::scratch::Kind;
use crate::system::{self, Machine};

/// Where folders of logs are made.
const LOGS: &str = "build/logs";

/// This machine, this program, and where it was started.
pub struct Here {
    /// The machine.
    pub machine: Machine,
    /// This program's file.
    pub program: Option<PathBuf>,
    /// Repository, scratch space, models.
    pub places: ModelPlaces,
    working_dir: PathBuf,
    engine_dir: PathBuf,
    env: Vec<(String, String)>,
}

impl Here {
    /// Looks around.
    pub fn look() -> Result<Self, Failure> {
        let working_dir = std::env::current_dir()
            .map_err(|error| Failure::user("cannot read the working folder").because(error))?;
        let lost = |error| Failure::user("cannot find out where this program is").because(error);
        let places = ModelPlaces::of_this_process().map_err(lost)?;
        let engine_dir = places.places.root.join("build/engines");
        let text = |variable: OsString| variable.into_string().ok();
        let env = std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
        Ok(Self {
            machine: system::detect(),
            program: std::env::current_exe().ok(),
            places,
            working_dir,
            engine_dir,
            env: env.collect(),
        })
    }

    /// The value of an environment variable.
    pub fn variable(&self, name: &str) -> Option<String> {
        let found = self.env.iter().find(|(variable, _)| variable == name);
        found.map(|(_, value)| value.clone())
    }

    /// Resolves what was asked for.
    pub fn resolve(&self, config: ConfigArgs) -> Result<Resolution, Failure> {
        self.resolve_with(config, ModelPlaces::choose)
    }

    fn resolve_with(
        &self,
        config: ConfigArgs,
        choose: fn(&ModelPlaces, &Wanted) -> Result<ModelChoice, Failure>,
    ) -> Result<Resolution, Failure> {
        let request = Request {
            flags: config.flags,
            env: self.env.clone(),
            files: config.files,
            config_dir: config.config_dir,
        };
        // Every test asks again.
        let probed = RefCell::new(HashMap::new());
        let around = Surroundings {
            machine: self.machine.clone(),
            program: self.program.clone(),
            working_dir: self.working_dir.clone(),
            log_dir: log_dir(),
            engine_dir: self.engine_dir.clone(),
            data_dir: self.places.places.folder(Kind::Data),
            preprocessed_data_dir: self.places.places.folder(Kind::PreprocessedData),
            can_run: &|engine, folders| {
                let asked = (engine.to_owned(), folders.to_owned());
                let found = || probe_engine::can_run(engine, folders);
                probed
                    .borrow_mut()
                    .entry(asked)
                    .or_insert_with(found)
                    .clone()
            },
            locate: &|wanted| choose(&self.places, wanted).map(Assets::from),
        };
        resolve(&request, &around)
    }
}

/// Resolves what was asked for, here and now.
pub fn resolve_here(config: ConfigArgs) -> Result<Resolution, Failure> {
    Here::look()?.resolve(config)
}

/// The same for a command that needs the model alone: its data set need not be there.
pub fn resolve_model_here(config: ConfigArgs) -> Result<Resolution, Failure> {
    Here::look()?.resolve_with(config, ModelPlaces::choose_model)
}

/// Where runs are looked for: where logs go, or where the folders of logs are.
pub fn log_root() -> PathBuf {
    let given = std::env::var_os("GPTJ_LOG_DIR").filter(|folder| !folder.is_empty());
    given.map_or_else(|| PathBuf::from(LOGS), PathBuf::from)
}

/// `build/logs/2025.01.31-12.00.00`, in local time.
fn log_dir() -> PathBuf {
    let now = OffsetDateTime::now_local().unwrap_or_else(|_| OffsetDateTime::now_utc());
    let format = format_description!("[year].[month].[day]-[hour].[minute].[second]");
    // Formatting into a string with this format has nothing that can fail.
    let name = now
        .format(&format)
        .unwrap_or_else(|_| now.unix_timestamp().to_string());
    Path::new(LOGS).join(name)
}
