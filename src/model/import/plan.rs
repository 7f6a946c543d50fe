//! What an import will write: which tensors, in which files, behind which headers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde_json::json;

use super::source::{SourceFile, SourceTensor};
use crate::error::Failure;
use crate::model::checkpoint::{CheckpointError, ElementType, INDEX_FILE, SINGLE_FILE};
use crate::model::tensors::{TensorError, expected_tensors};
use crate::model::{Fingerprint, ModelConfig};

/// Bytes of a safetensors header are a multiple of this, filled up with spaces.
const HEADER_ALIGNMENT: usize = 8;

/// A file to write.
#[derive(Debug)]
pub(super) struct Output {
    /// Its name in the target folder.
    pub name: String,
    /// The file that all its tensors come from.
    pub source: PathBuf,
    /// Length prefix and header.
    pub header: Vec<u8>,
    /// In the order in which they are in the source, so that both files go from their front to their back.
    pub tensors: Vec<SourceTensor>,
    /// Bytes of the whole file.
    pub length: u64,
}

/// All that an import writes.
#[derive(Debug)]
pub(super) struct Plan {
    pub outputs: Vec<Output>,
    /// The index of several files.
    pub index: Option<String>,
    /// Changes with the content of the sources and with what is made of it.
    pub digest: Fingerprint,
    /// Names of tensors in the sources that the model does not have.
    pub left_out: Vec<String>,
}

impl Plan {
    /// Bytes of all weight files.
    pub fn length(&self) -> u64 {
        self.outputs.iter().map(|output| output.length).sum()
    }

    /// How many tensors there are.
    pub fn tensors(&self) -> usize {
        let counts = self.outputs.iter().map(|output| output.tensors.len());
        counts.sum()
    }
}

/// Decides what to write: exactly the tensors of the model, in one file for each source file that has any.
pub(super) fn plan(sources: Vec<SourceFile>, model: &ModelConfig) -> Result<Plan, Failure> {
    let chosen = choose(sources, model)?;
    let count = chosen.files.len();
    let mut outputs = Vec::with_capacity(count);
    let mut digest = String::new();
    for (number, file) in chosen.files.into_iter().enumerate() {
        let name = match count {
            1 => SINGLE_FILE.to_owned(),
            _ => format!("model-{:05}-of-{count:05}.safetensors", number + 1),
        };
        let mut tensors = file.tensors;
        tensors.sort_by(|a, b| {
            let place = |tensor: &SourceTensor| tensor.place.start();
            place(a).cmp(&place(b)).then_with(|| a.name.cmp(&b.name))
        });
        let (header, length) = header(&file.path, &tensors)?;
        digest.push_str(&format!("{name} {}\n", file.identity));
        digest.push_str(&format!("{}\n", Fingerprint::of_bytes(&header)));
        outputs.push(Output {
            name,
            source: file.path,
            header,
            tensors,
            length,
        });
    }
    Ok(Plan {
        index: (count > 1).then(|| index(&outputs)),
        outputs,
        digest: Fingerprint::of_bytes(digest.as_bytes()),
        left_out: chosen.left_out,
    })
}

struct Chosen {
    files: Vec<SourceFile>,
    left_out: Vec<String>,
}

