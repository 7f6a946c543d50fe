//! config.json of a GPT-J, read strictly: what an engine cannot compute is refused here, with the key's name.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::{Failure, FailureKind};

/// Shape of a GPT-J, with the names of its config.json.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelConfig {
    /// Rows of the embedding and of the output layer.
    pub vocab_size: i32,
    /// Transformer blocks.
    pub n_layer: i32,
    /// Width of the residual stream.
    pub n_embd: i32,
    /// Attention heads.
    pub n_head: i32,
    /// Width of the MLP; config.json's null is resolved to `4 * n_embd`.
    pub n_inner: i32,
    /// Prompt and generated tokens together, at most.
    pub n_positions: i32,
    /// Leading dimensions of each head that are rotated.
    pub rotary_dim: i32,
    /// Added to the variance in every LayerNorm.
    pub layer_norm_epsilon: f32,
    /// The token that ends a text, by generation_config.json or else config.json.
    pub eos_token: i32,
}

impl ModelConfig {
    /// Width of one attention head.
    pub fn head_dim(&self) -> i32 {
        self.n_embd / self.n_head
    }

    /// GPT-J 6B as fine-tuned for the benchmark: one row of the vocabulary more than the base model has.
    pub fn six_b() -> Self {
        Self {
            vocab_size: 50_401,
            n_layer: 28,
            n_embd: 4096,
            n_head: 16,
            n_inner: 16_384,
            n_positions: 2048,
            rotary_dim: 64,
            layer_norm_epsilon: 1e-5,
            eos_token: 50_256,
        }
    }

    /// Reads config.json, and generation_config.json where there is one, in a Hugging Face folder.
    pub fn read(folder: &Path) -> Result<Self, ModelConfigError> {
        let path = folder.join("config.json");
        let reader = Reader::open(&path)?;
        reader.check_kind()?;
        let vocab_size = reader.integer("vocab_size", 2, 1 << 24)?;
        let eos_token = eos_token(folder, &reader, vocab_size)?;
        reader.shape(vocab_size, eos_token)
    }
}

/// What can be wrong with a model's configuration.
#[derive(Debug, thiserror::Error)]
pub enum ModelConfigError {
    /// Not there, or not readable.
    #[error("cannot read the model's configuration `{}`", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No JSON object.
    #[error("`{}` is not a JSON object", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser says, with line and column.
        source: serde_json::Error,
    },
    /// A key is missing.
    #[error("`{}` has no key `{key}`", .path.display())]
    MissingKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
    },
    /// A value that no GPT-J has, or that is not supported.
    #[error("`{}`: `{key}` is {value}, expected {expected}", .path.display())]
    BadValue {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// Its value, as JSON.
        value: String,
        /// What would be right.
        expected: String,
    },
}

impl From<ModelConfigError> for Failure {
    fn from(error: ModelConfigError) -> Self {
        let hint = match &error {
            ModelConfigError::Io { .. } => {
                "give a Hugging Face GPT-J folder with --model_path; config.json must be in it"
                    .to_owned()
            }
            ModelConfigError::Json { .. } => "copy or download the file again".to_owned(),
            ModelConfigError::MissingKey { key, .. } => {
                format!("add `{key}` as the model's source has it; nothing is assumed here")
            }
            ModelConfigError::BadValue { .. } => {
                "this program runs models of the GPT-J architecture, as transformers' \
                 GPTJForCausalLM saves them"
                    .to_owned()
            }
        };
        Failure::from_error(FailureKind::User, &error).hint(hint)
    }
}

/// One JSON object and where it is from.
struct Reader {
    path: PathBuf,
    values: Map<String, Value>,
}

impl Reader {
    fn open(path: &Path) -> Result<Self, ModelConfigError> {
        let text = std::fs::read(path).map_err(|source| ModelConfigError::Io {
            path: path.to_owned(),
            source,
        })?;
        let values = serde_json::from_slice(&text).map_err(|source| ModelConfigError::Json {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            values,
        })
    }

