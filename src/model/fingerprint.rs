//! What identifies a model or a data set in results: digests of its files.
//!
//! Files of up to 2 GiB are hashed whole. Larger ones, which would take longer than the run itself on a cold disk, are
//! hashed in part: their length, then, in pieces of 16 MiB, the first and the last piece whole and 64 KiB at the start of
//! each piece between them. Such digests say so in their name, `sampled-sha256`.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::checkpoint::Checkpoint;
use crate::error::{Failure, FailureKind};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// How much of a file is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// Larger files are hashed in part; bytes.
    pub whole_up_to: u64,
    /// Bytes hashed at either end, and the distance of blocks in between.
    pub stride: u64,
    /// Bytes of a block.
    pub block: u64,
}

/// What results use.
pub const SAMPLING: Sampling = Sampling {
    whole_up_to: 2 << 30,
    stride: 16 * MIB,
    block: 64 * KIB,
};

/// Every byte, however many there are.
pub const WHOLE: Sampling = Sampling {
    whole_up_to: u64::MAX,
    ..SAMPLING
};

/// A digest and how it was made, printed as `sha256:0123..`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Fingerprint {
    /// Only a part was hashed.
    pub sampled: bool,
    /// 64 hexadecimal digits.
    pub hex: String,
}

impl Fingerprint {
    const WHOLE: &str = "sha256:";
    const SAMPLED: &str = "sampled-sha256:";

    /// The digest of some bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::finish(Sha256::new_with_prefix(bytes), false)
    }

    /// The digest of all bytes that a hasher has seen so far.
    pub(super) fn so_far(hasher: &Sha256) -> Self {
        Self::finish(hasher.clone(), false)
    }

    fn finish(hasher: Sha256, sampled: bool) -> Self {
        let hex = hasher
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self { sampled, hex }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm = if self.sampled {
            Self::SAMPLED
        } else {
            Self::WHOLE
        };
        write!(f, "{algorithm}{}", self.hex)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (sampled, hex) = match text.strip_prefix(Self::SAMPLED) {
            Some(hex) => (true, Some(hex)),
            None => (false, text.strip_prefix(Self::WHOLE)),
        };
        match hex {
            Some(hex) if hex.len() == 64 && hex.bytes().all(|c| c.is_ascii_hexdigit()) => {
                Ok(Self {
                    sampled,
                    hex: hex.to_owned(),
                })
            }
            _ => Err(format!("`{text}` is not a fingerprint")),
        }
    }
}

/// The digest of a file. `progress` is told of bytes as they are done.
pub fn of_file(
    path: &Path,
    sampling: Sampling,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Fingerprint, Failure> {
    hash_file(path, sampling, progress).map_err(|error| {
        Failure::from_error(FailureKind::User, &error)
            .because(format!(
                "while `{}` was read for its fingerprint",
                path.display()
            ))
            .hint("check the file's permissions and the disk it is on")
    })
}

/// One digest of a model: of its weights, its configuration and its tokenizer, by name, length and content.
pub fn of_model(
    folder: &Path,
    checkpoint: &Checkpoint,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Fingerprint, Failure> {
    let named = [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
        "merges.txt",
        "added_tokens.json",
    ];
    let mut files: Vec<PathBuf> = named
        .iter()
        .map(|name| folder.join(name))
        .filter(|path| path.is_file())
        .collect();
    files.extend(checkpoint.files().map(Path::to_owned));
    let digests = files
        .par_iter()
        .map(|path| of_file(path, SAMPLING, progress))
        .collect::<Result<Vec<_>, _>>()?;
    let mut all = Sha256::new();
    for (path, digest) in files.iter().zip(&digests) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        all.update(format!("{name} {digest}\n"));
    }
    let sampled = digests.iter().any(|digest| digest.sampled);
    Ok(Fingerprint::finish(all, sampled))
}

fn hash_file(
    path: &Path,
    sampling: Sampling,
    progress: &(dyn Fn(u64) + Sync),
) -> io::Result<Fingerprint> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; MIB as usize];
    if length <= sampling.whole_up_to {
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                return Ok(Fingerprint::finish(hasher, false));
            }
            hasher.update(&buffer[..read]);
            progress(read as u64);
        }
    }
    hasher.update(length.to_le_bytes());
    let mut from = 0;
    while from < length {
        let ends = from == 0 || from + sampling.stride >= length;
        let part = if ends {
            sampling.stride
        } else {
            sampling.block
        };
        let until = length.min(from + part);
        let mut at = from;
        while at < until {
            // At most the buffer's length, which is a usize.
            let count = (until - at).min(buffer.len() as u64) as usize;
            file.read_exact_at(&mut buffer[..count], at)?;
            hasher.update(&buffer[..count]);
            at += count as u64;
        }
        progress(sampling.stride.min(length - from));
        from += sampling.stride;
    }
    Ok(Fingerprint::finish(hasher, true))
}
