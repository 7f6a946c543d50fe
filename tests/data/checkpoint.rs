//! Checkpoints: one file, shards, and everything that can be wrong with either.

use mlperf_gptj::model::tensors::expected_tensors;
use mlperf_gptj::model::{Checkpoint, ElementType, ModelConfig, check_tensors};
use serde_json::json;
use tempfile::{TempDir, tempdir};

use super::support::{Tensor, f16, repository, safetensors, tiny_config, told, with_header, write};

const COPY_AGAIN: &str =
    "\n\nhint: copy or download the file again and compare its size with the source\n";

/// What opening a folder with this model.safetensors says.
fn told_of(file: &[u8]) -> String {
    let dir = tempdir().unwrap();
    write(dir.path(), "model.safetensors", file);
    told(Checkpoint::open(dir.path()).unwrap_err(), dir.path())
}

#[test]
fn reads_names_types_shapes_and_bytes() {
    let dir = tempdir().unwrap();
    let file = safetensors(&[
        f16("b.weight", &[2, 3], 7),
        Tensor {
            name: "a.scale".to_owned(),
            dtype: "F32",
            shape: vec![],
            bytes: 1.5f32.to_le_bytes().to_vec(),
        },
        Tensor {
            name: "c".to_owned(),
            dtype: "I8",
            shape: vec![3],
            bytes: vec![1, 255, 3],
        },
    ]);
    let path = write(dir.path(), "model.safetensors", file);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(checkpoint.tensor_count(), 3);
    let names: Vec<_> = (0..3)
        .map(|index| checkpoint.tensor_name(index).unwrap())
        .collect();
    assert_eq!(names, ["a.scale", "b.weight", "c"]);
    assert_eq!(checkpoint.find("c"), Some(2));
    assert_eq!(checkpoint.find("d"), None);
    assert_eq!(checkpoint.element_type(0).unwrap(), ElementType::F32);
    assert_eq!(checkpoint.element_type(1).unwrap(), ElementType::F16);
    assert_eq!(checkpoint.element_type(2).unwrap(), ElementType::I8);
    assert_eq!(checkpoint.tensor_shape(0).unwrap(), [0i64; 0]);
    assert_eq!(checkpoint.tensor_shape(1).unwrap(), [2, 3]);
    assert_eq!(checkpoint.tensor_bytes(0).unwrap(), 1.5f32.to_le_bytes());
    assert_eq!(checkpoint.tensor_bytes(1).unwrap(), [7u8; 12]);
    assert_eq!(checkpoint.tensor_bytes(2).unwrap(), [1u8, 255, 3]);
    assert_eq!(checkpoint.tensor_file(2).unwrap(), path);
    let error = checkpoint.tensor_bytes(3).unwrap_err();
    assert_eq!(error.to_string(), "tensor number 3 of 3 was asked for");
}

#[test]
fn an_empty_checkpoint_has_no_tensors() {
    let checkpoint = Checkpoint::empty();
    assert_eq!(checkpoint.tensor_count(), 0);
    assert!(checkpoint.tensor_name(0).is_err());
}

#[test]
fn masks_saved_with_the_weights_are_left_out() {
    let dir = tempdir().unwrap();
    let mask = Tensor {
        name: "transformer.h.0.attn.bias".to_owned(),
        dtype: "BOOL",
        shape: vec![1, 1, 2, 2],
        bytes: vec![1, 0, 1, 1],
    };
    let file = safetensors(&[mask, f16("transformer.h.0.ln_1.bias", &[4], 0)]);
    write(dir.path(), "model.safetensors", file);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(checkpoint.tensor_count(), 1);
    assert_eq!(
        checkpoint.tensor_name(0).unwrap(),
        "transformer.h.0.ln_1.bias"
    );
}

#[test]
fn ranges_saved_with_the_weights_are_left_out() {
    let dir = tempdir().unwrap();
    let file = safetensors(&[f16("fp8.activation_ranges", &[1, 4], 0), f16("w", &[4], 0)]);
    write(dir.path(), "model.safetensors", file);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(checkpoint.tensor_count(), 1);
    assert_eq!(checkpoint.find("fp8.activation_ranges"), None);
}

