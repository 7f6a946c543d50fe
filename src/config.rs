//! Configuration: layers resolved into one struct without options; each value knows where it came from.
//!
//! Precedence, from the lowest: the key table's defaults, `configs/gptj/base.toml`, the scenario's file, the
//! workload's, the round's, the system profile's, user files, environment variables (`GPTJ_<KEY>`), flags. What is left
//! as `auto` is then worked out from this machine, or measured before the test.

mod assets;
mod build;
mod check;
mod derive;
mod explain;
mod file;
mod find;
mod key;
mod keys;
mod layers;
mod on_gpus;
mod origin;
mod resolve;
mod resolved;
mod selection;
#[cfg(test)]
pub(crate) mod testing;
mod to_bridge;
pub mod user_conf;

pub use assets::{Assets, Wanted};
pub use explain::{SettingUsed, explain, settings_used, to_json};
pub use file::{About, LayerFile};
pub use key::{Group, Key, Kind, Value, choose, nearest, offered};
pub use keys::{KEYS, find as find_key, suggest};
pub use layers::{Flag, Setting, Settings};
pub use origin::Origin;
pub use resolve::{CanRun, Plan, Request, Resolution, Surroundings, resolve};
pub use resolved::*;
pub use to_bridge::USER_CONF;
