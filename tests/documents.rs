//! Documents lead to each other: files that they name are there, and so are headings that they link to.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let further = [
        "README.md",
        "models/gptj-mini/README.md",
        "third_party/README.md",
    ];
    docs.filter(|path| path.extension().is_some_and(|end| end == "md"))
        .chain(further.map(|name| root().join(name)))
        .collect()
}

/// What GitHub calls a heading: small letters, without punctuation, blanks as dashes.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().replace(' ', "-")
}

fn anchors(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(anchor)
        .collect()
}

#[test]
fn every_document_that_is_named_is_there() {
    let named = Regex::new(r"docs/[A-Za-z_]+\.md").unwrap();
    let mut texts: Vec<(PathBuf, String)> = documents()
        .into_iter()
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    texts.push((
        "the generated reference".into(),
        mlperf_gptj::cli::reference(),
    ));
    for (path, text) in texts {
        for found in named.find_iter(&text) {
            let file = root().join(found.as_str());
            assert!(file.is_file(), "{}: {}", path.display(), found.as_str());
        }
    }
}

#[test]
fn every_link_has_an_end() {
    let link = Regex::new(r"\]\(([^)#]*)(?:#([^)]*))?\)").unwrap();
    let mut seen = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for found in link.captures_iter(&text) {
            let file = found.get(1).unwrap().as_str();
            if file.contains("://") {
                continue;
            }
            let target = match file {
                "" => path.clone(),
                file => path.with_file_name(file),
            };
            assert!(target.exists(), "{}: {file}", path.display());
            if let Some(heading) = found.get(2) {
                let heading = heading.as_str().to_owned();
                assert!(
                    anchors(&target).contains(&heading),
                    "{}: #{heading}",
                    path.display()
                );
            }
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
}

/// The list at the top of the FAQ has every question.
#[test]
fn every_question_is_in_the_list() {
    let path = root().join("docs/FAQ.md");
    let text = fs::read_to_string(&path).unwrap();
    let questions: Vec<String> = anchors(&path).into_iter().skip(1).collect();
    assert!(questions.len() >= 31, "{questions:?}");
    for (index, question) in questions.iter().enumerate() {
        assert!(
            question.starts_with(&format!("{}-", index + 1)),
            "{question}"
        );
        assert!(text.contains(&format!("](#{question})")), "{question}");
    }
}
