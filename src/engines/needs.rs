//! What a plan must have been built for.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bridge::ffi;
use crate::model::Fingerprint;

/// What a plan must have been built for, all of it: a plan runs with the same and with nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Needs {
    /// The engine that runs it.
    pub engine: String,
    /// Digest of the engine's library. Only the library that built a plan is sure to read it as it was meant.
    pub library: Fingerprint,
    /// Version of the builder: TensorRT's.
    pub builder_version: String,
    /// Name of the GPU.
    pub gpu: String,
    /// Its compute capability, 90 for 9.0.
    pub compute_capability: i32,
    /// What the engine computes in.
    pub precision: String,
    /// Products are the CUDA engine's, not TensorRT's layers.
    pub gemm_plugin: bool,
    /// Shape of the model.
    pub model: Model,
    /// What one engine takes.
    pub limits: Limits,
    /// How text is generated.
    pub generation: Generation,
}

/// Shape of a model, with the names of its config.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub vocab_size: i32,
    pub n_layer: i32,
    pub n_embd: i32,
    pub n_head: i32,
    pub n_inner: i32,
    pub n_positions: i32,
    pub rotary_dim: i32,
    pub layer_norm_epsilon: f32,
}

/// What one engine takes, with the names of the configuration's keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    pub gpu_batch_size: i32,
    pub max_tokens_per_step: i32,
    pub max_prompt_tokens: i32,
    pub kv_block_size: i32,
    /// 0: as many as there is memory for.
    pub kv_blocks: i32,
}

/// How text is generated, with the names of the configuration's keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    pub beam_width: i32,
    pub min_new_tokens: i32,
    pub max_new_tokens: i32,
    pub length_penalty: f32,
    pub beam_length: String,
    pub eos_token: i32,
}

impl Needs {
    /// What the plan of an engine with these settings must have been built for.
    pub fn new(
        settings: &ffi::EngineSettings,
        shape: &ffi::ModelShape,
        generation: &ffi::Generation,
        facts: ffi::PlanFacts,
        library: Fingerprint,
    ) -> Self {
        Self {
            engine: settings.engine.clone(),
            library,
            builder_version: facts.builder_version,
            gpu: facts.gpu,
            compute_capability: facts.compute_capability,
            gemm_plugin: settings.gemm_plugin || facts.precision == "fp8",
            precision: facts.precision,
            model: Model {
                vocab_size: shape.vocab_size,
                n_layer: shape.n_layer,
                n_embd: shape.n_embd,
                n_head: shape.n_head,
                n_inner: shape.n_inner,
                n_positions: shape.n_positions,
                rotary_dim: shape.rotary_dim,
                layer_norm_epsilon: shape.layer_norm_epsilon,
            },
            limits: Limits {
                gpu_batch_size: settings.max_requests,
                max_tokens_per_step: settings.max_tokens_per_step,
                max_prompt_tokens: settings.max_prompt_tokens,
                kv_block_size: settings.kv_block_size,
                kv_blocks: settings.kv_blocks,
            },
            generation: Generation {
                beam_width: generation.beam_width,
                min_new_tokens: generation.min_new_tokens,
                max_new_tokens: generation.max_new_tokens,
                length_penalty: generation.length_penalty,
                beam_length: match generation.beam_length {
                    ffi::BeamLength::Generated => "generated",
                    _ => "prompt_and_generated",
                }
                .to_owned(),
                eos_token: generation.eos_token,
            },
        }
    }

    /// Every field in which `self` differs from what a plan was built for.
    pub fn changes_since(&self, built_for: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        compare(
            "",
            &built_for.as_written(),
            &self.as_written(),
            &mut changes,
        );
        changes
    }

    /// As a manifest has it. By way of text, in which a number is as short as it can be; plain fields always become text.
    fn as_written(&self) -> Value {
        let text = serde_json::to_string(self);
        text.and_then(|text| serde_json::from_str(&text))
            .unwrap_or_default()
    }
}

/// One field that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name: `model.n_layer`.
    pub field: String,
    /// What the plan was built for.
    pub was: String,
    /// What is needed.
    pub is: String,
}

