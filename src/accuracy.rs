//! ROUGE, sentence splitting, thresholds and the accuracy log.
