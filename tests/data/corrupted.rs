//! Whatever bytes a file has: readers refuse it or keep within it.

use mlperf_gptj::dataset::npy;
use mlperf_gptj::model::{Checkpoint, ElementType};
use proptest::prelude::*;
use tempfile::tempdir;

use super::support::{f16, safetensors, write};

/// Bytes to overwrite, and how much of the file to keep, in thousandths.
fn damage() -> impl Strategy<Value = (Vec<(prop::sample::Index, u8)>, usize)> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (changes, prop_oneof![4 => Just(1000), 1 => 0usize..1000])
}

fn damaged(mut file: Vec<u8>, (changes, kept): (Vec<(prop::sample::Index, u8)>, usize)) -> Vec<u8> {
    for (at, byte) in changes {
        let at = at.index(file.len());
        file[at] = byte;
    }
    file.truncate(file.len() * kept / 1000);
    file
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn checkpoints_keep_within_their_files(damage in damage()) {
        let dir = tempdir().unwrap();
        let file = safetensors(&[f16("a", &[2, 3], 1), f16("b", &[5], 2)]);
        write(dir.path(), "model.safetensors", damaged(file, damage));
        let Ok(checkpoint) = Checkpoint::open(dir.path()) else {
            return Ok(());
        };
        for index in 0..checkpoint.tensor_count() {
            let size = match checkpoint.element_type(index).unwrap() {
                ElementType::F32 => 4,
                ElementType::F16 | ElementType::BF16 => 2,
                ElementType::F8E4M3 | ElementType::I8 => 1,
            };
            let elements: i64 = checkpoint.tensor_shape(index).unwrap().iter().product();
            let bytes = checkpoint.tensor_bytes(index).unwrap();
            prop_assert_eq!(bytes.len() as i64, size * elements);
        }
    }

    #[test]
    fn arrays_are_as_large_as_their_shape(damage in damage()) {
        let dir = tempdir().unwrap();
        let path = dir.path().join("a.npy");
        npy::write(&path, 4, Some(3), |index, row| row.fill(index as i32)).unwrap();
        let file = damaged(std::fs::read(&path).unwrap(), damage);
        let path = write(dir.path(), "b.npy", file);
        if let Ok(array) = npy::read(&path) {
            prop_assert_eq!(array.values.len(), array.shape.iter().product::<usize>());
        }
    }
}