impl Change {
    /// A field and its values, as a manifest has them.
    pub fn new(field: &str, was: impl Serialize, is: impl Serialize) -> Self {
        Self {
            field: field.to_owned(),
            was: shown(&serde_json::json!(was)),
            is: shown(&serde_json::json!(is)),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was {}, is {}", self.field, self.was, self.is)
    }
}

/// Both have the same fields, being made of the same type.
fn compare(field: &str, was: &Value, is: &Value, changes: &mut Vec<Change>) {
    if let (Value::Object(was), Value::Object(is)) = (was, is) {
        for (name, is) in is {
            let inner = match field {
                "" => name.clone(),
                outer => format!("{outer}.{name}"),
            };
            compare(&inner, &was[name], is, changes);
        }
    } else if was != is {
        changes.push(Change::new(field, was, is));
    }
}

/// Digests are cut short: nobody compares all of their digits.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => match text.split_once("sha256:") {
            Some((kind, hex)) => format!("{kind}sha256:{hex:.12}"),
            None => text.clone(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn generation() -> ffi::Generation {
        ffi::Generation {
            beam_width: 4,
            min_new_tokens: 30,
            max_new_tokens: 128,
            length_penalty: 1.0,
            beam_length: ffi::BeamLength::PromptAndGenerated,
            eos_token: 50256,
        }
    }

    /// Some plan's needs.
    pub fn needs() -> Needs {
        let settings = ffi::EngineSettings {
            engine: "tensorrt".to_owned(),
            max_requests: 32,
            max_tokens_per_step: 4096,
            max_prompt_tokens: 1919,
            kv_block_size: 16,
            ..ffi::EngineSettings::default()
        };
        let facts = ffi::PlanFacts {
            builder_version: "8.6.0".to_owned(),
            gpu: "NVIDIA H100 80GB HBM3".to_owned(),
            compute_capability: 90,
            precision: "fp8".to_owned(),
        };
        let model = (&crate::model::ModelConfig::six_b()).into();
        let library = Fingerprint::of_bytes(b"library");
        Needs::new(&settings, &model, &generation(), facts, library)
    }

    fn said(needs: &Needs) -> Vec<String> {
        let changes = needs.changes_since(&super::tests::needs());
        changes.iter().map(Change::to_string).collect()
    }

    #[test]
    fn the_same_has_no_changes_even_after_a_file() {
        let text = serde_json::to_string(&needs()).unwrap();
        let read: Needs = serde_json::from_str(&text).unwrap();
        assert_eq!(read, needs());
        assert_eq!(said(&read), Vec::<String>::new());
    }

    #[test]
    fn each_change_names_its_field_and_both_values() {
        let mut other = needs();
        other.gpu = "NVIDIA A100-SXM4-80GB".to_owned();
        other.compute_capability = 80;
        other.model.n_layer = 4;
        other.model.layer_norm_epsilon = 1e-6;
        other.limits.gpu_batch_size = 192;
        other.generation.beam_length = "generated".to_owned();
        assert_eq!(
            said(&other),
            [
                "gpu was NVIDIA H100 80GB HBM3, is NVIDIA A100-SXM4-80GB",
                "compute_capability was 90, is 80",
                "model.n_layer was 28, is 4",
                "model.layer_norm_epsilon was 0.00001, is 1e-6",
                "limits.gpu_batch_size was 32, is 192",
                "generation.beam_length was prompt_and_generated, is generated",
            ]
        );
    }

    /// Whoever changes a setting that has no effect in fp8 need not wait for another plan.
    #[test]
    fn fp8_has_the_same_products_whatever_is_set() {
        let products = |precision: &str, gemm_plugin: bool| {
            let settings = ffi::EngineSettings {
                gemm_plugin,
                ..ffi::EngineSettings::default()
            };
            let facts = ffi::PlanFacts {
                precision: precision.to_owned(),
                ..ffi::PlanFacts::default()
            };
            let model = (&crate::model::ModelConfig::six_b()).into();
            let library = Fingerprint::of_bytes(b"library");
            Needs::new(&settings, &model, &generation(), facts, library).gemm_plugin
        };
        assert!(products("fp8", true) && products("fp8", false));
        assert!(products("fp16", true) && !products("fp16", false));
    }

    #[test]
    fn digests_are_cut_short() {
        let mut other = needs();
        other.library = Fingerprint::of_bytes(b"another");
        let said = said(&other).remove(0);
        let digest = |text: &[u8]| Fingerprint::of_bytes(text).hex[..12].to_owned();
        assert_eq!(
            said,
            format!(
                "library was sha256:{}, is sha256:{}",
                digest(b"library"),
                digest(b"another")
            )
        );
    }
}
