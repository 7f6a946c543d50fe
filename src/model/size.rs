//! How much memory a GPT-J takes, by its shape: to choose values before a run and to tell in time what cannot fit. The
//! engines count for themselves.

use super::ModelConfig;

/// Bytes of the weights when the layers' elements have `element_bytes`; embedding and LM head keep 16 bits at least.
pub fn weights_bytes(model: &ModelConfig, element_bytes: u64) -> u64 {
    let [layers, hidden, inner, vocabulary] =
        [model.n_layer, model.n_embd, model.n_inner, model.vocab_size].map(positive);
    // Q, K, V and the output projection; both projections of the MLP. Biases and norms do not count.
    let layer = 4 * hidden * hidden + 2 * hidden * inner;
    layers * layer * element_bytes + 2 * vocabulary * hidden * element_bytes.max(2)
}

/// Bytes of keys and values of one token.
pub fn kv_bytes_per_token(model: &ModelConfig, element_bytes: u64) -> u64 {
    2 * positive(model.n_layer) * positive(model.n_embd) * element_bytes
}

fn positive(value: i32) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_the_6b_model() {
        let model = ModelConfig::six_b();
        // 28 layers of 201.3 M, twice 50401 x 4096.
        assert_eq!(weights_bytes(&model, 4), 4 * (5_637_144_576 + 412_884_992));
        assert_eq!(weights_bytes(&model, 1), 5_637_144_576 + 2 * 412_884_992);
        assert_eq!(kv_bytes_per_token(&model, 1), 229_376);
        assert_eq!(kv_bytes_per_token(&model, 2), 458_752);
    }
}
