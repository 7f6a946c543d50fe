//! Writes files in the form of torch.save's, without PyTorch: a state dictionary in pickle protocol 2, and a zip archive
//! of uncompressed entries around it. The fixtures that PyTorch itself made show that the form is right.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, result::ZipResult};

/// A contiguous tensor that has a storage of its own.
pub struct Described {
    /// Its name.
    pub name: String,
    /// Outermost dimension first.
    pub shape: Vec<u64>,
    /// A class of the module torch.
    pub storage: &'static str,
}

impl Described {
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }
}

/// Writes an archive: `fill` writes the bytes of tensor after tensor.
pub fn write_archive(
    path: &Path,
    tensors: &[Described],
    mut fill: impl FnMut(&Described, &mut dyn Write) -> io::Result<()>,
) -> ZipResult<()> {
    let mut zip = ZipWriter::new(File::create(path)?);
    zip.start_file("archive/data.pkl", options())?;
    zip.write_all(&state_dict(tensors))?;
    for (key, tensor) in tensors.iter().enumerate() {
        zip.start_file(format!("archive/data/{key}"), options())?;
        fill(tensor, &mut zip)?;
    }
    zip.start_file("archive/version", options())?;
    zip.write_all(b"3\n")?;
    zip.finish()?;
    Ok(())
}

/// Uncompressed, of any length, and aligned as torch.save aligns.
pub fn options() -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .large_file(true)
        .with_alignment(64)
}

/// The pickle of a dictionary of tensors, whose storages are numbered in their order.
fn state_dict(tensors: &[Described]) -> Vec<u8> {
    let mut pickle = b"\x80\x02}(".to_vec();
    for (key, tensor) in tensors.iter().enumerate() {
        text(&mut pickle, &tensor.name);
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut pickle, "storage");
        pickle.extend(format!("ctorch\n{}\n", tensor.storage).bytes());
        text(&mut pickle, &key.to_string());
        text(&mut pickle, "cpu");
        int(&mut pickle, tensor.elements());
        pickle.extend(b"tQ");
        int(&mut pickle, 0);
        pickle.push(b'(');
        tensor.shape.iter().for_each(|&size| int(&mut pickle, size));
        pickle.extend(b"t(");
        for axis in 0..tensor.shape.len() {
            int(&mut pickle, tensor.shape[axis + 1..].iter().product());
        }
        pickle.extend(b"t\x89ccollections\nOrderedDict\n)RtR");
    }
    pickle.extend(b"u.");
    pickle
}

/// BINUNICODE
pub fn text(pickle: &mut Vec<u8>, text: &str) {
    pickle.push(b'X');
    pickle.extend((text.len() as u32).to_le_bytes());
    pickle.extend(text.bytes());
}

/// LONG1 of eight bytes, which holds every size.
pub fn int(pickle: &mut Vec<u8>, value: u64) {
    pickle.extend(b"\x8a\x08");
    pickle.extend(value.to_le_bytes());
}
