//! NumPy's .npy files, as far as tokenised data sets need them: little-endian int32, C order, one or two dimensions.
//!
//! The format is a magic string, a version, and a Python dictionary in text; the crates for it bring a parser for Python
//! literals and a matrix library along, for the one dictionary that is ever written here.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Magic string and version 1.0, which NumPy writes for headers below 64 KiB.
const MAGIC: &[u8; 8] = b"\x93NUMPY\x01\x00";
/// NumPy pads headers so that data start at a multiple of this.
const ALIGNMENT: usize = 64;
const DTYPE: &str = "<i4";

/// What can be wrong with a .npy file.
#[derive(Debug, thiserror::Error)]
pub enum NpyError {
    /// Not readable or not writable.
    #[error("cannot {what} `{}`", .path.display())]
    Io {
        /// `read` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another format, or a header that cannot be understood.
    #[error("`{}` is not a .npy file of version 1: {what}", .path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Another element type.
    #[error("`{}` has elements of type {found}, expected {DTYPE}", .path.display())]
    Dtype {
        /// The file.
        path: PathBuf,
        /// Its type.
        found: String,
    },
    /// Not as long as its shape says.
    #[error("`{}` should have {expected} bytes by its shape {shape:?}, it has {found}", .path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Its shape.
        shape: Vec<usize>,
        /// Bytes by the shape, header included.
        expected: usize,
        /// Bytes in the file.
        found: usize,
    },
}

/// An array of int32, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// Outermost dimension first.
    pub shape: Vec<usize>,
    /// As many as the shape's product.
    pub values: Vec<i32>,
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Array, NpyError> {
    let bytes = std::fs::read(path).map_err(|source| NpyError::Io {
        what: "read",
        path: path.to_owned(),
        source,
    })?;
    parse(path, &bytes)
}

/// Writes rows of equal length, each filled by `fill(row index, row)`; `columns` is `None` for an array of one dimension.
pub fn write(
    path: &Path,
    rows: usize,
    columns: Option<usize>,
    mut fill: impl FnMut(usize, &mut [i32]),
) -> Result<(), NpyError> {
    let mut work = || -> io::Result<()> {
        let mut out = BufWriter::new(File::create_new(path)?);
        out.write_all(&header(rows, columns))?;
        let mut row = vec![0i32; columns.unwrap_or(1)];
        let mut bytes = Vec::with_capacity(4 * row.len());
        for index in 0..rows {
            fill(index, &mut row);
            bytes.clear();
            bytes.extend(row.iter().flat_map(|value| value.to_le_bytes()));
            out.write_all(&bytes)?;
        }
        out.into_inner()?.sync_all()
    };
    work().map_err(|source| NpyError::Io {
        what: "write",
        path: path.to_owned(),
        source,
    })
}

fn header(rows: usize, columns: Option<usize>) -> Vec<u8> {
    let shape = match columns {
        Some(columns) => format!("({rows}, {columns})"),
        None => format!("({rows},)"),
    };
    let dictionary = format!("{{'descr': '{DTYPE}', 'fortran_order': False, 'shape': {shape}, }}");
    let length_field = 2;
    let unpadded = MAGIC.len() + length_field + dictionary.len() + 1;
    let padding = unpadded.next_multiple_of(ALIGNMENT) - unpadded;
    // Two numbers of at most 20 digits: far below 64 KiB.
    let length = (dictionary.len() + padding + 1) as u16;
    let mut header = MAGIC.to_vec();
    header.extend(length.to_le_bytes());
    header.extend(dictionary.bytes());
    header.extend(std::iter::repeat_n(b' ', padding));
    header.push(b'\n');
    header
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Array, NpyError> {
    let bad = |what: &str| NpyError::Header {
        path: path.to_owned(),
        what: what.to_owned(),
    };
    let rest = bytes
        .strip_prefix(MAGIC)
        .ok_or_else(|| bad("it does not start as one"))?;
    let (length, rest) = rest
        .split_first_chunk::<2>()
        .ok_or_else(|| bad("it ends in its header"))?;
    let length = usize::from(u16::from_le_bytes(*length));
    let (text, data) = rest
        .split_at_checked(length)
        .ok_or_else(|| bad("it ends in its header"))?;
    let text = std::str::from_utf8(text).map_err(|_| bad("its header is not text"))?;
    let descr = quoted(value_of(text, "descr").ok_or_else(|| bad("its header has no 'descr'"))?);
    if descr != Some(DTYPE) {
        return Err(NpyError::Dtype {
            path: path.to_owned(),
            found: descr.unwrap_or("a structure").to_owned(),
        });
    }
    let order = value_of(text, "fortran_order");
    if !order.is_some_and(|order| order.starts_with("False")) {
        return Err(bad("its elements are not in C order"));
    }
    let shape = value_of(text, "shape")
        .and_then(shape_of)
        .ok_or_else(|| bad("its header has no 'shape' of one or two dimensions"))?;
    let expected = shape
        .iter()
        .try_fold(4usize, |bytes, &size| bytes.checked_mul(size))
        .and_then(|bytes| bytes.checked_add(MAGIC.len() + 2 + length))
        .ok_or_else(|| bad("its shape is too large"))?;
    if expected != bytes.len() {
        return Err(NpyError::Length {
            path: path.to_owned(),
            shape,
            expected,
            found: bytes.len(),
        });
    }
    let values = data
        .chunks_exact(4)
        .map(|bytes| i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect();
    Ok(Array { shape, values })
}

/// What follows `'key':` in the text of a Python dictionary whose keys are known not to occur inside of values.
fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("'{key}'"))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

fn quoted(text: &str) -> Option<&str> {
    Some(text.strip_prefix('\'')?.split_once('\'')?.0)
}

fn shape_of(text: &str) -> Option<Vec<usize>> {
    let (inside, _) = text.strip_prefix('(')?.split_once(')')?;
    let sizes = inside
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty())
        .map(|size| size.parse().ok())
        .collect::<Option<Vec<usize>>>()?;
    (1..=2).contains(&sizes.len()).then_some(sizes)
}
