//! How a run takes the ranges of a calibration.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::RANGES_TENSOR;
use super::scales::Scales;
use crate::config::{EngineConfig, Fp8Range, Precision};
use crate::error::Failure;
use crate::model::{Checkpoint, Fingerprint, ModelConfig};

/// Which ranges the activations of a run in fp8 have, for its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum RangesUsed {
    /// Nothing was calibrated: the engine's own.
    Default,
    /// Those of a file.
    Calibrated {
        /// The file.
        file: PathBuf,
        /// Digest of the file.
        fingerprint: Fingerprint,
        /// Which of its figures.
        range: Fp8Range,
        /// Samples that the model was calibrated with.
        samples: u64,
        /// Digest of the data set that they are from.
        dataset: Fingerprint,
    },
}

impl RangesUsed {
    /// In a line for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Default => "default ranges of activations, nothing was calibrated".to_owned(),
            Self::Calibrated {
                file,
                fingerprint,
                range,
                samples,
                ..
            } => format!(
                "ranges of activations: {range} of {samples} samples, {} ({:.12})",
                file.display(),
                fingerprint.hex
            ),
        }
    }
}

/// Puts the ranges that the configuration asks for among the weights, where the engine finds them; `None` in any other
/// precision than fp8, which has none. `fingerprint` is that of the model, absent when there is none: an engine that
/// computes nothing, or weights that are drawn.
pub fn apply(
    config: &EngineConfig,
    model: &ModelConfig,
    fingerprint: Option<&Fingerprint>,
    checkpoint: &mut Checkpoint,
) -> Result<Option<RangesUsed>, Failure> {
    if config.precision != Precision::Fp8 {
        return Ok(None);
    }
    let (Some(file), Some(fingerprint)) = (&config.fp8.scales, fingerprint) else {
        return Ok(Some(RangesUsed::Default));
    };
    let (scales, digest) = Scales::read(file)?;
    scales.check_model(file, model, fingerprint)?;
    let range = config.fp8.range;
    let shape = vec![i64::from(model.n_layer), 4];
    checkpoint.add_f32(RANGES_TENSOR, shape, &scales.ranges(range))?;
    Ok(Some(RangesUsed::Calibrated {
        file: file.clone(),
        fingerprint: digest,
        range,
        samples: scales.calibrated_with.samples,
        dataset: scales.calibrated_with.dataset,
    }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::testing::Setup;
    use crate::model::fingerprint;
    use crate::report::files::write_json;

    fn mini() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("models/gptj-mini")
    }

    /// The engine on a machine with a GPU.
    fn engine(flags: &[(&str, &str)]) -> EngineConfig {
        let setup = Setup {
            workload: "gptj-mini",
            gpus: 1,
        };
        let mut all = vec![("engine", "cuda")];
        all.extend_from_slice(flags);
        setup.config(&all).engine
    }

    /// What becomes of gptj-mini, and the ranges that its engine will find.
    fn applied(engine: &EngineConfig) -> Result<(Option<RangesUsed>, Option<Vec<f32>>), Failure> {
        let model = ModelConfig::read(&mini()).unwrap();
        let mut checkpoint = Checkpoint::open(&mini()).unwrap();
        let fingerprint = fingerprint::of_model(&mini(), &checkpoint, &|_| {}).unwrap();
        let used = apply(engine, &model, Some(&fingerprint), &mut checkpoint)?;
        let ranges = checkpoint.find(RANGES_TENSOR).map(|index| {
            assert_eq!(checkpoint.tensor_shape(index).unwrap(), [4, 4]);
            let bytes = checkpoint.tensor_bytes(index).unwrap().as_chunks().0;
            bytes.iter().map(|four| f32::from_le_bytes(*four)).collect()
        });
        Ok((used, ranges))
    }

    #[test]
    fn the_engine_finds_the_figures_that_are_asked_for() {
        let file = mini().join(crate::model::calibration::FILE_NAME);
        let (scales, digest) = Scales::read(&file).unwrap();
        for (name, range) in [
            ("max", Fp8Range::Max),
            ("p99.9", Fp8Range::P99_9),
            ("p99.99", Fp8Range::P99_99),
        ] {
            let path = file.to_str().unwrap();
            let flags = [
                ("precision", "fp8"),
                ("fp8_scales", path),
                ("fp8_range", name),
            ];
            let (used, ranges) = applied(&engine(&flags)).unwrap();
            assert_eq!(ranges, Some(scales.ranges(range)));
            let expected = RangesUsed::Calibrated {
                file: file.clone(),
                fingerprint: digest.clone(),
                range,
                samples: 256,
                dataset: scales.calibrated_with.dataset.clone(),
            };
            assert_eq!(used, Some(expected));
            let text = used.unwrap().describe();
            assert!(
                text.contains(&format!("{name} of 256 samples, {path}")),
                "{text}"
            );
            assert!(
                text.ends_with(&format!("({})", &digest.hex[..12])),
                "{text}"
            );
        }
    }

    #[test]
    fn without_a_file_the_engine_has_ranges_of_its_own() {
        // The layers of unit tests find no model, so nothing lies beside it.
        for flags in [
            &[("precision", "fp8")][..],
            &[("precision", "fp8"), ("fp8_scales", "default")],
        ] {
            let (used, ranges) = applied(&engine(flags)).unwrap();
            assert_eq!((used, ranges), (Some(RangesUsed::Default), None));
        }
    }

    #[test]
    fn other_precisions_do_not_look_at_the_file() {
        let flags = [("precision", "fp16"), ("fp8_scales", "/nowhere")];
        assert_eq!(applied(&engine(&flags)).unwrap(), (None, None));
    }

    #[test]
    fn scales_of_another_model_are_refused() {
        let (mut scales, _) = Scales::read(&mini().join("fp8_scales.json")).unwrap();
        scales.model = Fingerprint::of_bytes(b"another");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("scales.json");
        write_json(&file, &scales.sealed()).unwrap();
        let flags = [("precision", "fp8"), ("fp8_scales", file.to_str().unwrap())];
        let failure = applied(&engine(&flags)).unwrap_err();
        assert!(
            failure.message.ends_with("belong to another model"),
            "{failure:?}"
        );
    }
}
