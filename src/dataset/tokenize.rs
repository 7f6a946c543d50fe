//! Text to tokens and back, as the reference implementation's tokenizer does it: byte-level BPE, nothing added in front
//! or behind.
//!
//! The names of added tokens count as these tokens inside of texts, too: an article that contains `<|endoftext|>` gets
//! the end token, as with transformers' GPT2Tokenizer. One difference remains: where that tokenizer decodes added
//! tokens that are not special, it puts spaces around them. GPT-J has such tokens (`<|extratoken_1|>` and so on), but
//! was never trained on them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

use crate::error::{Failure, FailureKind};
use crate::model::{Fingerprint, ModelConfig};

/// One file with everything in it.
const WHOLE: &str = "tokenizer.json";
/// The files of GPT-2's tokenizer.
const VOCABULARY: &str = "vocab.json";
const MERGES: &str = "merges.txt";
const ADDED: &str = "added_tokens.json";
const SETTINGS: &str = "tokenizer_config.json";
/// GPT-2's name of the end token, which is in its vocabulary, not among the added tokens.
const END_OF_TEXT: &str = "<|endoftext|>";

/// What can be wrong with a tokenizer.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// No tokenizer in the folder.
    #[error("no tokenizer in `{}`: neither {WHOLE} nor {VOCABULARY} with {MERGES}", .0.display())]
    Missing(PathBuf),
    /// A file that cannot be used.
    #[error("cannot use the tokenizer file `{}`", .path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Tokens that the model does not know.
    #[error(
        "the tokenizer `{}` has token {largest} (`{token}`), but the model's vocab_size in `{}` is \
         {vocab_size}",
        .path.display(), .config.display()
    )]
    VocabularyTooLarge {
        /// The tokenizer's file.
        path: PathBuf,
        /// The model's config.json.
        config: PathBuf,
        /// The largest token.
        largest: u32,
        /// Its text.
        token: String,
        /// Rows in the model's embedding.
        vocab_size: i32,
    },
    /// The tokenizer failed on a text.
    #[error("the tokenizer failed on {what}")]
    Failed {
        /// What was to be done.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<TokenizerError> for Failure {
    fn from(error: TokenizerError) -> Self {
        let (kind, hint) = match error {
            TokenizerError::Missing(_) | TokenizerError::Broken { .. } => (
                FailureKind::User,
                "copy the tokenizer's files from the model's source into its folder",
            ),
            TokenizerError::VocabularyTooLarge { .. } => (
                FailureKind::User,
                "take config.json, the weights and the tokenizer from one source",
            ),
            TokenizerError::Failed { .. } => (
                FailureKind::Harness,
                "compare the tokenizer's files with those of the model's source",
            ),
        };
        Failure::from_error(kind, &error).hint(hint)
    }
}

/// The tokenizer of a model.
pub struct TextTokenizer {
    inner: Tokenizer,
    clean_up: bool,
    fingerprint: Fingerprint,
}

impl TextTokenizer {
    /// Reads the tokenizer in a Hugging Face folder and checks that the model knows all of its tokens.
    pub fn open(folder: &Path, model: &ModelConfig) -> Result<Self, TokenizerError> {
        let whole = folder.join(WHOLE);
        let vocabulary = folder.join(VOCABULARY);
        let (path, mut inner) = if whole.is_file() {
            let tokenizer =
                Tokenizer::from_bytes(read(&whole)?).map_err(|error| broken(&whole, error))?;
            (whole, tokenizer)
        } else if vocabulary.is_file() && folder.join(MERGES).is_file() {
            let tokenizer = gpt2(folder)?;
            (vocabulary, tokenizer)
        } else {
            return Err(TokenizerError::Missing(folder.to_owned()));
        };
        // Files may ask for these; how long a prompt is, is for the benchmark to say.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| broken(&path, error))?;
        check_vocabulary(&inner, &path, folder, model)?;
        Ok(Self {
            inner,
            clean_up: cleans_up(folder)?,
            fingerprint: fingerprint(folder)?,
        })
    }

    /// Digest of the files that the tokenizer was read from.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Tokens of a text.
    pub fn encode(&self, text: &str) -> Result<Vec<i32>, TokenizerError> {
        let encoding =
            self.inner
                .encode_fast(text, false)
                .map_err(|source| TokenizerError::Failed {
                    what: "a text to encode",
                    source,
                })?;
        // All below vocab_size, which is an i32: checked when the tokenizer was opened.
        Ok(encoding.get_ids().iter().map(|&id| id as i32).collect())
    }

