//! What is in the folder that is imported, and what is in the one that is filled.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use mlperf_gptj::model::import::{Event, Request};
use mlperf_gptj::model::tensors::expected_tensors;
use mlperf_gptj::model::{Checkpoint, ElementType, ModelConfig, check_tensors};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::support::{
    assert_expected, download, download_of, fixtures, names, request, run, told, watched,
};
use crate::torch_writer::{Described, write_archive};

fn shard(dir: &Path, number: usize) -> std::path::PathBuf {
    dir.join(format!("from/pytorch_model-0000{number}-of-00003.bin"))
}

fn edit_json(path: &Path, edit: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    edit(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

#[test]
fn shards_become_safetensors_with_everything_beside_them() {
    let dir = download();
    let imported = run(&request(dir.path())).unwrap();
    let to = dir.path().join("to");
    assert_expected(&to);
    check_tensors(
        &Checkpoint::open(&to).unwrap(),
        &ModelConfig::read(&to).unwrap(),
    )
    .unwrap();
    assert_eq!(
        names(&to),
        [
            "added_tokens.json",
            "config.json",
            "generation_config.json",
            "import.json",
            "merges.txt",
            "model-00001-of-00003.safetensors",
            "model-00002-of-00003.safetensors",
            "model-00003-of-00003.safetensors",
            "model.safetensors.index.json",
            "vocab.json"
        ]
    );
    assert_eq!((imported.tensors, imported.already), (25, false));
    let masks = [0, 1].map(|layer| {
        ["bias", "masked_bias"].map(|name| format!("transformer.h.{layer}.attn.{name}"))
    });
    assert_eq!(imported.left_out, masks.concat());
    for file in &imported.files {
        let bytes = fs::read(to.join(&file.name)).unwrap();
        let digest: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!((&file.sha256, file.bytes), (&digest, bytes.len() as u64));
    }
}

#[test]
fn a_second_import_finds_everything_there() {
    let dir = download();
    let first = run(&request(dir.path())).unwrap();
    let no_event = |event: Event| panic!("{event:?}");
    let second = watched(&request(dir.path()), &no_event).unwrap();
    assert!(second.already);
    assert_eq!(second.files, first.files);
}

#[test]
fn into_its_own_folder_and_again_without_the_source() {
    let dir = download();
    let from = dir.path().join("from");
    let in_place = Request {
        to: from.clone(),
        ..request(dir.path())
    };
    let first = run(&in_place).unwrap();
    assert_expected(&from);
    for number in 1..=3 {
        fs::remove_file(shard(dir.path(), number)).unwrap();
    }
    fs::remove_file(from.join("pytorch_model.bin.index.json")).unwrap();
    let second = run(&in_place).unwrap();
    assert!(second.already);
    assert_eq!(second.files, first.files);
}

#[test]
fn one_file_of_views_transposed_and_with_other_names() {
    let dir = download_of("flat.bin");
    let imported = run(&request(dir.path())).unwrap();
    assert_expected(&dir.path().join("to"));
    assert_eq!(imported.files.len(), 1);
    assert_eq!(imported.files[0].name, "model.safetensors");
}

#[test]
fn safetensors_are_copied() {
    let dir = download();
    run(&request(dir.path())).unwrap();
    let again = Request {
        from: dir.path().join("to"),
        to: dir.path().join("third"),
        force: false,
    };
    let imported = run(&again).unwrap();
    assert_expected(&dir.path().join("third"));
    assert!(imported.left_out.is_empty());
}

#[test]
fn the_vocabulary_of_the_base_model_and_that_of_the_fine_tuned_one() {
    for rows in [50_400, 50_401] {
        let dir = download_of("flat.bin");
        let from = dir.path().join("from");
        edit_json(&from.join("config.json"), |config| {
            config["vocab_size"] = json!(rows)
        });
        let model = ModelConfig::read(&from).unwrap();
        let tensors: Vec<Described> = expected_tensors(&model)
            .into_iter()
            .map(described)
            .collect();
        write_archive(&from.join("pytorch_model.bin"), &tensors, |tensor, out| {
            out.write_all(&vec![
                tensor.name.len() as u8;
                2 * tensor.elements() as usize
            ])
        })
        .unwrap();
        run(&request(dir.path())).unwrap();
        let checkpoint = Checkpoint::open(&dir.path().join("to")).unwrap();
        let head = checkpoint.find("lm_head.bias").unwrap();
        assert_eq!(checkpoint.tensor_shape(head).unwrap(), [i64::from(rows)]);
        assert_eq!(checkpoint.element_type(head).unwrap(), ElementType::BF16);
        assert_eq!(
            checkpoint.tensor_bytes(head).unwrap(),
            vec![12; 2 * rows as usize]
        );
    }
}

fn described((name, shape): (String, Vec<i64>)) -> Described {
    Described {
        name,
        shape: shape.iter().map(|&size| size as u64).collect(),
        storage: "BFloat16Storage",
    }
}

#[test]
fn a_vocabulary_that_config_json_does_not_have() {
    let dir = download_of("flat.bin");
    edit_json(&dir.path().join("from/config.json"), |config| {
        config["vocab_size"] = json!(613)
    });
    assert_eq!(
        told(dir.path()),
        "error: tensor `transformer.wte.weight` in `DIR/from/pytorch_model.bin` has shape [614, 8], \
         but config.json asks for [613, 8]\n\nhint: take config.json and the weights from one source\n"
    );
}

#[test]
fn elements_that_no_engine_reads() {
    let dir = download_of("flat.bin");
    let from = dir.path().join("from");
    let model = ModelConfig::read(&from).unwrap();
    let mut tensors: Vec<Described> = expected_tensors(&model)
        .into_iter()
        .map(described)
        .collect();
    tensors[1].storage = "ShortStorage";
    write_archive(&from.join("pytorch_model.bin"), &tensors, |tensor, out| {
        out.write_all(&vec![0; 2 * tensor.elements() as usize])
    })
    .unwrap();
    assert_eq!(
        told(dir.path()),
        "error: tensor `transformer.h.0.ln_1.weight` in `DIR/from/pytorch_model.bin` has element type \
         int16, expected F32, F16 or BF16\n\nhint: save the checkpoint as float16, bfloat16 or float32\n"
    );
}

#[test]
fn names_as_they_were_downloaded_in_2023() {
    let dir = download();
    for (number, extra) in [(1, "003"), (2, "002"), (3, "001")] {
        let name = format!("from/pytorch_model-0000{number}-of-00003-{extra}.bin");
        fs::rename(shard(dir.path(), number), dir.path().join(name)).unwrap();
    }
    run(&request(dir.path())).unwrap();
    assert_expected(&dir.path().join("to"));
}

#[test]
fn without_an_index_the_names_tell_what_is_missing() {
    let dir = download();
    fs::remove_file(dir.path().join("from/pytorch_model.bin.index.json")).unwrap();
    fs::rename(shard(dir.path(), 2), dir.path().join("elsewhere")).unwrap();
    assert_eq!(
        told(dir.path()),
        "error: `pytorch_model-00002-of-00003.bin` is not, or more than once, in `DIR/from`\n  caused \
         by: there is no pytorch_model.bin.index.json, and `pytorch_model-00001-of-00003.bin` says that \
         there are 3 such files\n\nhint: copy or download the file again and compare its size with the \
         source\n"
    );
    fs::rename(dir.path().join("elsewhere"), shard(dir.path(), 2)).unwrap();
    run(&request(dir.path())).unwrap();
    assert_expected(&dir.path().join("to"));
}

#[test]
fn a_shard_that_is_missing() {
    let dir = download();
    fs::remove_file(shard(dir.path(), 3)).unwrap();
    assert_eq!(
        told(dir.path()),
        "error: `DIR/from/pytorch_model.bin.index.json` lists `pytorch_model-00003-of-00003.bin` for \
         tensor `lm_head.bias`, but there is no such file\n\nhint: copy or download \
         `pytorch_model-00003-of-00003.bin` into the same folder\n"
    );
}

#[test]
fn an_index_that_names_a_tensor_that_is_not_there() {
    let dir = download();
    edit_json(
        &dir.path().join("from/pytorch_model.bin.index.json"),
        |index| {
            index["weight_map"]["value_head.weight"] = json!("pytorch_model-00002-of-00003.bin");
        },
    );
    assert_eq!(
        told(dir.path()),
        "error: `DIR/from/pytorch_model.bin.index.json` says that tensor `value_head.weight` is in \
         `pytorch_model-00002-of-00003.bin`, but it is not\n\nhint: the files do not belong together: \
         take all of them from one source\n"
    );
}

#[test]
fn a_tensor_in_two_files() {
    let dir = download();
    let index = dir.path().join("from/pytorch_model.bin.index.json");
    fs::remove_file(index).unwrap();
    fs::copy(fixtures().join("flat.bin"), shard(dir.path(), 3)).unwrap();
    let text = told(dir.path());
    assert!(text.starts_with("error: tensor `transformer."), "{text}");
    assert!(
        text.contains("is in both `DIR/from/pytorch_model-0000"),
        "{text}"
    );
}

#[test]
fn weights_of_another_model() {
    let dir = download_of("views.bin");
    let text = told(dir.path());
    assert!(
        text.starts_with(
            "error: tensor `transformer.wte.weight` of shape [614, 8] is missing in \
             `DIR/from/pytorch_model.bin` (and 24 more)\n"
        ),
        "{text}"
    );
}

#[test]
fn folders_that_are_none() {
    let dir = download();
    let request = |from: &str| Request {
        from: dir.path().join(from),
        ..request(dir.path())
    };
    let told = |from: &str| {
        let text = run(&request(from)).unwrap_err().render();
        text.replace(&dir.path().display().to_string(), "DIR")
    };
    assert!(told("nowhere").starts_with("error: no folder at `DIR/nowhere`\n\nhint: --from takes"));
    assert!(
        told("from/merges.txt").starts_with("error: `DIR/from/merges.txt` is a file\n\nhint: ")
    );
    // Downloads have the checkpoint in a folder of a folder.
    assert!(
        told("").contains("hint: did you mean --from=DIR/from?\n"),
        "{}",
        told("")
    );
    fs::remove_file(dir.path().join("from/config.json")).unwrap();
    let text = told("from");
    assert!(
        text.starts_with("error: cannot read the model's configuration `DIR/from/config.json`\n"),
        "{text}"
    );
    assert!(
        text.contains("hint: --from takes the folder of a downloaded GPT-J checkpoint"),
        "{text}"
    );
    assert!(
        !dir.path().join("to").exists(),
        "nothing was done by halves"
    );
}

#[test]
fn weights_that_are_there_are_kept_unless_told() {
    let dir = download();
    run(&request(dir.path())).unwrap();
    // Another source of the same model.
    let other = download_of("flat.bin");
    let onto = Request {
        from: other.path().join("from"),
        ..request(dir.path())
    };
    let text = run(&onto).unwrap_err().render();
    let text = text.replace(&dir.path().display().to_string(), "DIR");
    assert_eq!(
        text,
        "error: there are other weights in `DIR/to`\n  caused by: they were imported from `DIR/from`, \
         which was something else then\n\nhint: give another folder with --to, or replace them with \
         --force\n"
    );
    assert_expected(&dir.path().join("to"));
    let notes = RefCell::new(Vec::new());
    let watch = |event: Event| {
        if let Event::Note(text) = event {
            notes.borrow_mut().push(text.to_owned());
        }
    };
    watched(
        &Request {
            force: true,
            ..onto
        },
        &watch,
    )
    .unwrap();
    assert_eq!(notes.into_inner().len(), 1);
    assert_expected(&dir.path().join("to"));
    let weights = names(&dir.path().join("to"));
    let weights: Vec<_> = weights
        .iter()
        .filter(|name| name.contains("safetensors"))
        .collect();
    assert_eq!(weights, ["model.safetensors"]);
}
