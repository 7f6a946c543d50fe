//! .npy files: the bytes that NumPy would write, and what is said about other bytes.

use std::fs;

use mlperf_gptj::dataset::npy::{self, Array, NpyError};
use tempfile::tempdir;

use super::support::write;

/// `numpy.save` of `numpy.arange(6, dtype='<i4').reshape(2, 3)`, as NumPy 2.4.6 writes it.
fn numpy_file() -> Vec<u8> {
    let mut file = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    let dictionary = "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }";
    file.extend(format!("{dictionary:<117}\n").bytes());
    file.extend((0..6i32).flat_map(i32::to_le_bytes));
    file
}

fn error_of(bytes: &[u8]) -> String {
    let dir = tempdir().unwrap();
    let path = write(dir.path(), "a.npy", bytes);
    let error = npy::read(&path).unwrap_err().to_string();
    error.replace(&dir.path().display().to_string(), "DIR")
}

/// The file with a text in its header replaced by one of the same length.
fn with_header(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut file = numpy_file();
    let at = file
        .windows(from.len())
        .position(|bytes| bytes == from.as_bytes())
        .unwrap();
    file[at..at + to.len()].copy_from_slice(to.as_bytes());
    file
}

#[test]
fn writes_what_numpy_writes() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.npy");
    npy::write(&path, 2, Some(3), |index, row| {
        for (column, value) in row.iter_mut().enumerate() {
            *value = (3 * index + column) as i32;
        }
    })
    .unwrap();
    assert_eq!(fs::read(&path).unwrap(), numpy_file());
    let array = npy::read(&path).unwrap();
    assert_eq!(
        array,
        Array {
            shape: vec![2, 3],
            values: (0..6).collect()
        }
    );
}

#[test]
fn one_dimension_and_large_values_survive() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.npy");
    let values = [0, -1, i32::MIN, i32::MAX, 50_256];
    npy::write(&path, values.len(), None, |index, row| {
        row[0] = values[index]
    })
    .unwrap();
    let array = npy::read(&path).unwrap();
    assert_eq!((array.shape, array.values), (vec![5], values.to_vec()));
    // Whoever writes decides where; nothing is overwritten.
    let error = npy::write(&path, 0, None, |_, _| {}).unwrap_err();
    assert!(
        matches!(error, NpyError::Io { what: "write", .. }),
        "{error}"
    );
}

#[test]
fn truncated_and_foreign_files() {
    let file = numpy_file();
    assert_eq!(
        error_of(&file[..file.len() - 5]),
        "`DIR/a.npy` should have 152 bytes by its shape [2, 3], it has 147"
    );
    assert_eq!(
        error_of(&file[..50]),
        "`DIR/a.npy` is not a .npy file of version 1: it ends in its header"
    );
    assert_eq!(
        error_of(b"PK\x03\x04"),
        "`DIR/a.npy` is not a .npy file of version 1: it does not start as one"
    );
    assert_eq!(
        error_of(&with_header("'<i4'", "'<i8'")),
        "`DIR/a.npy` has elements of type <i8, expected <i4"
    );
    assert_eq!(
        error_of(&with_header("False", "True ")),
        "`DIR/a.npy` is not a .npy file of version 1: its elements are not in C order"
    );
    assert_eq!(
        error_of(&with_header("(2, 3)", "(2, x)")),
        "`DIR/a.npy` is not a .npy file of version 1: its header has no 'shape' of one or two \
         dimensions"
    );
}
