//! From cnn_eval.json to tokens, and synthetic workloads.
