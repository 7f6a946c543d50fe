//! The model that a run uses: where it is, its configuration, its tensors, and what identifies it in results.

pub mod calibration;
pub mod checkpoint;
pub mod config;
pub mod fingerprint;
pub mod import;
pub mod locate;
pub mod size;
pub mod tensors;
pub mod torch;

pub use checkpoint::{Checkpoint, CheckpointError, ElementType};
pub use config::{ModelConfig, ModelConfigError};
pub use fingerprint::Fingerprint;
pub use locate::{ModelChoice, ModelKind, ModelPlaces};
pub use tensors::check_tensors;
