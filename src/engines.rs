//! Plans: what an engine's library builds once, for a shape of model, limits and a kind of GPU, and keeps in a file.
//!
//! A plan holds no weights: one serves every checkpoint of its shape. Beside each lies a [`Manifest`] that says what it
//! was built for; [`Engines::provide`] keeps a plan that fits and builds any other anew, saying why. See
//! `docs/engines.md`.

mod manifest;
mod needs;
mod place;
mod provide;

pub use manifest::{Manifest, PlanFile, SCHEMA_VERSION, Seconds, Stale};
pub use needs::{Change, Needs};
pub use place::Place;
pub use provide::{Engines, Listener, Origin, Phase, Provided};
