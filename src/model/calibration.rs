//! Calibration of 8-bit engines: the ranges of a model's activations, the file that keeps them, and how a run takes them.
//!
//! `run_harness calibrate` (see `run::calibrate`) measures them; `docs/calibration.md` has the mathematics and the rules.

mod apply;
mod scales;

pub use apply::{RangesUsed, apply};
pub use scales::{
    Calibrated, LayerRanges, Magnitudes, Recipe, SCHEMA_VERSION, Scales, ScalesError,
};

/// The file's name beside the model, where a run looks for it.
pub const FILE_NAME: &str = "fp8_scales.json";

/// The tensor in which engines find the ranges, F32 `[layers, 4]`; keep in sync with `cpp/cuda/weights.cc`.
pub const RANGES_TENSOR: &str = "fp8.activation_ranges";
