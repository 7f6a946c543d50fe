//! The file of a calibration. `docs/calibration.md` lists the fields; one never changes its meaning without a new
//! [`SCHEMA_VERSION`].

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::{BeamLength, Fp8Range};
use crate::error::{Failure, FailureKind};
use crate::model::{Fingerprint, ModelConfig};

/// Version of the fields below.
pub const SCHEMA_VERSION: u32 = 1;

/// How large the activations of a model are, and how that was found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scales {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// `run_harness` and its version.
    pub program: String,
    /// RFC 3339, UTC.
    pub created: String,
    /// Digest of the model, as in results.
    pub model: Fingerprint,
    /// What was read.
    pub calibrated_with: Calibrated,
    /// How it was computed.
    pub recipe: Recipe,
    /// By layer.
    pub layers: Vec<LayerRanges>,
    /// Digest of all of the above, so that nobody takes a file that was changed for one that was measured.
    pub digest: Fingerprint,
}

/// The data that a model was calibrated with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    /// Name of the file, without its folder.
    pub file: String,
    /// Digest of the file.
    pub dataset: Fingerprint,
    /// The first so many samples of it.
    pub samples: u64,
    /// Their tokens.
    pub prompt_tokens: u64,
    /// Prompts that lost their end.
    pub truncated: u64,
    /// Tokens that were generated and fed again, those of all beams together.
    pub decoded_tokens: u64,
}

/// How it was computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// `cpu`.
    pub engine: String,
    /// `f32`.
    pub precision: String,
    /// The processor: another one's instructions may round a sum differently.
    pub processor: String,
    /// Which rows were looked at.
    pub rows: String,
    /// Bins of the histogram in a binade: percentiles are at most this share too large.
    pub bins_per_binade: u32,
    /// Longer prompts lost their end.
    pub max_prompt_tokens: u32,
    /// Beams.
    pub beam_width: i32,
    /// See `config::GenerationConfig`.
    pub min_new_tokens: i32,
    /// See `config::GenerationConfig`.
    pub max_new_tokens: i32,
    /// See `config::GenerationConfig`.
    pub length_penalty: f32,
    /// See `config::GenerationConfig`.
    pub beam_length: BeamLength,
}

/// The activations of one layer that are stored in 8 bits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerRanges {
    /// Output of the layer norm: input of Q, K, V and of the MLP.
    pub normed: Magnitudes,
    /// Output of attention and of GELU: input of both projections back.
    pub joined: Magnitudes,
    /// Keys behind the rotary embedding, as the cache holds them.
    pub keys: Magnitudes,
    /// Values.
    pub values: Magnitudes,
}

impl LayerRanges {
    /// In the order of [`super::RANGES_TENSOR`].
    fn all(&self) -> [(&'static str, &Magnitudes); 4] {
        [
            ("normed", &self.normed),
            ("joined", &self.joined),
            ("keys", &self.keys),
            ("values", &self.values),
        ]
    }
}

/// How large the elements of a tensor are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Magnitudes {
    /// Elements that were seen.
    pub elements: u64,
    /// The largest one.
    pub max: f32,
    /// At most one in 1,000 is larger.
    #[serde(rename = "p99.9")]
    pub p99_9: f32,
    /// At most one in 10,000 is larger.
    #[serde(rename = "p99.99")]
    pub p99_99: f32,
}

impl Magnitudes {
    /// The figure of that name.
    pub fn range(&self, which: Fp8Range) -> f32 {
        match which {
            Fp8Range::Max => self.max,
            Fp8Range::P99_9 => self.p99_9,
            Fp8Range::P99_99 => self.p99_99,
        }
    }

    fn makes_sense(&self) -> bool {
        let ordered = 0.0 <= self.p99_9 && self.p99_9 <= self.p99_99 && self.p99_99 <= self.max;
        ordered && self.max.is_finite() && self.elements > 0
    }
}

