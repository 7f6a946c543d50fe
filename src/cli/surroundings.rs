//! The one place that asks the process for its environment, its folder and the time.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::macros::format_description;

use super::args::ConfigArgs;
use crate::config::{Assets, Request, Resolution, Surroundings, Wanted, resolve};
use crate::error::Failure;
use crate::model::{ModelChoice, ModelPlaces};
use crate::system;

/// Resolves what was asked for, here and now.
pub fn resolve_here(config: ConfigArgs) -> Result<Resolution, Failure> {
    resolve_with(config, ModelPlaces::choose)
}

/// The same for a command that needs the model alone: its data set need not be there.
pub fn resolve_model_here(config: ConfigArgs) -> Result<Resolution, Failure> {
    resolve_with(config, ModelPlaces::choose_model)
}

fn resolve_with(
    config: ConfigArgs,
    choose: fn(&ModelPlaces, &Wanted) -> Result<ModelChoice, Failure>,
) -> Result<Resolution, Failure> {
    let working_dir = std::env::current_dir()
        .map_err(|error| Failure::user("cannot read the working folder").because(error))?;
    let places = ModelPlaces::of_this_process()
        .map_err(|error| Failure::user("cannot find out where this program is").because(error))?;
    let text = |variable: OsString| variable.into_string().ok();
    let env = std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
    let request = Request {
        flags: config.flags,
        env: env.collect(),
        files: config.files,
        config_dir: config.config_dir,
    };
    let around = Surroundings {
        machine: system::detect(),
        program: std::env::current_exe().ok(),
        working_dir,
        log_dir: log_dir(),
        locate: &|wanted| choose(&places, wanted).map(Assets::from),
    };
    resolve(&request, &around)
}

/// `build/logs/2025.01.31-12.00.00`, in local time.
fn log_dir() -> PathBuf {
    let now = OffsetDateTime::now_local().unwrap_or_else(|_| OffsetDateTime::now_utc());
    let format = format_description!("[year].[month].[day]-[hour].[minute].[second]");
    // Formatting into a string with this format has nothing that can fail.
    let name = now
        .format(&format)
        .unwrap_or_else(|_| now.unix_timestamp().to_string());
    Path::new("build/logs").join(name)
}
