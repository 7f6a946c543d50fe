//! Small files to read, and what a failure says.

use std::path::{Path, PathBuf};

use mlperf_gptj::error::{Failure, FailureKind};
use mlperf_gptj::model::ModelConfig;
use serde_json::{Value, json};

/// A tensor to write: name, element type as safetensors spells it, shape, bytes.
pub struct Tensor {
    pub name: String,
    pub dtype: &'static str,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// A tensor of 16-bit floats whose bytes are all `fill`.
pub fn f16(name: &str, shape: &[usize], fill: u8) -> Tensor {
    Tensor {
        name: name.to_owned(),
        dtype: "F16",
        shape: shape.to_vec(),
        bytes: vec![fill; 2 * shape.iter().product::<usize>()],
    }
}

/// A safetensors file, written without the crate that reads it.
pub fn safetensors(tensors: &[Tensor]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut data = Vec::new();
    for tensor in tensors {
        let start = data.len();
        data.extend_from_slice(&tensor.bytes);
        let entry = json!({
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "data_offsets": [start, data.len()],
        });
        header.insert(tensor.name.clone(), entry);
    }
    with_header(&Value::Object(header).to_string(), &data)
}

/// Length, header and data, whatever they are.
pub fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(data);
    file
}

/// Writes `bytes` to `folder/name`.
pub fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A tiny GPT-J's config.json: 11 tokens, 2 layers, 2 heads of 4.
pub fn tiny_config() -> Value {
    json!({
        "model_type": "gptj",
        "architectures": ["GPTJForCausalLM"],
        "activation_function": "gelu_new",
        "vocab_size": 11,
        "n_layer": 2,
        "n_embd": 8,
        "n_head": 2,
        "n_inner": null,
        "n_positions": 64,
        "rotary_dim": 2,
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": false,
        "bos_token_id": 10,
        "eos_token_id": 10,
    })
}

/// The user's mistake, told as it would be on the terminal, with the folder's path as `DIR`.
pub fn told(failure: impl Into<Failure>, folder: &Path) -> String {
    let failure: Failure = failure.into();
    assert_eq!(failure.kind, FailureKind::User, "{failure:?}");
    failure
        .render()
        .replace(&folder.display().to_string(), "DIR")
}

/// The repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The small GPT-2 tokenizer of the fixtures, in its older form: 613 tokens, the end token is 601.
pub fn gpt2_folder() -> PathBuf {
    repository().join("tests/fixtures/tokenization/gpt2")
}

/// A configuration with room for `vocab_size` tokens and `n_positions` positions.
pub fn model_with(vocab_size: i32, n_positions: i32) -> ModelConfig {
    ModelConfig {
        vocab_size,
        n_layer: 1,
        n_embd: 8,
        n_head: 2,
        n_inner: 32,
        n_positions,
        rotary_dim: 2,
        layer_norm_epsilon: 1e-5,
        eos_token: 601.min(vocab_size - 1),
    }
}
