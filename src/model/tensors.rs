//! The tensors that a GPT-J of a given configuration has, and whether a checkpoint has them.

use std::path::PathBuf;

use super::checkpoint::{Checkpoint, ElementType};
use super::config::ModelConfig;
use crate::error::{Failure, FailureKind};

/// A tensor that is missing or is not what the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum TensorError {
    /// Not there.
    #[error(
        "tensor `{tensor}` of shape {} is missing in {}{}",
        shape(.expected), files(.searched), others(.more)
    )]
    Missing {
        /// Its name.
        tensor: String,
        /// Its shape.
        expected: Vec<i64>,
        /// The files that were searched.
        searched: Vec<PathBuf>,
        /// How many more are missing.
        more: usize,
    },
    /// Another shape.
    #[error(
        "tensor `{tensor}` in `{}` has shape {}, but config.json asks for {}",
        .file.display(), shape(.found), shape(.expected)
    )]
    WrongShape {
        /// Its name.
        tensor: String,
        /// The file it is in.
        file: PathBuf,
        /// Shape by the configuration.
        expected: Vec<i64>,
        /// Shape in the file.
        found: Vec<i64>,
    },
    /// An element type that weights cannot have.
    #[error(
        "tensor `{tensor}` in `{}` has element type {found}, expected F32, F16 or BF16",
        .file.display()
    )]
    WrongDtype {
        /// Its name.
        tensor: String,
        /// The file it is in.
        file: PathBuf,
        /// Type in the file.
        found: String,
    },
}

impl From<TensorError> for Failure {
    fn from(error: TensorError) -> Self {
        let hint = match error {
            TensorError::Missing { .. } => {
                "take config.json and the weights from one source; a GPTJForCausalLM checkpoint is \
                 needed, with `lm_head`"
            }
            TensorError::WrongShape { .. } => "take config.json and the weights from one source",
            TensorError::WrongDtype { .. } => "save the checkpoint as float16, bfloat16 or float32",
        };
        Failure::from_error(FailureKind::User, &error).hint(hint)
    }
}

fn shape(sizes: &[i64]) -> String {
    let sizes: Vec<String> = sizes.iter().map(i64::to_string).collect();
    format!("[{}]", sizes.join(", "))
}

fn files(paths: &[PathBuf]) -> String {
    match paths {
        [] => "the checkpoint".to_owned(),
        [path] => format!("`{}`", path.display()),
        [first, rest @ ..] => format!("`{}` and {} more files", first.display(), rest.len()),
    }
}

fn others(more: &usize) -> String {
    match more {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    }
}

/// Names and shapes of a GPT-J's weights, as transformers' `GPTJForCausalLM` saves them. Linear layers are stored
/// `[out, in]`; the projections of the attention have no biases, everything else has.
pub fn expected_tensors(config: &ModelConfig) -> Vec<(String, Vec<i64>)> {
    let vocab = i64::from(config.vocab_size);
    let embd = i64::from(config.n_embd);
    let inner = i64::from(config.n_inner);
    let mut list = vec![("transformer.wte.weight".to_owned(), vec![vocab, embd])];
    for layer in 0..config.n_layer {
        let mut add = |name: &str, shape: &[i64]| {
            list.push((format!("transformer.h.{layer}.{name}"), shape.to_vec()));
        };
        add("ln_1.weight", &[embd]);
        add("ln_1.bias", &[embd]);
        add("attn.q_proj.weight", &[embd, embd]);
        add("attn.k_proj.weight", &[embd, embd]);
        add("attn.v_proj.weight", &[embd, embd]);
        add("attn.out_proj.weight", &[embd, embd]);
        add("mlp.fc_in.weight", &[inner, embd]);
        add("mlp.fc_in.bias", &[inner]);
        add("mlp.fc_out.weight", &[embd, inner]);
        add("mlp.fc_out.bias", &[embd]);
    }
    for (name, shape) in [
        ("transformer.ln_f.weight", vec![embd]),
        ("transformer.ln_f.bias", vec![embd]),
        ("lm_head.weight", vec![vocab, embd]),
        ("lm_head.bias", vec![vocab]),
    ] {
        list.push((name.to_owned(), shape));
    }
    list
}

/// Checks that `checkpoint` has every tensor of the model, in the right shape and a type that can be computed with.
/// Tensors that the model does not have are left alone.
pub fn check_tensors(checkpoint: &Checkpoint, config: &ModelConfig) -> Result<(), Failure> {
    let expected = expected_tensors(config);
    let mut missing = expected
        .iter()
        .filter(|(name, _)| checkpoint.find(name).is_none());
    if let Some((tensor, shape)) = missing.next() {
        return Err(TensorError::Missing {
            tensor: tensor.clone(),
            expected: shape.clone(),
            searched: checkpoint.files().map(Into::into).collect(),
            more: missing.count(),
        }
        .into());
    }
    for (tensor, expected) in expected {
        let Some(index) = checkpoint.find(&tensor) else {
            continue;
        };
        let file = checkpoint.tensor_file(index)?.to_owned();
        let found = checkpoint.tensor_shape(index)?;
        if found != expected {
            let found = found.to_vec();
            return Err(TensorError::WrongShape {
                tensor,
                file,
                expected,
                found,
            }
            .into());
        }
        let found = checkpoint.element_type(index)?;
        if !matches!(
            found,
            ElementType::F32 | ElementType::F16 | ElementType::BF16
        ) {
            return Err(TensorError::WrongDtype {
                tensor,
                file,
                found: found.to_string(),
            }
            .into());
        }
    }
    Ok(())
}
