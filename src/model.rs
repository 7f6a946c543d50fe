//! Checkpoints: configuration, tensors, fingerprints.