#[test]
fn a_tensor_can_be_added_once() {
    let dir = tempdir().unwrap();
    write(
        dir.path(),
        "model.safetensors",
        safetensors(&[f16("z", &[1], 0)]),
    );
    let mut checkpoint = Checkpoint::open(dir.path()).unwrap();
    checkpoint.add_f32("a", vec![1, 2], &[1.0, -2.5]).unwrap();
    let number = checkpoint.find("a").unwrap();
    assert_eq!(
        (checkpoint.tensor_count(), checkpoint.find("z")),
        (2, Some(0))
    );
    assert_eq!(checkpoint.tensor_name(number).unwrap(), "a");
    assert_eq!(checkpoint.element_type(number).unwrap(), ElementType::F32);
    assert_eq!(checkpoint.tensor_shape(number).unwrap(), [1, 2]);
    let bytes = [1f32.to_le_bytes(), (-2.5f32).to_le_bytes()].concat();
    assert_eq!(checkpoint.tensor_bytes(number).unwrap(), bytes);

    let error = checkpoint.tensor_file(number).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tensor `a` is in no file: this program added it"
    );
    for name in ["a", "z"] {
        let error = checkpoint.add_f32(name, vec![1], &[1.0]).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("there is a tensor `{name}` already")
        );
        assert_eq!(checkpoint.tensor_bytes(number).unwrap(), bytes);
        assert_eq!(checkpoint.find("a"), Some(number));
    }
}

#[test]
fn a_missing_folder() {
    let dir = tempdir().unwrap();
    let text = told(
        Checkpoint::open(&dir.path().join("nowhere")).unwrap_err(),
        dir.path(),
    );
    assert_eq!(
        text,
        "error: no model folder at `DIR/nowhere`\n\nhint: give a Hugging Face GPT-J folder with \
         --model_path: config.json, tokenizer files, and model.safetensors or \
         model.safetensors.index.json with its shards\n"
    );
}

#[test]
fn a_folder_without_weights() {
    let dir = tempdir().unwrap();
    let text = told(Checkpoint::open(dir.path()).unwrap_err(), dir.path());
    assert!(
        text.starts_with(
            "error: no weights in `DIR`: neither model.safetensors nor model.safetensors.index.json\n"
        ),
        "{text}"
    );
}

#[test]
fn a_folder_with_pickled_weights_only() {
    let dir = tempdir().unwrap();
    // Each is found by itself; the first one of them is named.
    for name in [
        "pytorch_model-00002-of-00003.bin",
        "pytorch_model.bin.index.json",
        "pytorch_model.bin",
    ] {
        write(dir.path(), name, "{}");
        let text = told(Checkpoint::open(dir.path()).unwrap_err(), dir.path());
        assert_eq!(
            text,
            format!(
                "error: `DIR` has its weights in PyTorch's pickle format ({name}) only\n\nhint: import \
                 it, which writes safetensors: `run_harness import-model --from=DIR --to=DIR`, or \
                 another folder with --to\n"
            )
        );
    }
}

#[test]
fn a_truncated_file() {
    let file = safetensors(&[f16("first", &[4], 0), f16("last", &[100], 0)]);
    let whole = file.len();
    let text = told_of(&file[..whole - 50]);
    assert_eq!(
        text,
        format!(
            "error: `DIR/model.safetensors` is truncated: its header describes {whole} bytes, the \
             file has {} bytes; the last tensor, `last`, lies at bytes {}..{whole}{COPY_AGAIN}",
            whole - 50,
            whole - 200
        )
    );
}

#[test]
fn a_file_that_is_too_long() {
    let mut file = safetensors(&[f16("only", &[4], 0)]);
    let whole = file.len();
    file.push(0);
    let text = told_of(&file);
    assert!(
        text.contains(&format!(
            "is longer than it should be: its header describes {whole} bytes, the file has {} bytes",
            whole + 1
        )),
        "{text}"
    );
}

#[test]
fn a_file_that_ends_in_its_header() {
    let file = safetensors(&[f16("only", &[4], 0)]);
    let end = file.len() - 8;
    assert_eq!(
        told_of(&file[..20]),
        format!(
            "error: `DIR/model.safetensors` is truncated: its header ends at byte {end}, the file \
             has 20 bytes{COPY_AGAIN}"
        )
    );
    assert!(told_of(&[]).contains("its header ends at byte 8, the file has 0 bytes"));
}

#[test]
fn a_header_that_is_not_json() {
    let text = told_of(&with_header("{\"a\": nonsense}", &[]));
    assert!(
        text.starts_with(
            "error: `DIR/model.safetensors` has a broken header (bytes 8..23)\n  caused by: expected"
        ),
        "{text}"
    );
    assert!(text.ends_with(COPY_AGAIN), "{text}");
}

