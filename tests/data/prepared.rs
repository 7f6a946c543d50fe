//! Tokenised data sets: the files, when they are used again, and prompts that are too long.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use mlperf_gptj::dataset::prepared::{cache_folder, prepare};
use mlperf_gptj::dataset::{Dataset, Prepared, PromptLimits, Request, Source, TextTokenizer, npy};
use mlperf_gptj::model::ModelConfig;
use serde_json::json;
use tempfile::{TempDir, tempdir};

use super::support::{gpt2_folder, model_with, told, write};

const END: i32 = 601;

/// A data set of three articles, the second of which is long, and where its tokens are kept.
struct Fixture {
    dir: TempDir,
    dataset: Dataset,
    tokenizer: TextTokenizer,
    model: ModelConfig,
    limits: PromptLimits,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        let model = model_with(613, 2048);
        Self {
            dataset: dataset(dir.path(), "The ferry sailed."),
            tokenizer: TextTokenizer::open(&gpt2_folder(), &model).unwrap(),
            model,
            limits: PromptLimits {
                max_prompt_tokens: 300,
                max_new_tokens: 128,
            },
            dir,
        }
    }

    fn folder(&self) -> PathBuf {
        cache_folder(self.dir.path(), "cnn_dailymail", &self.dataset.fingerprint)
    }

    fn request(&self) -> Request<'_> {
        Request {
            dataset: &self.dataset,
            tokenizer: &self.tokenizer,
            model: &self.model,
            limits: self.limits,
            cache: Some(self.folder()),
            force: false,
        }
    }

    /// Prompts, and how many of them were tokenised.
    fn prepare(&self) -> (Prepared, usize) {
        let count = AtomicUsize::new(0);
        let prepared = prepare(&self.request(), &|| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        (prepared.unwrap(), count.into_inner())
    }

    /// Why the prompts were tokenised, with the folder as `DIR`.
    fn reason(&self) -> String {
        let (prepared, count) = self.prepare();
        assert_eq!(count, 3);
        let Source::Tokenized { reason, written } = prepared.source else {
            panic!("files were used that should not have been");
        };
        assert_eq!(written, Some(Ok(self.folder())));
        reason.replace(&self.folder().display().to_string(), "DIR")
    }
}

fn dataset(folder: &Path, first: &str) -> Dataset {
    let article = |text: &str| json!({"instruction": "Summarize:", "input": text, "output": "x"});
    let long = "The harbour master waited. ".repeat(100);
    let list = json!([article(first), article(&long), article("Rain fell.")]);
    Dataset::read(&write(folder, "eval.json", list.to_string())).unwrap()
}

#[test]
fn folders_have_the_names_that_are_known() {
    let fixture = Fixture::new();
    let digest = &fixture.dataset.fingerprint;
    let name = |workload| cache_folder(Path::new("p"), workload, digest);
    assert_eq!(
        name("cnn_dailymail"),
        Path::new("p/cnn_dailymail_tokenized_gptj")
    );
    assert_eq!(name("gptj-mini"), Path::new("p/gptj-mini_tokenized_gptj"));
    let custom = format!("p/custom_{}_tokenized_gptj", &digest.hex[..12]);
    assert_eq!(name("custom"), Path::new(&custom));
}

#[test]
fn prompts_are_tokenised_once_and_then_read() {
    let fixture = Fixture::new();
    let (fresh, count) = fixture.prepare();
    assert_eq!(count, 3);
    assert_eq!((fresh.len(), fresh.truncated, fresh.longest), (3, 1, 300));
    assert_eq!(fresh.offsets[0], 0);
    assert_eq!(*fresh.offsets.last().unwrap(), fresh.tokens.len() as u64);
    let text = fixture.tokenizer.decode(fresh.prompt(2)).unwrap();
    assert!(
        text.ends_with("### Input:\nRain fell.\n\n### Response:"),
        "{text}"
    );

    let (again, count) = fixture.prepare();
    assert_eq!(count, 0);
    assert_eq!(again.source, Source::Cache(fixture.folder()));
    assert_eq!(
        (&again.tokens, &again.offsets),
        (&fresh.tokens, &fresh.offsets)
    );
    assert_eq!((again.truncated, again.longest), (1, 300));
}