    /// Text of a model's answer: special tokens are left out, bytes that are no UTF-8 become U+FFFD, and spaces in
    /// front of punctuation are removed where the tokenizer's settings ask for it. Tokens that the tokenizer does not
    /// have are left out; a model's vocabulary may be padded.
    pub fn decode(&self, tokens: &[i32]) -> Result<String, TokenizerError> {
        let ids: Vec<u32> = tokens
            .iter()
            .filter_map(|&token| u32::try_from(token).ok())
            .collect();
        let text = self
            .inner
            .decode(&ids, true)
            .map_err(|source| TokenizerError::Failed {
                what: "an answer to decode",
                source,
            })?;
        Ok(if self.clean_up { clean_up(&text) } else { text })
    }
}

/// `clean_up_tokenization_spaces`, for English, rule by rule in the order of transformers.
fn clean_up(text: &str) -> String {
    const RULES: [(&str, &str); 10] = [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ];
    RULES
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// A file that does not say gets what it got when the reference's accuracy was published: transformers 4.35 and 4.45
/// clean up by default, 4.57 no longer does.
fn cleans_up(folder: &Path) -> Result<bool, TokenizerError> {
    let path = folder.join(SETTINGS);
    if !path.is_file() {
        return Ok(true);
    }
    let settings: Map<String, Value> =
        serde_json::from_slice(&read(&path)?).map_err(|error| broken(&path, error))?;
    match settings.get("clean_up_tokenization_spaces") {
        None | Some(Value::Null) => Ok(true),
        Some(Value::Bool(value)) => Ok(*value),
        Some(other) => Err(broken(
            &path,
            format!("`clean_up_tokenization_spaces` is {other}, expected true or false"),
        )),
    }
}

/// GPT-2's tokenizer from its older form: vocabulary, merges, and tokens added later.
fn gpt2(folder: &Path) -> Result<Tokenizer, TokenizerError> {
    let vocabulary = folder.join(VOCABULARY);
    let merges = folder.join(MERGES);
    let bpe = BPE::from_file(&vocabulary.to_string_lossy(), &merges.to_string_lossy())
        .build()
        .map_err(|error| broken(&vocabulary, error))?;
    let mut tokenizer = Tokenizer::new(bpe);
    tokenizer
        .with_pre_tokenizer(Some(ByteLevel::new(false, true, true)))
        .with_decoder(Some(ByteLevel::default()));
    let added = folder.join(ADDED);
    let mut tokens: Vec<(String, u32)> = Vec::new();
    if added.is_file() {
        let list: Map<String, Value> =
            serde_json::from_slice(&read(&added)?).map_err(|error| broken(&added, error))?;
        for (token, id) in list {
            let number = id.as_u64().and_then(|id| u32::try_from(id).ok());
            let Some(number) = number else {
                return Err(broken(&added, format!("`{token}` has number {id}")));
            };
            tokens.push((token, number));
        }
        tokens.sort_by_key(|(_, number)| *number);
    }
    let fails = |error| broken(&vocabulary, error);
    if tokenizer.token_to_id(END_OF_TEXT).is_some() {
        tokenizer
            .add_special_tokens([AddedToken::from(END_OF_TEXT, true)])
            .map_err(fails)?;
    }
    for (token, number) in tokens {
        // Numbers are given out in order, so each must be the next one, or be in the vocabulary already.
        let added_token = AddedToken::from(token.clone(), false).normalized(false);
        tokenizer.add_tokens([added_token]).map_err(fails)?;
        if tokenizer.token_to_id(&token) != Some(number) {
            return Err(broken(
                &added,
                format!("token `{token}` cannot have number {number}: numbers must have no gaps"),
            ));
        }
    }
    Ok(tokenizer)
}

fn check_vocabulary(
    tokenizer: &Tokenizer,
    path: &Path,
    folder: &Path,
    model: &ModelConfig,
) -> Result<(), TokenizerError> {
    let vocabulary = tokenizer.get_vocab(true);
    let Some((token, largest)) = vocabulary.into_iter().max_by_key(|(_, id)| *id) else {
        return Err(broken(path, "it has no tokens"));
    };
    if i64::from(largest) >= i64::from(model.vocab_size) {
        return Err(TokenizerError::VocabularyTooLarge {
            path: path.to_owned(),
            config: folder.join("config.json"),
            largest,
            token,
            vocab_size: model.vocab_size,
        });
    }
    Ok(())
}

fn fingerprint(folder: &Path) -> Result<Fingerprint, TokenizerError> {
    let mut all = String::new();
    for name in [WHOLE, VOCABULARY, MERGES, ADDED, SETTINGS] {
        let path = folder.join(name);
        if path.is_file() {
            all.push_str(&format!(
                "{name} {}\n",
                Fingerprint::of_bytes(&read(&path)?)
            ));
        }
    }
    Ok(Fingerprint::of_bytes(all.as_bytes()))
}

fn read(path: &Path) -> Result<Vec<u8>, TokenizerError> {
    fs::read(path).map_err(|error| broken(path, error))
}

fn broken(
    path: &Path,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> TokenizerError {
    TokenizerError::Broken {
        path: path.to_owned(),
        source: source.into(),
    }
}
