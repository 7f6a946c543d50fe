//! A tensor's bytes, from its file, piece by piece, with the CRC of what they came from checked.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memmap2::{Mmap, MmapOptions};

use super::source::{Place, SourceTensor};
use crate::error::Failure;
use crate::model::torch::{Entry, TorchError, View};

/// Bytes that are read and written at once.
const CHUNK: usize = 4 << 20;

/// An open source file.
pub(super) struct Reader {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    /// Starts of entries whose CRC was right.
    checked: HashSet<u64>,
}

/// Takes bytes in their order.
pub(super) type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), Failure> + 'a;

impl Reader {
    /// Opens the file.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|error| unreadable(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            buffer: vec![0; CHUNK],
            checked: HashSet::new(),
        })
    }

    /// Hands all bytes of a tensor to `sink`, row-major. An error may come behind the last of them: only then is their
    /// CRC known.
    pub fn copy(&mut self, tensor: &SourceTensor, sink: &mut Sink) -> Result<(), Failure> {
        match &tensor.place {
            Place::Rows { start, length } => {
                // The usual case: a tensor is all of its entry, and is read once for both.
                let own = |entry: &&Entry| (entry.start, entry.length) == (*start, *length);
                let whole = tensor.entry.as_ref().filter(own);
                if whole.is_none() {
                    self.check_entry(tensor)?;
                }
                let crc = self.read(*start, *length, sink)?;
                whole.map_or(Ok(()), |entry| self.compare(entry, tensor, crc))
            }
            Place::Strided { start, size, view } => {
                self.check_entry(tensor)?;
                self.gather(*start, *size, view, sink)
            }
        }
    }

    /// Hands `length` bytes from `start` to `sink`; returns their CRC.
    fn read(&mut self, start: u64, length: u64, sink: &mut Sink) -> Result<u32, Failure> {
        let mut crc = crc32fast::Hasher::new();
        let mut at = start;
        while at < start + length {
            // At most the buffer's length, which is a usize.
            let count = (start + length - at).min(CHUNK as u64) as usize;
            let piece = &mut self.buffer[..count];
            let read = self.file.read_exact_at(piece, at);
            read.map_err(|error| unreadable(&self.path, error))?;
            crc.update(piece);
            sink(piece)?;
            at += count as u64;
        }
        Ok(crc.finalize())
    }

    /// Checks an entry that a tensor is only a part of, once.
    fn check_entry(&mut self, tensor: &SourceTensor) -> Result<(), Failure> {
        let Some(entry) = &tensor.entry else {
            return Ok(());
        };
        if !self.checked.contains(&entry.start) {
            let crc = self.read(entry.start, entry.length, &mut |_| Ok(()))?;
            self.compare(entry, tensor, crc)?;
            self.checked.insert(entry.start);
        }
        Ok(())
    }

    fn compare(&self, entry: &Entry, tensor: &SourceTensor, found: u32) -> Result<(), Failure> {
        if found == entry.crc {
            return Ok(());
        }
        Err(TorchError::Crc {
            path: self.path.clone(),
            entry: entry.name.clone(),
            tensor: tensor.name.clone(),
            expected: entry.crc,
            found,
        }
        .into())
    }

    /// Picks a view's elements of `size` bytes from the storage that begins at `start`.
    fn gather(
        &mut self,
        start: u64,
        size: u64,
        view: &View,
        sink: &mut Sink,
    ) -> Result<(), Failure> {
        let storage = self.map(start, size * view.storage.elements)?;
        // At most eight bytes, and within a mapping that a usize can count: the view was checked against its storage.
        let size = size as usize;
        let mut index = vec![0u64; view.shape.len()];
        let mut element = view.offset;
        let mut filled = 0;
        for _ in 0..view.elements().unwrap_or_default() {
            let from = element as usize * size;
            self.buffer[filled..filled + size].copy_from_slice(&storage[from..from + size]);
            filled += size;
            if filled == CHUNK {
                sink(&self.buffer)?;
                filled = 0;
            }
            // The next index in row-major order.
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                element += view.strides[axis];
                if index[axis] < view.shape[axis] {
                    break;
                }
                element -= view.strides[axis] * view.shape[axis];
                index[axis] = 0;
            }
        }
        sink(&self.buffer[..filled])
    }

    fn map(&self, start: u64, length: u64) -> Result<Mmap, Failure> {
        let mut options = MmapOptions::new();
        // Both are within the file.
        options.offset(start).len(length as usize);
        // SAFETY: the mapping is read-only and private to this process. As with every mapped file, somebody else who
        // truncates it while we run ends this process with SIGBUS; a run of the same import then goes on.
        unsafe { options.map(&self.file) }.map_err(|error| unreadable(&self.path, error))
    }
}

fn unreadable(path: &Path, source: io::Error) -> Failure {
    TorchError::Io {
        path: path.to_owned(),
        source,
    }
    .into()
}
