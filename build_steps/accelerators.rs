//! CUDA and TensorRT: what was asked for, and what is on this machine.
//!
//! `GPTJ_WITH_CUDA` and `GPTJ_WITH_TENSORRT` are `auto` (the default), `1` or `0`. With `auto` an engine is built if its
//! toolkit is found, which is said once; `1` is an error that says what is missing: the toolkit or the engine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

struct Accelerator {
    name: &'static str,
    option: &'static str,
    /// Where its engine's sources stand in this repository.
    sources: &'static str,
    /// Variables that name its installation, by preference.
    variables: &'static [&'static str],
    /// Its usual installations.
    usual: &'static [&'static str],
    /// Files any of which shows that a folder holds it.
    evidence: &'static [&'static str],
    /// A program on the search path that shows it.
    program: Option<&'static str>,
}

const ACCELERATORS: [Accelerator; 2] = [
    Accelerator {
        name: "CUDA",
        option: "GPTJ_WITH_CUDA",
        sources: "cpp/cuda/CMakeLists.txt",
        variables: &["CUDA_HOME", "CUDA_PATH"],
        usual: &["/usr/local/cuda"],
        evidence: &["bin/nvcc"],
        program: Some("nvcc"),
    },
    Accelerator {
        name: "TensorRT",
        option: "GPTJ_WITH_TENSORRT",
        sources: "cpp/tensorrt/CMakeLists.txt",
        variables: &["TENSORRT_ROOT"],
        usual: &["/usr/local/tensorrt", "/usr"],
        evidence: &["include/NvInfer.h", "include/x86_64-linux-gnu/NvInfer.h"],
        program: None,
    },
];

/// Toolkits to build engines with.
pub struct Toolkits {
    /// Root of the CUDA toolkit.
    pub cuda: Option<PathBuf>,
    /// Folder of TensorRT's headers; its libraries are opened at run time.
    pub tensorrt_headers: Option<PathBuf>,
}

/// Finds what was asked for, and what is there.
pub fn locate() -> Result<Toolkits> {
    let [cuda, tensorrt] = &ACCELERATORS;
    let toolkits = Toolkits {
        cuda: cuda.locate()?,
        tensorrt_headers: tensorrt.locate()?.and_then(|root| tensorrt.headers(&root)),
    };
    ensure!(
        toolkits.cuda.is_some() || toolkits.tensorrt_headers.is_none(),
        "TensorRT was found and CUDA was not, and the TensorRT engine is built on the CUDA engine's kernels; set {} to \
         a CUDA toolkit, or {}=0",
        cuda.variables[0],
        tensorrt.option
    );
    Ok(toolkits)
}

impl Accelerator {
    /// Where its toolkit is, if its engine is to be built.
    fn locate(&self) -> Result<Option<PathBuf>> {
        println!("cargo:rerun-if-env-changed={}", self.option);
        for variable in self.variables {
            println!("cargo:rerun-if-env-changed={variable}");
        }
        let wanted = std::env::var(self.option).unwrap_or_default();
        let must = match wanted.as_str() {
            "" | "auto" => false,
            "1" => true,
            "0" => return Ok(None),
            other => bail!("{} is {other:?}; it takes auto, 1 or 0", self.option),
        };
        let has_engine = Path::new(self.sources).is_file();
        let tried = self.places();
        let found = tried.iter().find(|place| self.is_in(place));
        ensure!(
            found.is_some() || !must,
            "{} is 1, but {} was not found; looked for {} in: {}. Set {} to where it is, or {}=0",
            self.option,
            self.name,
            self.evidence.join(" or "),
            list(&tried),
            self.variables[0],
            self.option
        );
        ensure!(
            has_engine || !must,
            "{} is 1 and {} is in {}, but this version has no {} engine ({} does not exist); leave {} out",
            self.option,
            self.name,
            list(found),
            self.name,
            self.sources,
            self.option
        );
        let Some(found) = found.filter(|_| has_engine) else {
            return Ok(None);
        };
        if !must {
            println!(
                "cargo:warning=building the {} engine with {}; {}=0 leaves it out",
                self.name,
                found.display(),
                self.option
            );
        }
        Ok(Some(found.clone()))
    }

    /// Every folder that may hold it, by preference.
    fn places(&self) -> Vec<PathBuf> {
        let given = self.variables.iter().filter_map(std::env::var_os);
        let mut places: Vec<PathBuf> = given
            .filter(|value| !value.is_empty())
            .chain(self.usual.iter().map(OsString::from))
            .map(PathBuf::from)
            .collect();
        let path = std::env::var_os("PATH").unwrap_or_default();
        // A program in PREFIX/bin stands for PREFIX.
        let on_path = std::env::split_paths(&path)
            .filter(|folder| self.program.is_some_and(|name| folder.join(name).is_file()))
            .filter_map(|folder| folder.parent().map(Path::to_path_buf));
        places.extend(on_path);
        places
    }

    /// The folder of its evidence below `root`.
    fn headers(&self, root: &Path) -> Option<PathBuf> {
        let files = self.evidence.iter().map(|file| root.join(file));
        let found = files.into_iter().find(|file| file.is_file())?;
        found.parent().map(Path::to_path_buf)
    }

    fn is_in(&self, place: &Path) -> bool {
        self.evidence.iter().any(|file| place.join(file).is_file())
    }
}

fn list<'a>(places: impl IntoIterator<Item = &'a PathBuf>) -> String {
    let places: Vec<_> = places
        .into_iter()
        .map(|place| place.display().to_string())
        .collect();
    places.join(", ")
}
