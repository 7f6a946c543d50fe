//! The reader of LoadGen's accuracy log: what it accepts and how it says no.

#![expect(
    clippy::expect_used,
    reason = "helpers outside of #[test] stop a test as it would"
)]

use std::fs;
use std::path::{Path, PathBuf};

use mlperf_gptj::accuracy::AccuracyError;
use mlperf_gptj::accuracy::log::{AccuracyLog, FILE_NAME, LogFormat, Response, TokenType, read};
use mlperf_gptj::error::{Failure, FailureKind};
use tempfile::TempDir;

const FORMAT: LogFormat = LogFormat {
    token_type: TokenType::Int32,
    samples: 10,
    vocabulary: 50_401,
};

struct LogFile {
    _folder: TempDir,
    path: PathBuf,
}

fn log_file(text: impl AsRef<[u8]>) -> LogFile {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join(FILE_NAME);
    fs::write(&path, text).expect("a new file");
    LogFile {
        _folder: folder,
        path,
    }
}

fn read_text(text: impl AsRef<[u8]>, format: LogFormat) -> Result<AccuracyLog, AccuracyError> {
    read(&log_file(text).path, format)
}

/// How a log that must be refused is refused, as people see it; the message must name the file.
fn refusal(text: impl AsRef<[u8]>) -> String {
    let file = log_file(text);
    let failure = Failure::from(read(&file.path, FORMAT).expect_err("a log to refuse"));
    assert!(
        failure.message.contains(&file.path.display().to_string()),
        "{failure}"
    );
    failure.render()
}

fn hex(tokens: &[i32]) -> String {
    tokens
        .iter()
        .flat_map(|token| token.to_le_bytes())
        .map(|byte| format!("{byte:02X}"))
        .collect()
}

