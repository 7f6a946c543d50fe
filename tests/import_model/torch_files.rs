//! Files as PyTorch wrote them: what is read, and what is refused.

use std::fs;

use mlperf_gptj::error::Failure;
use mlperf_gptj::model::torch::{StorageType, TorchFile};
use serde_json::Value;
use tempfile::tempdir;

use super::support::fixtures;

#[test]
fn views_are_as_pytorch_has_them() {
    let path = fixtures().join("views.bin");
    let bytes = fs::read(&path).unwrap();
    let file = TorchFile::open(&path).unwrap();
    let text = fs::read_to_string(fixtures().join("views.json")).unwrap();
    let expected: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    let names: Vec<&str> = file
        .tensors
        .iter()
        .map(|tensor| tensor.name.as_str())
        .collect();
    assert_eq!(names, expected.keys().collect::<Vec<_>>());
    for tensor in &file.tensors {
        let expected = &expected[&tensor.name];
        let view = &tensor.view;
        assert_eq!(
            view.storage.kind.to_string(),
            expected["dtype"],
            "{}",
            tensor.name
        );
        assert_eq!(
            serde_json::json!(view.shape),
            expected["shape"],
            "{}",
            tensor.name
        );
        if view.storage.kind != StorageType::Float {
            continue;
        }
        let start = file.entries[tensor.entry].start;
        let value = |element: u64| {
            let at = (start + 4 * element) as usize;
            f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
        };
        let mut elements = vec![view.offset];
        for (&size, &stride) in view.shape.iter().zip(&view.strides) {
            let steps = |element: u64| (0..size).map(move |index| element + index * stride);
            elements = elements.into_iter().flat_map(steps).collect();
        }
        let values: Vec<f32> = elements.into_iter().map(value).collect();
        assert_eq!(
            serde_json::json!(values),
            expected["values"],
            "{}",
            tensor.name
        );
    }
    let contiguous = |name: &str| {
        let found = file.tensors.iter().find(|tensor| tensor.name == name);
        found.unwrap().view.is_contiguous()
    };
    assert!(
        ["whole", "part", "scalar", "empty"]
            .into_iter()
            .all(contiguous)
    );
    assert!(
        !["transposed", "column", "expanded"]
            .into_iter()
            .any(contiguous)
    );
}

/// What opening a fixture says, with its path as `FILE`.
fn told_of(fixture: &str) -> String {
    let path = fixtures().join(fixture);
    let failure = Failure::from(TorchFile::open(&path).unwrap_err());
    failure
        .render()
        .replace(&path.display().to_string(), "FILE")
}

#[test]
fn the_format_of_before_1_6() {
    assert_eq!(
        told_of("legacy.bin"),
        "error: `FILE` is in PyTorch's format of before 1.6, which is not a zip archive\n\nhint: save it \
         anew with a PyTorch of 1.6 or later: python3 -c 'import torch; p = \"FILE\"; \
         torch.save(torch.load(p, map_location=\"cpu\", weights_only=True), p)'\n"
    );
}

#[test]
fn a_program() {
    let text = told_of("torchscript.bin");
    assert!(
        text.starts_with("error: `FILE` holds a TorchScript program, not a state dictionary\n"),
        "{text}"
    );
}

#[test]
fn a_module_asks_for_its_class() {
    let text = told_of("module.bin");
    assert!(
        text.starts_with(
            "error: the pickle in `FILE` is refused\n  caused by: it asks for \
             `torch.nn.modules.linear.Linear` at byte 2: loading it with Python would run code of \
             that name\n\nhint: take the file from a source that you trust"
        ),
        "{text}"
    );
}

#[test]
fn parameters_ask_for_another_function() {
    let text = told_of("parameter.bin");
    assert!(
        text.contains("it asks for `torch._utils._rebuild_parameter` at byte"),
        "{text}"
    );
}

#[test]
fn another_protocol() {
    let text = told_of("protocol4.bin");
    assert!(
        text.contains(
            "caused by: it is of pickle protocol 4; torch.save writes protocol 2\n\nhint: save"
        ),
        "{text}"
    );
}

#[test]
fn a_dictionary_around_the_state_dictionary() {
    let text = told_of("training.bin");
    assert!(
        text.contains("caused by: it is no state dictionary: `epoch` is a number, not a tensor\n"),
        "{text}"
    );
}

#[test]
fn files_of_other_kinds() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("pytorch_model.bin");
    for (content, message) in [
        (
            b"<!DOCTYPE html><html>".as_slice(),
            "is not a file of torch.save's: it starts with \"<!DOCTYPE html><\"",
        ),
        (b"", "is not a file of torch.save's: it starts with \"\""),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "is a Git LFS pointer, not the file itself",
        ),
        (
            b"PK\x03\x04 and no more",
            "is truncated or broken: no directory of a zip archive ends its 16 bytes",
        ),
    ] {
        fs::write(&path, content).unwrap();
        let text = Failure::from(TorchFile::open(&path).unwrap_err()).render();
        assert!(text.contains(message), "{text}");
        assert!(text.contains("\nhint: "), "{text}");
    }
}