#[test]
fn the_files_have_the_form_that_harnesses_expect() {
    let fixture = Fixture::new();
    let (prepared, _) = fixture.prepare();
    let read = |name: &str| npy::read(&fixture.folder().join(name)).unwrap();
    let ids = read("input_ids_padded.npy");
    let mask = read("attention_mask.npy");
    let masked = read("masked_tokens.npy");
    let lengths = read("input_lengths.npy");
    assert_eq!(lengths.shape, [3]);
    for array in [&ids, &mask, &masked] {
        assert_eq!(array.shape, [3, 300]);
    }
    for index in 0..3 {
        let prompt = prepared.prompt(index);
        let row = 300 * index..300 * (index + 1);
        assert_eq!(lengths.values[index], prompt.len() as i32);
        let mut padded = prompt.to_vec();
        padded.resize(300, END);
        assert_eq!(ids.values[row.clone()], padded);
        for (column, at) in row.enumerate() {
            let token = i32::from(column < prompt.len());
            assert_eq!((mask.values[at], masked.values[at]), (token, 1 - token));
        }
    }
    let mut names: Vec<_> = fs::read_dir(fixture.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "attention_mask.npy",
            "input_ids_padded.npy",
            "input_lengths.npy",
            "manifest.json",
            "masked_tokens.npy",
        ]
    );
}

#[test]
fn files_for_something_else_are_made_anew_and_the_reason_is_given() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.reason(), "there is no `DIR/manifest.json` yet");
    fixture.limits.max_prompt_tokens = 200;
    assert_eq!(
        fixture.reason(),
        "`DIR/manifest.json` is for another max_prompt_tokens"
    );
    fixture.dataset = dataset(fixture.dir.path(), "The ferry sank.");
    assert_eq!(
        fixture.reason(),
        "`DIR/manifest.json` is for another data set"
    );
    fixture.model.eos_token = 5;
    assert_eq!(
        fixture.reason(),
        "`DIR/manifest.json` is for another end token"
    );
    let other = tempdir().unwrap();
    for name in ["vocab.json", "merges.txt"] {
        fs::copy(gpt2_folder().join(name), other.path().join(name)).unwrap();
    }
    fixture.tokenizer = TextTokenizer::open(other.path(), &fixture.model).unwrap();
    assert_eq!(
        fixture.reason(),
        "`DIR/manifest.json` is for another tokenizer"
    );
    let manifest = fixture.folder().join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"format\": 1", "\"format\": 0")).unwrap();
    assert_eq!(
        fixture.reason(),
        "`DIR/manifest.json` is for another version of this program"
    );
    assert_eq!(fixture.prepare().1, 0, "what was made anew is used");
}

#[test]
fn damaged_files_are_made_anew() {
    let fixture = Fixture::new();
    fixture.prepare();
    let ids = fixture.folder().join("input_ids_padded.npy");
    let whole = fs::read(&ids).unwrap();

    fs::write(&ids, &whole[..whole.len() - 4]).unwrap();
    assert_eq!(
        fixture.reason(),
        "`DIR/input_ids_padded.npy` should have 3728 bytes by its shape [3, 300], it has 3724"
    );

    let mut changed = whole.clone();
    changed[200] ^= 1;
    fs::write(&ids, &changed).unwrap();
    assert_eq!(
        fixture.reason(),
        "`DIR/input_ids_padded.npy` is not what manifest.json says"
    );

    fs::remove_file(&ids).unwrap();
    assert_eq!(
        fixture.reason(),
        "cannot read `DIR/input_ids_padded.npy`: No such file or directory (os error 2)"
    );

    fs::copy(&ids, fixture.folder().join("input_lengths.npy")).unwrap();
    assert_eq!(
        fixture.reason(),
        "`DIR/input_lengths.npy` has shape [3, 300], expected [3]"
    );

    fs::write(fixture.folder().join("manifest.json"), "{").unwrap();
    assert_eq!(
        fixture.reason(),
        "`DIR/manifest.json` cannot be understood: EOF while parsing an object at line 1 column 1"
    );
    assert_eq!(fs::read(&ids).unwrap(), whole);
}

