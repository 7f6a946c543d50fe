//! config.json: what is read, and what is refused.

use mlperf_gptj::model::ModelConfig;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::support::{tiny_config, told, write};

/// The configuration with one key changed, or without it.
fn with(key: &str, value: Option<Value>) -> Value {
    let mut config = tiny_config();
    let object = config.as_object_mut().unwrap();
    match value {
        Some(value) => object.insert(key.to_owned(), value),
        None => object.remove(key),
    };
    config
}

fn told_of(config: &Value) -> String {
    let dir = tempdir().unwrap();
    write(dir.path(), "config.json", config.to_string());
    let text = told(ModelConfig::read(dir.path()).unwrap_err(), dir.path());
    text.lines().next().unwrap().to_owned()
}

fn read(config: &Value) -> ModelConfig {
    let dir = tempdir().unwrap();
    write(dir.path(), "config.json", config.to_string());
    ModelConfig::read(dir.path()).unwrap()
}

#[test]
fn reads_the_mlperf_checkpoints_shape() {
    let config = read(&json!({
        "activation_function": "gelu_new", "architectures": ["GPTJForCausalLM"], "attn_pdrop": 0.0,
        "bos_token_id": 50256, "embd_pdrop": 0.0, "eos_token_id": 50256, "gradient_checkpointing":
        false, "initializer_range": 0.02, "layer_norm_epsilon": 1e-05, "model_type": "gptj",
        "n_embd": 4096, "n_head": 16, "n_inner": null, "n_layer": 28, "n_positions": 2048,
        "resid_pdrop": 0.0, "rotary": true, "rotary_dim": 64, "scale_attn_weights": true,
        "tie_word_embeddings": false, "torch_dtype": "float32", "use_cache": true,
        "vocab_size": 50401,
    }));
    assert_eq!(config.vocab_size, 50401);
    assert_eq!(config.n_inner, 16384);
    assert_eq!(config.head_dim(), 256);
    assert_eq!(config.rotary_dim, 64);
    assert_eq!(config.layer_norm_epsilon, 1e-5);
    assert_eq!(config.eos_token, 50256);
}

#[test]
fn n_inner_is_taken_as_given() {
    assert_eq!(read(&with("n_inner", Some(json!(24)))).n_inner, 24);
    assert_eq!(read(&with("n_inner", None)).n_inner, 32);
}

#[test]
fn every_key_is_needed() {
    let keys = [
        "model_type",
        "activation_function",
        "vocab_size",
        "n_layer",
        "n_embd",
        "n_head",
        "n_positions",
        "rotary_dim",
        "layer_norm_epsilon",
        "eos_token_id",
    ];
    for key in keys {
        assert_eq!(
            told_of(&with(key, None)),
            format!("error: `DIR/config.json` has no key `{key}`")
        );
    }
}

#[test]
fn values_that_no_gptj_has() {
    let cases = [
        ("model_type", json!("gpt_neox"), "\"gptj\""),
        (
            "architectures",
            json!(["GPTJModel"]),
            "[\"GPTJForCausalLM\"]",
        ),
        (
            "activation_function",
            json!("gelu"),
            "\"gelu_new\" or \"gelu_pytorch_tanh\"",
        ),
        ("tie_word_embeddings", json!(true), "false"),
        ("scale_attn_weights", json!(false), "true"),
        ("n_embd", json!(-8), "a whole number in 1..=65536"),
        ("n_embd", json!("8"), "a whole number in 1..=65536"),
        ("n_layer", json!(0), "a whole number in 1..=1024"),
        ("n_layer", json!(2.5), "a whole number in 1..=1024"),
        ("n_head", json!(3), "a divisor of n_embd, 8"),
        (
            "rotary_dim",
            json!(3),
            "an even number up to the width of a head, 4",
        ),
        (
            "rotary_dim",
            json!(6),
            "an even number up to the width of a head, 4",
        ),
        ("rotary_dim", Value::Null, "a whole number in 2..=65536"),
        ("n_positions", json!(1), "a whole number in 2..=1048576"),
        ("layer_norm_epsilon", json!(0.0), "a number between 0 and 1"),
        ("eos_token_id", json!(11), "one token below vocab_size, 11"),
        (
            "eos_token_id",
            json!([1, 2]),
            "one token below vocab_size, 11",
        ),
    ];
    for (key, value, expected) in cases {
        assert_eq!(
            told_of(&with(key, Some(value.clone()))),
            format!("error: `DIR/config.json`: `{key}` is {value}, expected {expected}")
        );
    }
}

#[test]
fn the_end_token_comes_from_the_generation_config_first() {
    let dir = tempdir().unwrap();
    write(dir.path(), "config.json", tiny_config().to_string());
    let end_token = |generation: Value| {
        write(dir.path(), "generation_config.json", generation.to_string());
        ModelConfig::read(dir.path())
    };
    assert_eq!(end_token(json!({"eos_token_id": 3})).unwrap().eos_token, 3);
    assert_eq!(
        end_token(json!({"eos_token_id": [4]})).unwrap().eos_token,
        4
    );
    assert_eq!(end_token(json!({})).unwrap().eos_token, 10);
    let error = end_token(json!({"eos_token_id": 99})).unwrap_err();
    assert!(told(error, dir.path()).starts_with(
        "error: `DIR/generation_config.json`: `eos_token_id` is 99, expected one token below"
    ));
}

#[test]
fn files_that_are_missing_or_broken() {
    let dir = tempdir().unwrap();
    let text = told(ModelConfig::read(dir.path()).unwrap_err(), dir.path());
    assert_eq!(
        text,
        "error: cannot read the model's configuration `DIR/config.json`\n  caused by: No such file \
         or directory (os error 2)\n\nhint: give a Hugging Face GPT-J folder with --model_path; \
         config.json must be in it\n"
    );
    write(dir.path(), "config.json", "{\"n_embd\": 8,\n}");
    let text = told(ModelConfig::read(dir.path()).unwrap_err(), dir.path());
    assert_eq!(
        text,
        "error: `DIR/config.json` is not a JSON object\n  caused by: trailing comma at line 2 \
         column 1\n\nhint: copy or download the file again\n"
    );
}