    fn check_kind(&self) -> Result<(), ModelConfigError> {
        let kind = self.required("model_type")?;
        if kind != "gptj" {
            return Err(self.bad("model_type", kind, "\"gptj\""));
        }
        if let Some(list) = self.values.get("architectures") {
            let fits = |value: &Value| value == "GPTJForCausalLM";
            if !list.is_null() && !list.as_array().is_some_and(|list| list.iter().any(fits)) {
                return Err(self.bad("architectures", list, "[\"GPTJForCausalLM\"]"));
            }
        }
        // Called gelu_new in transformers; gelu_pytorch_tanh is the same approximation, 0.5 x (1 + tanh(..)).
        let activation = self.required("activation_function")?;
        if activation != "gelu_new" && activation != "gelu_pytorch_tanh" {
            let expected = "\"gelu_new\" or \"gelu_pytorch_tanh\"";
            return Err(self.bad("activation_function", activation, expected));
        }
        // Both are optional, with these defaults in transformers' GPTJConfig; attention is always scaled there.
        self.must_be("tie_word_embeddings", false)?;
        self.must_be("scale_attn_weights", true)?;
        self.must_be("rotary", true)
    }

    fn shape(&self, vocab_size: i32, eos_token: i32) -> Result<ModelConfig, ModelConfigError> {
        let n_embd = self.integer("n_embd", 1, 1 << 16)?;
        let n_head = self.integer("n_head", 1, 1 << 10)?;
        if n_embd % n_head != 0 {
            let expected = format!("a divisor of n_embd, {n_embd}");
            return Err(self.bad("n_head", &n_head.into(), expected));
        }
        let head_dim = n_embd / n_head;
        let rotary_dim = self.integer("rotary_dim", 2, 1 << 16)?;
        if rotary_dim % 2 != 0 || rotary_dim > head_dim {
            let expected = format!("an even number up to the width of a head, {head_dim}");
            return Err(self.bad("rotary_dim", &rotary_dim.into(), expected));
        }
        let n_inner = match self.values.get("n_inner") {
            None | Some(Value::Null) => 4 * n_embd,
            Some(_) => self.integer("n_inner", 1, 1 << 20)?,
        };
        Ok(ModelConfig {
            vocab_size,
            n_layer: self.integer("n_layer", 1, 1 << 10)?,
            n_embd,
            n_head,
            n_inner,
            n_positions: self.integer("n_positions", 2, 1 << 20)?,
            rotary_dim,
            layer_norm_epsilon: self.epsilon()?,
            eos_token,
        })
    }

    fn epsilon(&self) -> Result<f32, ModelConfigError> {
        let key = "layer_norm_epsilon";
        let value = self.required(key)?;
        match value.as_f64() {
            Some(number) if number > 0.0 && number < 1.0 => Ok(number as f32),
            _ => Err(self.bad(key, value, "a number between 0 and 1")),
        }
    }

    fn required(&self, key: &'static str) -> Result<&Value, ModelConfigError> {
        self.values
            .get(key)
            .ok_or_else(|| ModelConfigError::MissingKey {
                path: self.path.clone(),
                key,
            })
    }

    fn integer(&self, key: &'static str, low: i32, high: i32) -> Result<i32, ModelConfigError> {
        let value = self.required(key)?;
        value
            .as_i64()
            .and_then(|number| i32::try_from(number).ok())
            .filter(|number| (low..=high).contains(number))
            .ok_or_else(|| self.bad(key, value, format!("a whole number in {low}..={high}")))
    }

    /// An optional switch of which only one position is supported.
    fn must_be(&self, key: &'static str, expected: bool) -> Result<(), ModelConfigError> {
        match self.values.get(key) {
            Some(value) if *value != expected => Err(self.bad(key, value, expected.to_string())),
            _ => Ok(()),
        }
    }

    fn bad(
        &self,
        key: &'static str,
        value: &Value,
        expected: impl Into<String>,
    ) -> ModelConfigError {
        ModelConfigError::BadValue {
            path: self.path.clone(),
            key,
            value: value.to_string(),
            expected: expected.into(),
        }
    }
}

/// transformers generates with generation_config.json where there is one and falls back to config.json.
fn eos_token(folder: &Path, config: &Reader, vocab_size: i32) -> Result<i32, ModelConfigError> {
    let key = "eos_token_id";
    let path = folder.join("generation_config.json");
    let generation = path.exists().then(|| Reader::open(&path)).transpose()?;
    let reader = match &generation {
        Some(reader) if reader.values.contains_key(key) => reader,
        _ => config,
    };
    let value = reader.required(key)?;
    // Later versions of transformers may write a list.
    let one = match value.as_array().map(Vec::as_slice) {
        Some([one]) => one,
        _ => value,
    };
    one.as_i64()
        .and_then(|token| i32::try_from(token).ok())
        .filter(|token| (0..vocab_size).contains(token))
        .ok_or_else(|| {
            let expected = format!("one token below vocab_size, {vocab_size}");
            reader.bad(key, value, expected)
        })
}