#[test]
fn a_header_whose_offsets_contradict_its_shapes() {
    let header = json!({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}});
    let text = told_of(&with_header(&header.to_string(), &[0; 4]));
    assert!(
        text.contains("caused by: invalid shape, data type, or offset for tensor"),
        "{text}"
    );
    let header = json!({"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}});
    let text = told_of(&with_header(&header.to_string(), &[0; 8]));
    assert!(
        text.contains("caused by: invalid offset for tensor `w`"),
        "{text}"
    );
}

#[test]
fn a_file_of_another_kind() {
    let text = told_of(b"PK\x03\x04 this is a zip archive");
    assert!(
        text.starts_with(
            "error: `DIR/model.safetensors` is not a safetensors file: it starts with"
        ),
        "{text}"
    );
}

#[test]
fn a_git_lfs_pointer() {
    let text = told_of(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n");
    assert_eq!(
        text,
        "error: `DIR/model.safetensors` is a Git LFS pointer, not the file itself\n\nhint: run \
         `git lfs pull` in the model's folder\n"
    );
}

#[test]
fn an_element_type_that_no_engine_reads() {
    let text = told_of(&safetensors(&[Tensor {
        name: "w".to_owned(),
        dtype: "F64",
        shape: vec![1],
        bytes: vec![0; 8],
    }]));
    assert_eq!(
        text,
        "error: tensor `w` in `DIR/model.safetensors` has element type F64; F32, F16, BF16, \
         F8_E4M3 and I8 can be read\n\nhint: save the checkpoint as float16, bfloat16 or float32\n"
    );
}

/// Two shards with `a` and `b`, and an index that says where they are.
fn shards(weight_map: serde_json::Value) -> TempDir {
    let dir = tempdir().unwrap();
    write(
        dir.path(),
        "one.safetensors",
        safetensors(&[f16("a", &[2], 1)]),
    );
    write(
        dir.path(),
        "two.safetensors",
        safetensors(&[f16("b", &[3], 2)]),
    );
    let index = json!({"metadata": {"total_size": 10}, "weight_map": weight_map});
    write(
        dir.path(),
        "model.safetensors.index.json",
        index.to_string(),
    );
    dir
}

fn told_of_shards(dir: &TempDir) -> String {
    told(Checkpoint::open(dir.path()).unwrap_err(), dir.path())
}

#[test]
fn shards_are_one_checkpoint() {
    let dir = shards(json!({"b": "two.safetensors", "a": "one.safetensors"}));
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(checkpoint.tensor_count(), 2);
    assert_eq!(checkpoint.tensor_bytes(0).unwrap(), [1u8; 4]);
    assert_eq!(checkpoint.tensor_bytes(1).unwrap(), [2u8; 6]);
    let files: Vec<_> = checkpoint
        .files()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(files, ["two.safetensors", "one.safetensors"]);
}

#[test]
fn a_shard_that_is_missing() {
    let dir = shards(json!({"a": "one.safetensors", "c": "three.safetensors"}));
    assert_eq!(
        told_of_shards(&dir),
        "error: `DIR/model.safetensors.index.json` lists `three.safetensors` for tensor `c`, but \
         there is no such file\n\nhint: copy or download `three.safetensors` into the same folder\n"
    );
}

#[test]
fn a_tensor_that_is_not_in_its_shard() {
    let dir = shards(json!({"a": "one.safetensors", "b": "one.safetensors"}));
    assert_eq!(
        told_of_shards(&dir),
        "error: `DIR/model.safetensors.index.json` says that tensor `b` is in `one.safetensors`, \
         but it is not\n\nhint: the files do not belong together: take all of them from one source\n"
    );
}

#[test]
fn a_tensor_in_two_shards() {
    let dir = shards(json!({"a": "one.safetensors", "b": "two.safetensors"}));
    let both = safetensors(&[f16("a", &[2], 1), f16("b", &[3], 2)]);
    write(dir.path(), "two.safetensors", both);
    assert!(told_of_shards(&dir).starts_with(
        "error: tensor `a` is in both `DIR/one.safetensors` and `DIR/two.safetensors`\n"
    ));
}

#[test]
fn an_index_that_is_none() {
    let dir = shards(json!({}));
    assert!(told_of_shards(&dir).starts_with(
        "error: `DIR/model.safetensors.index.json` lists no tensors in `weight_map`\n"
    ));
    let dir = shards(json!({"a": "../one.safetensors"}));
    assert!(told_of_shards(&dir).starts_with(
        "error: `DIR/model.safetensors.index.json` names \"../one.safetensors\" as the file of \
         tensor `a`; a file name in the same folder is expected\n"
    ));
    write(dir.path(), "model.safetensors.index.json", "{");
    assert!(told_of_shards(&dir).starts_with(
        "error: `DIR/model.safetensors.index.json` is not an index of weight files\n  caused \
         by: EOF while parsing an object at line 1 column 1"
    ));
}

/// A complete tiny GPT-J, changed by `change` before it is written.
fn tiny_model(change: impl FnOnce(&mut Vec<Tensor>)) -> (TempDir, ModelConfig) {
    let dir = tempdir().unwrap();
    write(dir.path(), "config.json", tiny_config().to_string());
    let config = ModelConfig::read(dir.path()).unwrap();
    let mut tensors: Vec<Tensor> = expected_tensors(&config)
        .into_iter()
        .map(|(name, shape)| {
            let shape: Vec<usize> = shape.iter().map(|&size| size as usize).collect();
            f16(&name, &shape, 0)
        })
        .collect();
    change(&mut tensors);
    write(dir.path(), "model.safetensors", safetensors(&tensors));
    (dir, config)
}

fn told_of_model(change: impl FnOnce(&mut Vec<Tensor>)) -> String {
    let (dir, config) = tiny_model(change);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    told(check_tensors(&checkpoint, &config).unwrap_err(), dir.path())
}

#[test]
fn a_complete_model_passes_with_extra_tensors() {
    let (dir, config) = tiny_model(|tensors| tensors.push(f16("value_head.weight", &[1], 0)));
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    // Embedding, final norm (2) and head (2), and ten tensors for each of the two blocks.
    assert_eq!(checkpoint.tensor_count(), 5 + 2 * 10 + 1);
    check_tensors(&checkpoint, &config).unwrap();
}

#[test]
fn the_parameters_of_the_6b_model_are_as_published() {
    let config = ModelConfig {
        vocab_size: 50400,
        n_layer: 28,
        n_embd: 4096,
        n_head: 16,
        n_inner: 16384,
        n_positions: 2048,
        rotary_dim: 64,
        layer_norm_epsilon: 1e-5,
        eos_token: 50256,
    };
    let parameters: i64 = expected_tensors(&config)
        .iter()
        .map(|(_, shape)| shape.iter().product::<i64>())
        .sum();
    // The figure on the model card of GPT-J 6B, which counts the 50400 rows of the vocabulary.
    assert_eq!(parameters, 6_050_882_784);
}

#[test]
fn a_tensor_of_the_wrong_shape() {
    let text = told_of_model(|tensors| {
        let at = tensors
            .iter()
            .position(|tensor| tensor.name == "transformer.h.1.mlp.fc_in.weight")
            .unwrap();
        tensors[at] = f16("transformer.h.1.mlp.fc_in.weight", &[8, 32], 0);
    });
    assert_eq!(
        text,
        "error: tensor `transformer.h.1.mlp.fc_in.weight` in `DIR/model.safetensors` has shape \
         [8, 32], but config.json asks for [32, 8]\n\nhint: take config.json and the weights from \
         one source\n"
    );
}

#[test]
fn a_tensor_that_is_missing() {
    let text = told_of_model(|tensors| {
        tensors.retain(|tensor| !tensor.name.starts_with("lm_head"));
    });
    assert_eq!(
        text,
        "error: tensor `lm_head.weight` of shape [11, 8] is missing in `DIR/model.safetensors` \
         (and 1 more)\n\nhint: take config.json and the weights from one source; a \
         GPTJForCausalLM checkpoint is needed, with `lm_head`\n"
    );
}

#[test]
fn a_tensor_of_the_wrong_type() {
    let text = told_of_model(|tensors| {
        let tensor = &mut tensors[1];
        tensor.dtype = "I8";
        tensor.bytes.truncate(8);
    });
    assert_eq!(
        text,
        "error: tensor `transformer.h.0.ln_1.weight` in `DIR/model.safetensors` has element type \
         I8, expected F32, F16 or BF16\n\nhint: save the checkpoint as float16, bfloat16 or \
         float32\n"
    );
}

#[test]
fn the_models_of_the_repository_are_complete() {
    let folders = [
        "models/gptj-mini",
        "tests/fixtures/generation/random-a",
        "tests/fixtures/generation/random-b",
        "tests/fixtures/generation/random-c",
    ];
    for folder in folders.map(|folder| repository().join(folder)) {
        let config = ModelConfig::read(&folder).unwrap();
        let checkpoint = Checkpoint::open(&folder).unwrap();
        check_tensors(&checkpoint, &config).unwrap();
    }
}
