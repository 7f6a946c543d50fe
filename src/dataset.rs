//! From cnn_eval.json to tokens, and back to text.

pub mod cnn_eval;
pub mod lengths;
pub mod npy;
pub mod prepared;
pub mod prompt;
pub mod synthetic;
pub mod tokenize;

pub use cnn_eval::{Dataset, Sample};
pub use lengths::Lengths;

pub use prepared::{Prepared, PromptLimits, Request, Source, prepare};
pub use tokenize::TextTokenizer;