/// A log as LoadGen writes it.
fn log_of(entries: &[(u64, String)]) -> String {
    let lines: Vec<String> = entries
        .iter()
        .enumerate()
        .map(|(number, (sample, data))| {
            format!(r#"{{ "seq_id" : {number}, "qsl_idx" : {sample}, "data" : "{data}" }}"#)
        })
        .collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

#[test]
fn tokens_are_little_endian() {
    let text = log_of(&[
        (7, "50C40000010000000E010000".to_owned()),
        (2, "ff000000".to_owned()),
    ]);
    let log = read_text(text, FORMAT).expect("a good log");
    assert_eq!(
        log,
        AccuracyLog {
            responses: vec![
                Response {
                    sample: 7,
                    tokens: vec![50_256, 1, 270]
                },
                Response {
                    sample: 2,
                    tokens: vec![255]
                },
            ],
            duplicates: 0,
        }
    );
}

#[test]
fn the_reference_writes_eight_bytes_a_token() {
    let format = LogFormat {
        token_type: TokenType::Int64,
        ..FORMAT
    };
    let text = log_of(&[(0, "50C40000000000000100000000000000".to_owned())]);
    let log = read_text(text, format).expect("a good log");
    assert_eq!(
        log.responses,
        [Response {
            sample: 0,
            tokens: vec![50_256, 1]
        }]
    );
}

#[test]
fn the_first_answer_to_a_sample_counts() {
    // The data of a later answer are not looked at, as in the reference script.
    let text = log_of(&[
        (3, hex(&[1])),
        (3, hex(&[2])),
        (4, hex(&[5])),
        (3, "not even hex".to_owned()),
    ]);
    let log = read_text(text, FORMAT).expect("duplicates are no fault");
    assert_eq!(log.duplicates, 2);
    assert_eq!(
        log.responses,
        [
            Response {
                sample: 3,
                tokens: vec![1]
            },
            Response {
                sample: 4,
                tokens: vec![5]
            }
        ]
    );
}

#[test]
fn further_keys_are_passed_over() {
    let text = r#"[{"seq_id":0,"qsl_idx":1,"data":"01000000","token_count":1}]"#;
    assert_eq!(
        read_text(text, FORMAT)
            .expect("a newer LoadGen's log")
            .responses
            .len(),
        1
    );
}

#[test]
fn a_whole_data_set_is_read() {
    let entries: Vec<(u64, String)> = (0..13_368)
        .rev()
        .map(|sample| (sample, hex(&[50_256; 128])))
        .collect();
    let format = LogFormat {
        samples: 13_368,
        ..FORMAT
    };
    let log = read_text(log_of(&entries), format).expect("a good log");
    assert_eq!(log.responses.len(), 13_368);
    assert_eq!(log.responses[0].sample, 13_367);
    assert!(
        log.responses
            .iter()
            .all(|response| response.tokens == [50_256; 128])
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = read(Path::new("/nonexistent/log.json"), FORMAT).expect_err("no file");
    let failure = Failure::from(error);
    assert_eq!(failure.kind, FailureKind::User);
    let text = failure.render();
    assert!(text.contains("cannot read /nonexistent/log.json"), "{text}");
    assert!(text.contains("No such file"), "{text}");
    assert!(text.contains("check that the file exists"), "{text}");
}

#[test]
fn a_log_without_responses_asks_for_an_accuracy_run() {
    for text in ["", " \n\n", "[]", "[\n]\n"] {
        let message = refusal(text);
        assert!(
            message.contains("holds no responses"),
            "{text:?}: {message}"
        );
        assert!(
            message.contains("--test_mode=AccuracyOnly"),
            "{text:?}: {message}"
        );
    }
}

#[test]
fn a_cut_off_log_says_how_far_it_goes() {
    let whole = log_of(&[(0, hex(&[1])), (1, hex(&[2])), (2, hex(&[3]))]);
    // Inside the third entry, and before the closing bracket.
    for (length, entries) in [(whole.len() - 20, 2), (whole.len() - 3, 3)] {
        let message = refusal(&whole[..length]);
        assert!(message.contains("ends in the middle"), "{message}");
        assert!(
            message.contains(&format!("after {entries} complete entries")),
            "{message}"
        );
        assert!(message.contains("run the accuracy test again"), "{message}");
    }
}

#[test]
fn a_log_shortened_for_submission_is_recognised() {
    let whole = log_of(&[(0, hex(&[1; 40])), (1, hex(&[2; 40])), (2, hex(&[3; 40]))]);
    let text = format!(
        "{}\n\n...\n\n{}",
        &whole[..500],
        &whole[whole.len() - 100..]
    );
    let message = refusal(text);
    assert!(message.contains("shortened for submission"), "{message}");
}

#[test]
fn other_files_are_refused() {
    for (text, reason) in [
        ("hello", "expected value at line 1"),
        ("{\"rouge1\": 3}", "expected an array of responses"),
        ("[1, 2]", "expected"),
        (
            "[{\"seq_id\": 0, \"data\": \"00000000\"}]",
            "missing field `qsl_idx`",
        ),
        ("[{\"seq_id\": 0, \"qsl_idx\": 0}]", "missing field `data`"),
        ("[{\"qsl_idx\": -1, \"data\": \"00000000\"}]", "-1"),
        (
            "[{\"qsl_idx\": 0, \"data\": \"00000000\"}] x",
            "trailing characters",
        ),
    ] {
        let message = refusal(text);
        assert!(
            message.contains("is not an accuracy log of LoadGen"),
            "{text}: {message}"
        );
        assert!(message.contains(reason), "{text}: {message}");
    }
    let message = refusal([0xff, 0xfe, 0x00, 0x01]);
    assert!(
        message.contains("is not an accuracy log of LoadGen"),
        "{message}"
    );
}

#[test]
fn a_bad_entry_is_named_by_number_and_sample() {
    let cases: [(u64, &str, &str, &str); 7] = [
        (5, "", "response is empty", "run again"),
        (5, "010", "odd number of hexadecimal digits (3)", "damaged"),
        (
            5,
            "0100zz00",
            "'z' at position 4 is no hexadecimal digit",
            "damaged",
        ),
        (
            5,
            "010000000200",
            "6 bytes are not a whole number of 4-byte tokens",
            "token type",
        ),
        (
            5,
            "01000000E1C40000",
            "token 50401 at position 1 is outside",
            "token type",
        ),
        (5, "FFFFFFFF", "token -1 at position 0", "with the model"),
        (
            10,
            "01000000",
            "the data set has 10 samples",
            "the data set of the run",
        ),
    ];
    for (sample, data, fault, hint) in cases {
        let message = refusal(log_of(&[(0, hex(&[1])), (sample, data.to_owned())]));
        assert!(
            message.contains(&format!("entry 2 (qsl_idx {sample})")),
            "{message}"
        );
        assert!(message.contains(fault), "{message}");
        assert!(message.contains(hint), "{message}");
    }
}
