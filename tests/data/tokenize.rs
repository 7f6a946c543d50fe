//! Tokens and texts against golden values of transformers: of the slow GPT2Tokenizer that the reference implementation
//! uses, made by tests/fixtures/make_gpt2_tokenization_golden.py, and of what AutoTokenizer makes of gptj-mini's
//! tokenizer, made by tests/fixtures/make_tokenization_golden.py.

use std::fs;
use std::path::Path;

use mlperf_gptj::dataset::{Dataset, Sample, TextTokenizer, prompt};
use mlperf_gptj::model::ModelConfig;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::{TempDir, tempdir};

use super::support::{gpt2_folder, model_with, repository, told, write};

#[derive(Deserialize)]
struct Golden {
    encode: Vec<Encode>,
    prompts: Vec<Prompt>,
    decode: Vec<Decode>,
    mini: Mini,
}

#[derive(Deserialize)]
struct Encode {
    text: String,
    tokens: Vec<i32>,
}

#[derive(Deserialize)]
struct Prompt {
    sample: Fields,
    prompt: String,
    tokens: Vec<i32>,
    untruncated: usize,
}

#[derive(Deserialize)]
struct Fields {
    instruction: String,
    input: String,
    output: String,
}

#[derive(Deserialize)]
struct Decode {
    tokens: Vec<i32>,
    clean: String,
    plain: String,
}

#[derive(Deserialize)]
struct AutoTokenizer {
    encode: Vec<Encode>,
    decode: Vec<AutoDecode>,
}

#[derive(Deserialize)]
struct AutoDecode {
    tokens: Vec<i32>,
    text: String,
}

#[derive(Deserialize)]
struct Mini {
    samples: usize,
    tokens: usize,
    sha256: String,
}

