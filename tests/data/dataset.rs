//! cnn_eval.json: what is read, and what is said about files that are none.

use mlperf_gptj::dataset::Dataset;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::support::{told, write};

const FORM: &str = "\n\nhint: a data set is a JSON array of objects with the texts `instruction`, \
                    `input` and `output`, as MLCommons' download_cnndm.py writes cnn_eval.json\n";

fn told_of(text: &str) -> String {
    let dir = tempdir().unwrap();
    let path = write(dir.path(), "eval.json", text);
    told(Dataset::read(&path).unwrap_err(), dir.path())
}

fn sample() -> Value {
    json!({"instruction": "Summarize:", "input": "Zürich \u{1f600}\n", "output": "short"})
}

#[test]
fn reads_samples_in_order_and_ignores_other_fields() {
    let dir = tempdir().unwrap();
    let mut second = sample();
    second["output"] = json!("other");
    second["id"] = json!(7);
    let text = json!([sample(), second]).to_string();
    let path = write(dir.path(), "eval.json", text);
    let dataset = Dataset::read(&path).unwrap();
    assert_eq!(dataset.samples.len(), 2);
    assert_eq!(dataset.samples[0].instruction, "Summarize:");
    assert_eq!(dataset.samples[0].input, "Zürich \u{1f600}\n");
    assert_eq!(dataset.targets().collect::<Vec<_>>(), ["short", "other"]);
}

#[test]
fn a_missing_file() {
    let dir = tempdir().unwrap();
    let error = Dataset::read(&dir.path().join("none.json")).unwrap_err();
    assert_eq!(
        told(error, dir.path()),
        "error: cannot read the data set `DIR/none.json`\n  caused by: No such file or directory \
         (os error 2)\n\nhint: check the path given with --dataset_path\n"
    );
}

#[test]
fn a_file_that_is_not_json() {
    assert_eq!(
        told_of("[\n  {\"instruction\": \"x\",}\n]"),
        format!(
            "error: the data set `DIR/eval.json` is not JSON\n  caused by: trailing comma at line \
             2 column 23{FORM}"
        )
    );
    // As after an interrupted download.
    let whole = json!([sample()]).to_string();
    let text = told_of(&whole[..whole.len() - 5]);
    assert!(
        text.contains("caused by: EOF while parsing a string at line 1"),
        "{text}"
    );
}

#[test]
fn a_file_without_samples() {
    assert_eq!(
        told_of("[]"),
        format!("error: the data set `DIR/eval.json` is empty{FORM}")
    );
    assert_eq!(
        told_of("{}"),
        format!(
            "error: the data set `DIR/eval.json` is an object, expected an array of objects{FORM}"
        )
    );
    assert!(told_of("").contains("caused by: EOF while parsing a value at line 1 column 0"));
}

#[test]
fn a_sample_that_lacks_a_field() {
    for field in ["instruction", "input", "output"] {
        let mut broken = sample();
        broken.as_object_mut().unwrap().remove(field);
        assert_eq!(
            told_of(&json!([sample(), sample(), broken]).to_string()),
            format!("error: sample 2 of the data set `DIR/eval.json` has no field `{field}`{FORM}")
        );
    }
}

#[test]
fn a_sample_of_the_wrong_type() {
    let mut broken = sample();
    broken["output"] = json!(["a", "b"]);
    assert_eq!(
        told_of(&json!([broken]).to_string()),
        format!(
            "error: field `output` of sample 0 of the data set `DIR/eval.json` is an array, \
             expected text{FORM}"
        )
    );
    assert_eq!(
        told_of(&json!([sample(), "text"]).to_string()),
        format!(
            "error: sample 1 of the data set `DIR/eval.json` is text, expected an object{FORM}"
        )
    );
}