#[test]
fn files_can_be_made_anew_on_request_or_not_at_all() {
    let fixture = Fixture::new();
    fixture.prepare();
    let forced = Request {
        force: true,
        ..fixture.request()
    };
    let prepared = prepare(&forced, &|| {}).unwrap();
    assert!(matches!(
        prepared.source,
        Source::Tokenized { reason, written: Some(Ok(_)) } if reason == "asked for"
    ));
    let unkept = Request {
        cache: None,
        ..fixture.request()
    };
    let prepared = prepare(&unkept, &|| {}).unwrap();
    assert!(matches!(
        prepared.source,
        Source::Tokenized { written: None, .. }
    ));
}

#[test]
fn what_killed_processes_left_is_removed() {
    let fixture = Fixture::new();
    let folder = fixture.dir.path().join("cnn_dailymail_tokenized_gptj");
    let hour = Duration::from_secs(3600);
    for (name, age) in [(".writing-1", hour * 2), (".writing-2", hour / 2)] {
        fs::create_dir_all(folder.join(name)).unwrap();
        write(&folder.join(name), "input_ids_padded.npy", "half of it");
        let handle = fs::File::open(folder.join(name)).unwrap();
        handle.set_modified(SystemTime::now() - age).unwrap();
    }
    fixture.prepare();
    assert!(!folder.join(".writing-1").exists());
    assert!(folder.join(".writing-2").exists(), "somebody may be at it");
    assert!(folder.join("manifest.json").exists());
}

#[test]
fn a_folder_that_cannot_be_written_does_not_stop_a_run() {
    let fixture = Fixture::new();
    write(fixture.dir.path(), "cnn_dailymail_tokenized_gptj", "a file");
    let (prepared, count) = fixture.prepare();
    assert_eq!((prepared.len(), count), (3, 3));
    let Source::Tokenized {
        written: Some(Err(failure)),
        ..
    } = prepared.source
    else {
        panic!("a folder was written over a file");
    };
    assert_eq!(
        told(failure, fixture.dir.path()),
        "error: cannot create the folder `DIR/cnn_dailymail_tokenized_gptj`\n  caused by: File \
         exists (os error 17)\n\nhint: check free space and permissions, or set \
         MLPERF_SCRATCH_PATH to another folder\n"
    );
}

#[test]
fn a_prompt_over_the_models_limit() {
    let mut fixture = Fixture::new();
    fixture.model.n_positions = 427;
    for attempt in ["tokenised", "read"] {
        // 300 + 128 tokens are one too many, also when they come from files of a model where they fit.
        let failure = prepare(&fixture.request(), &|| {}).unwrap_err();
        assert_eq!(
            told(failure, fixture.dir.path()),
            "error: sample 1 of `DIR/eval.json` has a prompt of 300 tokens, which exceeds the \
             model's limit\n  caused by: 300 prompt tokens and 128 new ones need 428 positions, \
             the model has 427 (n_positions)\n\nhint: set max_prompt_tokens to 299 or less, which \
             cuts longer prompts off at their end, or use a model with more positions\n",
            "{attempt}"
        );
        let larger = ModelConfig {
            n_positions: 428,
            ..fixture.model
        };
        let fits = Request {
            model: &larger,
            ..fixture.request()
        };
        prepare(&fits, &|| {}).unwrap();
    }
    fixture.model.n_positions = 100;
    let failure = prepare(&fixture.request(), &|| {}).unwrap_err();
    let text = told(failure, fixture.dir.path());
    assert!(text.starts_with("error: sample 0 of"), "{text}");
    assert!(
        text.contains("the model has 100 (n_positions); so do 2 more\n"),
        "{text}"
    );
    assert!(
        text.ends_with("hint: the model has no room for an answer: set max_new_tokens below 100\n"),
        "{text}"
    );
}
