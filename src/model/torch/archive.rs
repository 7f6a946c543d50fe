//! The zip archive around a pickle: which entries there are, where their bytes lie, and what their CRCs are.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use zip::{CompressionMethod, ZipArchive};

use super::TorchError;
use crate::model::Fingerprint;

/// A pickle of a model with a thousand tensors has some 200 KB.
const MAX_PICKLE: u64 = 4 << 20;
/// Where torch.save puts the pickle and, beside it, a folder of storages; the folder in front has any name.
const PICKLE: &str = "data.pkl";
/// Entry of archives that torch.jit.save writes, which hold programs.
const TORCHSCRIPT: &str = "constants.pkl";

/// One uncompressed entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the archive.
    pub name: String,
    /// Its first byte in the file.
    pub start: u64,
    /// Its bytes; `start + length` is within the file.
    pub length: u64,
    /// CRC-32 of its bytes, by the archive's directory.
    pub crc: u32,
}

/// What is needed of an archive.
pub(super) struct Archive {
    pub pickle: Vec<u8>,
    /// By their key in the pickle.
    pub storages: HashMap<String, Entry>,
    pub digest: Fingerprint,
}

/// Reads the directory and the pickle.
pub(super) fn open(path: &Path) -> Result<Archive, TorchError> {
    let io = |source| TorchError::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    refuse_other_formats(path, &mut file)?;
    let broken = |what: String| TorchError::Broken {
        path: path.to_owned(),
        what,
    };
    let mut zip = ZipArchive::new(file).map_err(|source| TorchError::NoDirectory {
        path: path.to_owned(),
        found: length,
        source,
    })?;
    let names: Vec<String> = zip.file_names_raw().map(text).collect();
    let root = root(&names).ok_or_else(|| broken(format!("it has no single `{PICKLE}`")))?;
    if names
        .iter()
        .any(|name| *name == format!("{root}{TORCHSCRIPT}"))
    {
        return Err(TorchError::TorchScript(path.to_owned()));
    }
    let mut pickle = Vec::new();
    let mut big_endian = false;
    let mut storages = HashMap::new();
    let mut directory = String::new();
    for (index, name) in names.iter().enumerate() {
        let bad = |source| TorchError::Entry {
            path: path.to_owned(),
            entry: name.clone(),
            source,
        };
        let entry = entry(&mut zip, index, name, length).map_err(bad)?;
        directory.push_str(&format!("{name} {} {:08x}\n", entry.length, entry.crc));
        let Some(inner) = name.strip_prefix(&root) else {
            continue;
        };
        if inner == PICKLE {
            if entry.length > MAX_PICKLE {
                let size = entry.length;
                return Err(broken(format!(
                    "`{name}` has {size} bytes, at most {MAX_PICKLE}"
                )));
            }
            // Reading to the end checks the CRC.
            let mut reader = zip.by_index(index).map_err(|error| bad(error.into()))?;
            reader.read_to_end(&mut pickle).map_err(bad)?;
        } else if inner == "byteorder" && entry.length <= 16 {
            let mut order = String::new();
            let mut reader = zip.by_index(index).map_err(|error| bad(error.into()))?;
            reader.read_to_string(&mut order).map_err(bad)?;
            big_endian = order.trim() == "big";
        } else if let Some(key) = inner.strip_prefix("data/") {
            storages.insert(key.to_owned(), entry);
        }
    }
    if big_endian {
        return Err(broken("it was saved on a big-endian machine".to_owned()));
    }
    Ok(Archive {
        pickle,
        storages,
        digest: Fingerprint::of_bytes(directory.as_bytes()),
    })
}

/// Where an entry's bytes are. Nothing of torch.save's is compressed, so they can be read straight from the file.
fn entry(
    zip: &mut ZipArchive<impl Read + Seek>,
    index: usize,
    name: &str,
    file_length: u64,
) -> std::io::Result<Entry> {
    let found = zip.by_index_raw(index)?;
    let invalid = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
    if found.compression() != CompressionMethod::Stored || found.encrypted() {
        return Err(invalid(
            "it is compressed or encrypted, which torch.save never does",
        ));
    }
    let start = found
        .data_start()
        .ok_or_else(|| invalid("it has no place in the file"))?;
    let length = found.size();
    if start
        .checked_add(length)
        .is_none_or(|end| end > file_length)
    {
        return Err(invalid("it reaches beyond the end of the file"));
    }
    Ok(Entry {
        name: name.to_owned(),
        start,
        length,
        crc: found.crc32(),
    })
}

/// What stands in front of `data.pkl`, with its slash; `None` unless exactly one entry is called so.
fn root(names: &[String]) -> Option<String> {
    let mut roots = names.iter().filter_map(|name| {
        let root = name.strip_suffix(PICKLE)?;
        (root.is_empty() || root.ends_with('/')).then(|| root.to_owned())
    });
    let root = roots.next()?;
    roots.next().is_none().then_some(root)
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Says what the file is, if its first bytes tell that it is something else than a zip archive.
fn refuse_other_formats(path: &Path, file: &mut File) -> Result<(), TorchError> {
    /// What files of torch before 1.6 start with: protocol 2, then the number 0x1950a86a20f9469cfc6c, then STOP.
    const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    const LFS: &[u8] = b"version https://git-lfs";
    const ZIP: &[u8] = b"PK\x03\x04";
    let io = |source| TorchError::Io {
        path: path.to_owned(),
        source,
    };
    let mut start = Vec::new();
    file.by_ref()
        .take(512)
        .read_to_end(&mut start)
        .map_err(io)?;
    file.rewind().map_err(io)?;
    let path = path.to_owned();
    // The oldest format of all was a tar archive.
    if start.starts_with(LEGACY) || start.get(257..262) == Some(b"ustar") {
        Err(TorchError::Legacy(path))
    } else if start.starts_with(LFS) {
        Err(TorchError::LfsPointer(path))
    } else if !start.starts_with(ZIP) {
        Err(TorchError::OtherFormat { path, start })
    } else {
        Ok(())
    }
}
