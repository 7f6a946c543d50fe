//! The model's types, as the bridge has them.

use super::ffi;
use crate::model::{Checkpoint, CheckpointError, ElementType, ModelConfig};

impl Checkpoint {
    /// Element type of a tensor, for C++.
    pub(super) fn tensor_dtype(&self, index: usize) -> Result<ffi::DType, CheckpointError> {
        self.element_type(index).map(ffi::DType::from)
    }
}

impl From<ElementType> for ffi::DType {
    fn from(element: ElementType) -> Self {
        match element {
            ElementType::F32 => Self::F32,
            ElementType::F16 => Self::F16,
            ElementType::BF16 => Self::BF16,
            ElementType::F8E4M3 => Self::F8E4M3,
            ElementType::I8 => Self::I8,
        }
    }
}

impl From<&ModelConfig> for ffi::ModelShape {
    fn from(config: &ModelConfig) -> Self {
        Self {
            vocab_size: config.vocab_size,
            n_layer: config.n_layer,
            n_embd: config.n_embd,
            n_head: config.n_head,
            n_inner: config.n_inner,
            n_positions: config.n_positions,
            rotary_dim: config.rotary_dim,
            layer_norm_epsilon: config.layer_norm_epsilon,
        }
    }
}
