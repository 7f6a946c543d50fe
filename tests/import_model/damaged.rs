//! Files that are not what they were: refused, or read as they should be; never written out wrong.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::support::{assert_expected, download, request, run, told};

const SHARD: &str = "from/pytorch_model-00002-of-00003.bin";

/// Where the bytes of the largest storage are in the second shard.
fn a_weight(dir: &Path) -> usize {
    let file = mlperf_gptj::model::torch::TorchFile::open(&dir.join(SHARD)).unwrap();
    let entry = file
        .entries
        .iter()
        .max_by_key(|entry| entry.length)
        .unwrap();
    entry.start as usize
}

#[test]
fn one_bit_of_a_weight() {
    let dir = download();
    let mut bytes = fs::read(dir.path().join(SHARD)).unwrap();
    bytes[a_weight(dir.path()) + 5] ^= 0x10;
    fs::write(dir.path().join(SHARD), bytes).unwrap();
    let text = told(dir.path());
    assert!(
        text.starts_with(&format!("error: `DIR/{SHARD}` is broken: the CRC of its entry `pytorch_model-00002-of-00003/data/")),
        "{text}"
    );
    assert!(text.contains("(tensor `transformer.h."), "{text}");
    assert!(
        text.contains("hint: copy or download the file again"),
        "{text}"
    );
    let to = dir.path().join("to");
    assert!(!to.join("config.json").exists() && !to.join("model.safetensors.index.json").exists());
}

#[test]
fn a_shard_that_was_mended_is_imported_in_the_end() {
    let dir = download();
    let good = fs::read(dir.path().join(SHARD)).unwrap();
    let mut bytes = good.clone();
    bytes[a_weight(dir.path())] ^= 1;
    fs::write(dir.path().join(SHARD), bytes).unwrap();
    told(dir.path());
    fs::write(dir.path().join(SHARD), good).unwrap();
    run(&request(dir.path())).unwrap();
    assert_expected(&dir.path().join("to"));
}

#[test]
fn a_shard_that_was_cut_off() {
    let dir = download();
    let bytes = fs::read(dir.path().join(SHARD)).unwrap();
    for kept in [5, bytes.len() / 2, bytes.len() - 1] {
        fs::write(dir.path().join(SHARD), &bytes[..kept]).unwrap();
        let text = told(dir.path());
        assert!(
            text.starts_with(&format!(
                "error: `DIR/{SHARD}` is truncated or broken: no directory of a zip archive ends its \
                 {kept} bytes\n"
            )),
            "{text}"
        );
        assert!(
            text.contains("hint: copy or download the file again"),
            "{text}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_byte_is_damaged(at in any::<prop::sample::Index>(), change in 1u8..) {
        let dir = download();
        let mut bytes = fs::read(dir.path().join(SHARD)).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        fs::write(dir.path().join(SHARD), bytes).unwrap();
        if run(&request(dir.path())).is_ok() {
            assert_expected(&dir.path().join("to"));
        }
    }
}