fn choose(sources: Vec<SourceFile>, model: &ModelConfig) -> Result<Chosen, Failure> {
    let expected = expected_tensors(model);
    let shapes: HashMap<&str, &Vec<i64>> = expected
        .iter()
        .map(|(name, shape)| (name.as_str(), shape))
        .collect();
    let searched: Vec<PathBuf> = sources.iter().map(|file| file.path.clone()).collect();
    let mut holders: HashMap<String, PathBuf> = HashMap::new();
    let mut left_out = Vec::new();
    let mut files = Vec::new();
    for mut file in sources {
        let path = file.path.clone();
        let mut kept = Vec::new();
        for mut tensor in file.tensors {
            // DistributedDataParallel puts this in front of every name.
            let name = tensor.name.strip_prefix("module.").unwrap_or(&tensor.name);
            let Some(shape) = shapes.get(name) else {
                left_out.push(tensor.name);
                continue;
            };
            tensor.name = name.to_owned();
            check(&path, &tensor, shape)?;
            if let Some(first) = holders.insert(tensor.name.clone(), path.clone()) {
                return Err(CheckpointError::DuplicateTensor {
                    tensor: tensor.name,
                    first,
                    second: path,
                }
                .into());
            }
            kept.push(tensor);
        }
        file.tensors = kept;
        if !file.tensors.is_empty() {
            files.push(file);
        }
    }
    let mut missing = expected
        .iter()
        .filter(|(name, _)| !holders.contains_key(name));
    if let Some((tensor, shape)) = missing.next() {
        return Err(TensorError::Missing {
            tensor: tensor.clone(),
            expected: shape.clone(),
            more: missing.count(),
            searched,
        }
        .into());
    }
    left_out.sort_unstable();
    Ok(Chosen { files, left_out })
}

fn check(path: &Path, tensor: &SourceTensor, shape: &[i64]) -> Result<(), TensorError> {
    if tensor.shape != shape {
        return Err(TensorError::WrongShape {
            tensor: tensor.name.clone(),
            file: path.to_owned(),
            expected: shape.to_vec(),
            found: tensor.shape.clone(),
        });
    }
    if tensor.element_type.is_none() {
        return Err(TensorError::WrongDtype {
            tensor: tensor.name.clone(),
            file: path.to_owned(),
            found: tensor.type_name.clone(),
        });
    }
    Ok(())
}

/// Length prefix and header of a file with these tensors, and the length of the whole file.
fn header(path: &Path, tensors: &[SourceTensor]) -> Result<(Vec<u8>, u64), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::harness(format!(
            "cannot describe the tensors of `{}`",
            path.display()
        ))
        .because(error)
    };
    let mut end = 0;
    let mut infos = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let start = end;
        let (dtype, size) = match tensor.element_type {
            Some(ElementType::F16) => (Dtype::F16, 2),
            Some(ElementType::BF16) => (Dtype::BF16, 2),
            _ => (Dtype::F32, 4),
        };
        // As config.json has them: positive, and far from what a usize holds.
        let shape: Vec<usize> = tensor.shape.iter().map(|&size| size as usize).collect();
        end += size * shape.iter().product::<usize>();
        let info = TensorInfo {
            dtype,
            shape,
            data_offsets: (start, end),
        };
        infos.push((tensor.name.clone(), info));
    }
    // transformers asks for this entry.
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let metadata = Metadata::new(Some(format), infos).map_err(|error| failed(&error))?;
    let mut text = serde_json::to_string(&metadata).map_err(|error| failed(&error))?;
    let padding = text.len().next_multiple_of(HEADER_ALIGNMENT) - text.len();
    text.extend(std::iter::repeat_n(' ', padding));
    let mut header = (text.len() as u64).to_le_bytes().to_vec();
    header.extend(text.bytes());
    let length = (header.len() + end) as u64;
    Ok((header, length))
}

fn index(outputs: &[Output]) -> String {
    let data = outputs
        .iter()
        .map(|output| output.length - output.header.len() as u64);
    let total: u64 = data.sum();
    let mut places: Vec<(&str, &str)> = outputs
        .iter()
        .flat_map(|output| {
            let names = output.tensors.iter().map(|tensor| tensor.name.as_str());
            names.map(|name| (name, output.name.as_str()))
        })
        .collect();
    places.sort_unstable();
    let map: serde_json::Map<String, serde_json::Value> = places
        .into_iter()
        .map(|(tensor, file)| (tensor.to_owned(), file.into()))
        .collect();
    let index = json!({"metadata": {"total_size": total}, "weight_map": map});
    format!("{index:#}\n")
}

/// What tells that there are weights in a folder that a run would read.
pub(super) fn sign_of_weights(folder: &Path) -> Option<PathBuf> {
    [SINGLE_FILE, INDEX_FILE]
        .map(|name| folder.join(name))
        .into_iter()
        .find(|path| path.exists())
}
