//! Digests of files, whole and sampled.

use mlperf_gptj::model::fingerprint::{Fingerprint, SAMPLING, Sampling, of_file, of_model};
use mlperf_gptj::model::{Checkpoint, ModelConfig};
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::tempdir;

use super::support::{f16, safetensors, tiny_config, told, write};

/// The digest of `abc` in FIPS 180-2's example.
const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn small_files_are_hashed_whole() {
    let dir = tempdir().unwrap();
    let path = write(dir.path(), "abc", "abc");
    let done = AtomicU64::new(0);
    let fingerprint = of_file(&path, SAMPLING, &|bytes| {
        done.fetch_add(bytes, Ordering::Relaxed);
    })
    .unwrap();
    assert_eq!(fingerprint.to_string(), ABC);
    assert_eq!(fingerprint, Fingerprint::of_bytes(b"abc"));
    assert_eq!(done.into_inner(), 3);
}

#[test]
fn large_files_are_sampled_and_say_so() {
    let dir = tempdir().unwrap();
    let sampling = Sampling {
        whole_up_to: 100,
        stride: 16,
        block: 4,
    };
    let digest = |change: Option<usize>, length: usize| {
        let mut bytes = vec![0u8; length];
        if let Some(at) = change {
            bytes[at] = 1;
        }
        let path = write(dir.path(), "large", bytes);
        let done = AtomicU64::new(0);
        let fingerprint = of_file(&path, sampling, &|bytes| {
            done.fetch_add(bytes, Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), length as u64);
        fingerprint.unwrap().to_string()
    };
    let original = digest(None, 110);
    assert!(original.starts_with("sampled-sha256:"), "{original}");
    assert_ne!(original, digest(None, 111), "the length counts");
    for seen in [0, 15, 16, 19, 32, 96, 109] {
        assert_ne!(original, digest(Some(seen), 110), "byte {seen} is sampled");
    }
    for skipped in [20, 31, 60] {
        assert_eq!(
            original,
            digest(Some(skipped), 110),
            "byte {skipped} is not"
        );
    }
}

#[test]
fn results_keep_the_name_of_the_digest() {
    let fingerprint = Fingerprint::of_bytes(b"abc");
    let text = serde_json::to_string(&fingerprint).unwrap();
    assert_eq!(text, format!("\"{ABC}\""));
    assert_eq!(
        serde_json::from_str::<Fingerprint>(&text).unwrap(),
        fingerprint
    );
    assert!(serde_json::from_str::<Fingerprint>("\"md5:00\"").is_err());
}

#[test]
fn a_models_digest_covers_weights_and_configuration() {
    let dir = tempdir().unwrap();
    let digest = |config: &str, fill: u8| {
        write(dir.path(), "config.json", config);
        write(
            dir.path(),
            "model.safetensors",
            safetensors(&[f16("a", &[2], fill)]),
        );
        let checkpoint = Checkpoint::open(dir.path()).unwrap();
        of_model(dir.path(), &checkpoint, &|_| {}).unwrap()
    };
    let config = tiny_config().to_string();
    let original = digest(&config, 0);
    assert_eq!(original, digest(&config, 0));
    assert_ne!(original, digest(&config, 1));
    assert_ne!(original, digest(&format!("{config} "), 0));
    assert!(ModelConfig::read(dir.path()).is_ok());
}

#[test]
fn a_file_that_is_missing() {
    let dir = tempdir().unwrap();
    let failure = of_file(&dir.path().join("none"), SAMPLING, &|_| {}).unwrap_err();
    assert!(told(failure, dir.path()).contains("while `DIR/none` was read for its fingerprint"));
}
