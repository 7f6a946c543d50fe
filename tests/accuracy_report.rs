//! accuracy.txt against the patterns of MLCommons' submission checkers.

#![expect(
    clippy::expect_used,
    reason = "helpers outside of #[test] stop a test as it would"
)]

use std::fs;

use mlperf_gptj::accuracy::Scores;
use mlperf_gptj::accuracy::report::{FILE_NAME, accuracy_text, write};
use mlperf_gptj::error::Failure;
use regex::Regex;
use tempfile::TempDir;

/// The checkers match these from the start of each line and take the first group; the form is the
/// same from v3.1 to v5.0.
const CHECKER_PATTERNS: [(&str, &str); 4] = [
    ("ROUGE1", r"^.*'rouge1':\s([\d.]+).*"),
    ("ROUGE2", r"^.*'rouge2':\s([\d.]+).*"),
    ("ROUGEL", r"^.*'rougeL':\s([\d.]+).*"),
    ("GEN_LEN", r"^.*'gen_len':\s([\d.]+).*"),
];

/// The looser form of v5.1.
const LATER_PATTERN: &str = r"^.*'rouge1':\s+'?([\d.]+)'?.*";

fn scores() -> Scores {
    Scores {
        rouge1: 43.0722,
        rouge2: 20.1886,
        rouge_l: 30.0305,
        rouge_lsum: 40.2406,
        gen_len: 4_048_328,
        gen_num: 13_368,
    }
}

/// What a checker reads for `pattern`: the number of the last line that matches.
fn checked(text: &str, pattern: &str) -> Option<f64> {
    let pattern = Regex::new(pattern).expect("a pattern of the checker");
    let found = text
        .lines()
        .filter_map(|line| pattern.captures(line))
        .next_back()?;
    found[1].parse().ok()
}

#[test]
fn every_checker_reads_the_scores() {
    let text = accuracy_text(&scores());
    let read: Vec<Option<f64>> = CHECKER_PATTERNS
        .iter()
        .map(|(_, pattern)| checked(&text, pattern))
        .collect();
    assert_eq!(
        read,
        [
            Some(43.0722),
            Some(20.1886),
            Some(30.0305),
            Some(4_048_328.0)
        ]
    );
    assert_eq!(checked(&text, LATER_PATTERN), Some(43.0722));
}

#[test]
fn extreme_scores_keep_a_form_the_checker_reads() {
    // A tiny score must not turn into 1e-4, nor a round one lose its point.
    let extreme = Scores {
        rouge1: 0.0001,
        rouge2: 100.0,
        rouge_l: 0.0,
        gen_len: 0,
        ..scores()
    };
    let text = accuracy_text(&extreme);
    let read: Vec<Option<f64>> = CHECKER_PATTERNS
        .iter()
        .map(|(_, pattern)| checked(&text, pattern))
        .collect();
    assert_eq!(read, [Some(0.0001), Some(100.0), Some(0.0), Some(0.0)]);
}

#[test]
fn the_line_is_the_one_of_the_reference_script() {
    assert_eq!(
        accuracy_text(&scores()),
        "\nResults\n\n{'rouge1': 43.0722, 'rouge2': 20.1886, 'rougeL': 30.0305, \
         'rougeLsum': 40.2406, 'gen_len': 4048328, 'gen_num': 13368}\n"
    );
}

#[test]
fn a_new_file_replaces_the_old_one_and_leaves_nothing_else() {
    let folder = TempDir::new().expect("a temporary folder");
    fs::write(
        folder.path().join(FILE_NAME),
        "an older and much longer text".repeat(100),
    )
    .expect("a new file");
    let path = write(folder.path(), &scores()).expect("a writable folder");
    assert_eq!(path, folder.path().join(FILE_NAME));
    assert_eq!(
        fs::read_to_string(&path).expect("the new file"),
        accuracy_text(&scores())
    );
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = TempDir::new().expect("a temporary folder");
    let missing = folder.path().join("missing");
    let failure = Failure::from(write(&missing, &scores()).expect_err("no such folder"));
    let text = failure.render();
    let path = missing.join(FILE_NAME);
    assert!(
        text.contains(&format!("cannot write {}", path.display())),
        "{text}"
    );
    assert!(
        text.contains("check the permissions and the free space"),
        "{text}"
    );
    assert_eq!(failure.exit_code(), 1);
}
