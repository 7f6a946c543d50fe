//! docs/commands.md says what the program knows of its commands and options.

use std::fs;
use std::path::Path;

use mlperf_gptj::cli::reference;

/// What follows this line is generated.
const MARKER: &str = "<!-- generated: UPDATE_DOCS=1 cargo test --test config_docs -->\n";

#[test]
fn the_reference_is_that_of_the_program() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/commands.md");
    let text = fs::read_to_string(&path).unwrap();
    let (written, generated) = text.split_once(MARKER).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{written}{MARKER}{}", reference())).unwrap();
    } else {
        assert!(
            generated == reference(),
            "run UPDATE_DOCS=1 cargo test --test config_docs"
        );
    }
}