fn golden() -> Golden {
    let path = repository().join("tests/fixtures/tokenization/gpt2.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn gpt2() -> TextTokenizer {
    TextTokenizer::open(&gpt2_folder(), &model_with(613, 2048)).unwrap()
}

/// The fixture's tokenizer in a folder of its own, to be changed.
fn copy_of_gpt2() -> TempDir {
    let dir = tempdir().unwrap();
    for entry in fs::read_dir(gpt2_folder()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    dir
}

fn told_of(folder: &Path, model: &ModelConfig) -> String {
    let Err(error) = TextTokenizer::open(folder, model) else {
        panic!("a broken tokenizer was taken");
    };
    told(error, folder)
}

#[test]
fn encodes_as_the_reference_does() {
    let tokenizer = gpt2();
    for case in golden().encode {
        assert_eq!(
            tokenizer.encode(&case.text).unwrap(),
            case.tokens,
            "{:?}",
            case.text
        );
    }
}

#[test]
fn prompts_are_the_references_to_the_byte() {
    let tokenizer = gpt2();
    for case in golden().prompts {
        let text = prompt::render(&Sample {
            instruction: case.sample.instruction,
            input: case.sample.input,
            output: case.sample.output,
        });
        assert_eq!(text, case.prompt);
        let mut tokens = tokenizer.encode(&text).unwrap();
        assert_eq!(tokens.len(), case.untruncated);
        tokens.truncate(1919);
        assert_eq!(tokens, case.tokens);
    }
}

#[test]
fn decodes_as_the_reference_does_with_and_without_cleaning_up() {
    let default = gpt2();
    let folder = copy_of_gpt2();
    let says = |value| json!({"clean_up_tokenization_spaces": value}).to_string();
    write(folder.path(), "tokenizer_config.json", says(false));
    let plain = TextTokenizer::open(folder.path(), &model_with(613, 2048)).unwrap();
    assert_ne!(default.fingerprint(), plain.fingerprint());
    for case in golden().decode {
        assert_eq!(default.decode(&case.tokens).unwrap(), case.clean);
        assert_eq!(plain.decode(&case.tokens).unwrap(), case.plain);
    }
}

#[test]
fn tokens_that_the_tokenizer_does_not_have_decode_to_nothing() {
    let tokens = gpt2().encode("kept").unwrap();
    let padded: Vec<i32> = [&[-1, 9999], tokens.as_slice(), &[50_400]].concat();
    assert_eq!(gpt2().decode(&padded).unwrap(), "kept");
}

#[test]
fn a_tokenizer_file_gives_what_the_slow_tokenizer_gives() {
    let folder = repository().join("models/gptj-mini");
    let model = ModelConfig::read(&folder).unwrap();
    let tokenizer = TextTokenizer::open(&folder, &model).unwrap();
    let dataset = Dataset::read(&folder.join("cnn_eval.json")).unwrap();
    let golden = golden().mini;
    let mut digest = Sha256::new();
    let mut count = 0;
    for sample in &dataset.samples {
        let tokens = tokenizer.encode(&prompt::render(sample)).unwrap();
        count += tokens.len();
        for token in tokens {
            digest.update(token.to_le_bytes());
        }
        let summary = tokenizer.encode(&sample.output).unwrap();
        assert_eq!(tokenizer.decode(&summary).unwrap(), sample.output);
    }
    assert_eq!(
        (dataset.samples.len(), count),
        (golden.samples, golden.tokens)
    );
    let hex: String = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hex, golden.sha256);
}

#[test]
fn the_small_models_tokenizer_agrees_with_current_transformers() {
    let folder = repository().join("models/gptj-mini");
    let model = ModelConfig::read(&folder).unwrap();
    let tokenizer = TextTokenizer::open(&folder, &model).unwrap();
    let path = repository().join("tests/fixtures/tokenization/gptj-mini.json");
    let golden: AutoTokenizer = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    for case in golden.encode {
        assert_eq!(
            tokenizer.encode(&case.text).unwrap(),
            case.tokens,
            "{:?}",
            case.text
        );
    }
    for case in golden.decode {
        assert_eq!(tokenizer.decode(&case.tokens).unwrap(), case.text);
    }
}

#[test]
fn padding_and_truncation_in_a_tokenizer_file_are_ignored() {
    let folder = tempdir().unwrap();
    let mini = repository().join("models/gptj-mini");
    let text = fs::read(mini.join("tokenizer.json")).unwrap();
    let mut file: serde_json::Value = serde_json::from_slice(&text).unwrap();
    file["truncation"] = json!({
        "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0,
    });
    file["padding"] = json!({
        "strategy": {"Fixed": 64}, "direction": "Left", "pad_to_multiple_of": null, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "<|endoftext|>",
    });
    write(folder.path(), "tokenizer.json", file.to_string());
    let model = ModelConfig::read(&mini).unwrap();
    let changed = TextTokenizer::open(folder.path(), &model).unwrap();
    let original = TextTokenizer::open(&mini, &model).unwrap();
    let text = "The council met on Monday to vote on the new harbour.";
    assert_eq!(
        changed.encode(text).unwrap(),
        original.encode(text).unwrap()
    );
    assert!(original.encode(text).unwrap().len() > 3);
}

#[test]
fn a_folder_without_a_tokenizer() {
    let dir = tempdir().unwrap();
    assert_eq!(
        told_of(dir.path(), &model_with(613, 2048)),
        "error: no tokenizer in `DIR`: neither tokenizer.json nor vocab.json with merges.txt\n\n\
         hint: copy the tokenizer's files from the model's source into its folder\n"
    );
}

#[test]
fn a_vocabulary_that_does_not_match_the_model() {
    let dir = copy_of_gpt2();
    assert_eq!(
        told_of(dir.path(), &model_with(612, 2048)),
        "error: the tokenizer `DIR/vocab.json` has token 612 (`[PAD]`), but the model's vocab_size \
         in `DIR/config.json` is 612\n\nhint: take config.json, the weights and the tokenizer from \
         one source\n"
    );
}

#[test]
fn tokenizer_files_that_cannot_be_used() {
    let model = model_with(613, 2048);
    let dir = copy_of_gpt2();
    write(dir.path(), "added_tokens.json", "{\"<new>\": 900}");
    let text = told_of(dir.path(), &model);
    assert!(
        text.starts_with(
            "error: cannot use the tokenizer file `DIR/added_tokens.json`\n  caused by: token \
             `<new>` cannot have number 900: numbers must have no gaps\n"
        ),
        "{text}"
    );
    write(
        dir.path(),
        "tokenizer_config.json",
        "{\"clean_up_tokenization_spaces\": \"yes\"}",
    );
    fs::remove_file(dir.path().join("added_tokens.json")).unwrap();
    let text = told_of(dir.path(), &model);
    assert!(
        text.contains("`clean_up_tokenization_spaces` is \"yes\", expected true or false"),
        "{text}"
    );
    write(dir.path(), "tokenizer.json", "{\"version\": ");
    let text = told_of(dir.path(), &model);
    assert!(
        text.starts_with(
            "error: cannot use the tokenizer file `DIR/tokenizer.json`\n  caused by: EOF"
        ),
        "{text}"
    );
}