/// What can be wrong with a file of scales.
#[derive(Debug, thiserror::Error)]
pub enum ScalesError {
    /// Not there, or not readable.
    #[error("cannot read the FP8 scales `{}`", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something else, or only a part.
    #[error("`{}` holds no FP8 scales", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser says, with line and column.
        source: serde_json::Error,
    },
    /// Of another version of this program.
    #[error(
        "the FP8 scales `{}` have schema version {found}, this program reads {SCHEMA_VERSION}",
        .path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u64,
    },
    /// Not as it was written.
    #[error("the FP8 scales `{}` were changed after their calibration", .0.display())]
    Changed(PathBuf),
    /// Figures that no calibration gives.
    #[error("the FP8 scales `{}` are wrong: {activation} of layer {layer} are no ranges", .path.display())]
    Figures {
        /// The file.
        path: PathBuf,
        /// From 0.
        layer: usize,
        /// Of the layer.
        activation: &'static str,
    },
    /// Of another model.
    #[error("the FP8 scales `{}` belong to another model", .path.display())]
    OtherModel {
        /// The file.
        path: PathBuf,
        /// Which model, and which one is asked for.
        source: Models,
    },
    /// Of a model with more or fewer layers.
    #[error(
        "the FP8 scales `{}` are those of {found} layers, the model has {expected}", .path.display()
    )]
    Layers {
        /// The file.
        path: PathBuf,
        /// In the file.
        found: usize,
        /// By config.json.
        expected: i32,
    },
}

/// Two models.
#[derive(Debug, thiserror::Error)]
#[error("they were calibrated for {calibrated}, the model of this run is {asked}")]
pub struct Models {
    /// That of the file.
    calibrated: Fingerprint,
    /// That of the run.
    asked: Fingerprint,
}

impl From<ScalesError> for Failure {
    fn from(error: ScalesError) -> Self {
        let hint = match &error {
            ScalesError::Io { .. } | ScalesError::OtherModel { .. } => {
                "calibrate the model with `run_harness calibrate`, or use --fp8_scales=default"
            }
            _ => {
                "make the file anew with `run_harness calibrate --force`, or use --fp8_scales=default"
            }
        };
        Failure::from_error(FailureKind::User, &error).hint(hint)
    }
}

impl Scales {
    /// Puts the digest of the content where it belongs.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.digest = self.content_digest();
        self
    }

    /// Reads and checks a file. Gives the digest of its bytes too, for results.
    pub fn read(path: &Path) -> Result<(Self, Fingerprint), ScalesError> {
        let json = |source| ScalesError::Json {
            path: path.to_owned(),
            source,
        };
        let bytes = fs::read(path).map_err(|source| ScalesError::Io {
            path: path.to_owned(),
            source,
        })?;
        // Before the fields, which another version may have others of.
        let Versioned { schema_version } = serde_json::from_slice(&bytes).map_err(json)?;
        if schema_version != u64::from(SCHEMA_VERSION) {
            return Err(ScalesError::Version {
                path: path.to_owned(),
                found: schema_version,
            });
        }
        let scales: Self = serde_json::from_slice(&bytes).map_err(json)?;
        if scales.digest != scales.content_digest() {
            return Err(ScalesError::Changed(path.to_owned()));
        }
        for (layer, ranges) in scales.layers.iter().enumerate() {
            let wrong = ranges.all().into_iter().find(|(_, m)| !m.makes_sense());
            if let Some((activation, _)) = wrong {
                return Err(ScalesError::Figures {
                    path: path.to_owned(),
                    layer,
                    activation,
                });
            }
        }
        Ok((scales, Fingerprint::of_bytes(&bytes)))
    }

    /// Checks that these, read from `path`, are the scales of that model.
    pub fn check_model(
        &self,
        path: &Path,
        model: &ModelConfig,
        fingerprint: &Fingerprint,
    ) -> Result<(), ScalesError> {
        if self.model != *fingerprint {
            return Err(ScalesError::OtherModel {
                path: path.to_owned(),
                source: Models {
                    calibrated: self.model.clone(),
                    asked: fingerprint.clone(),
                },
            });
        }
        if usize::try_from(model.n_layer) != Ok(self.layers.len()) {
            return Err(ScalesError::Layers {
                path: path.to_owned(),
                found: self.layers.len(),
                expected: model.n_layer,
            });
        }
        Ok(())
    }

    /// Ranges as [`super::RANGES_TENSOR`] holds them: `[layers, 4]`.
    pub fn ranges(&self, which: Fp8Range) -> Vec<f32> {
        let layers = self.layers.iter();
        layers
            .flat_map(|layer| layer.all().map(|(_, magnitudes)| magnitudes.range(which)))
            .collect()
    }

    /// Of all fields but the digest itself, written without white space in the order of the type.
    fn content_digest(&self) -> Fingerprint {
        let mut content = self.clone();
        content.digest = Fingerprint::of_bytes(&[]);
        // Plain fields and strings: there is nothing in them that JSON cannot hold.
        Fingerprint::of_bytes(&serde_json::to_vec(&content).unwrap_or_default())
    }
}

#[derive(Deserialize)]
struct Versioned {
    schema_version: u64,
}
