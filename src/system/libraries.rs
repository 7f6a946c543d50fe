//! Shared libraries that are opened at run time: whether they are here, and whether they can be opened.
//!
//! The only proof is to open them, which is what a run does. They stay open: what unloading would run belongs to others.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::fs;
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW, Symbol};
use serde::Serialize;

/// Engines that come as libraries, best first; the order in which a run looks for one.
pub const ENGINE_NAMES: [&str; 2] = ["tensorrt", "cuda"];
/// What an engine's library exports, and in which version.
const INTERFACE: &str = include_str!("../../cpp/include/gptj/engine_options.h");
const VERSION_SYMBOL: &str = "gptj_engine_abi_version";
const CREATE_SYMBOL: &str = "gptj_create_engine";

/// An engine's library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EngineLibrary {
    /// `cuda`, `tensorrt`.
    pub engine: String,
    /// `libgptj_cuda.so`.
    pub file: String,
    /// Where it is; absent when it is in none of the folders.
    pub path: Option<PathBuf>,
    /// Why it cannot be used.
    pub error: Option<String>,
}

impl EngineLibrary {
    /// Whether a run could use it.
    pub fn is_usable(&self) -> bool {
        self.path.is_some() && self.error.is_none()
    }
}

/// A library that engines are linked against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundLibrary {
    /// What it is called: `cuBLASLt`.
    pub name: String,
    /// Its file, when it was found.
    pub path: Option<PathBuf>,
}

/// What libcuda says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CudaDriver {
    /// The newest CUDA that it runs: `13.0`.
    pub version: Option<String>,
    /// Devices that this process sees.
    pub devices: Option<u32>,
    /// CUDA's number for what is wrong; absent when libcuda could not be opened.
    pub code: Option<i32>,
    /// What is wrong, in libcuda's own words.
    pub error: Option<String>,
}

/// Looks for the library of every engine in `folders` and opens the first of each.
pub fn engine_libraries(folders: &[PathBuf]) -> Vec<EngineLibrary> {
    let look = |engine: &&str| {
        let file = format!("libgptj_{engine}.so");
        let mut paths = folders.iter().map(|folder| folder.join(&file));
        let path = paths.find(|path| path.is_file());
        EngineLibrary {
            engine: (*engine).to_owned(),
            error: path.as_deref().and_then(|path| open_engine(path).err()),
            path,
            file,
        }
    };
    ENGINE_NAMES.iter().map(look).collect()
}

fn open_engine(path: &Path) -> Result<(), String> {
    let library = open(path.as_os_str())?;
    let missing =
        |name: &str| format!("it has no symbol `{name}`: it is no engine of this program");
    // SAFETY: the symbol is looked for and never called, so its type does not matter.
    let create: Result<Symbol<unsafe extern "C" fn()>, _> =
        unsafe { library.get(CREATE_SYMBOL.as_bytes()) };
    create.map_err(|_| missing(CREATE_SYMBOL))?;
    // SAFETY: the type is that of engine_options.h, and every engine of this program has it.
    let version = unsafe {
        let version: Result<Symbol<unsafe extern "C" fn() -> u32>, _> =
            library.get(VERSION_SYMBOL.as_bytes());
        version.map_err(|_| missing(VERSION_SYMBOL))?()
    };
    std::mem::forget(library);
    match interface_version() {
        Some(ours) if ours != version => Err(format!(
            "it has version {version} of the engine interface, and this program {ours}: rebuild both"
        )),
        _ => Ok(()),
    }
}

/// The version of the interface to engines that this program was built with.
fn interface_version() -> Option<u32> {
    let (_, rest) = INTERFACE.split_once("kEngineAbiVersion = ")?;
    rest.split_once(';')?.0.trim().parse().ok()
}

/// Looks for a library under each of its file names, as the loader would.
/// A file may be a path.
pub fn find_library(name: &str, files: &[String]) -> FoundLibrary {
    let path = files.iter().find_map(|file| {
        let library = open(file.as_ref()).ok()?;
        std::mem::forget(library);
        Some(mapped(file).unwrap_or_else(|| PathBuf::from(file)))
    });
    FoundLibrary {
        name: name.to_owned(),
        path,
    }
}

fn open(file: &std::ffi::OsStr) -> Result<Library, String> {
    // SAFETY: this runs the library's initialisers. Engines and NVIDIA's libraries are made to be opened so, and a run
    // opens the same files.
    unsafe { Library::open(Some(file), RTLD_NOW | RTLD_LOCAL) }.map_err(|error| error.to_string())
}

/// Where an open library was found. Its name may be a link to the file that is mapped.
fn mapped(file: &str) -> Option<PathBuf> {
    let file = file.rsplit('/').next().unwrap_or(file);
    let stem = file.split_once(".so").map_or(file, |(stem, _)| stem);
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let paths = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]));
    paths.map(PathBuf::from).find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_prefix(stem)
            .is_some_and(|rest| rest.starts_with(".so"))
    })
}

/// Starts libcuda, as an engine would. Neither a context nor memory is taken on any GPU.
pub fn cuda_driver() -> CudaDriver {
    let cuda = match Cuda::open() {
        Ok(cuda) => cuda,
        Err(error) => {
            return CudaDriver {
                error: Some(error),
                ..CudaDriver::default()
            };
        }
    };
    let version = cuda.version();
    match cuda.devices() {
        Ok(count) => CudaDriver {
            version,
            devices: Some(count),
            ..CudaDriver::default()
        },
        Err((code, error)) => CudaDriver {
            version,
            code: Some(code),
            error: Some(error),
            ..CudaDriver::default()
        },
    }
}

/// The few functions of libcuda that are needed here; their declarations are those of cuda.h.
struct Cuda {
    init: Symbol<unsafe extern "C" fn(c_uint) -> c_int>,
    version: Symbol<unsafe extern "C" fn(*mut c_int) -> c_int>,
    device_count: Symbol<unsafe extern "C" fn(*mut c_int) -> c_int>,
    error_text: Symbol<unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int>,
}

impl Cuda {
    fn open() -> Result<Self, String> {
        let library = open("libcuda.so.1".as_ref())?;
        let text = |error: libloading::Error| error.to_string();
        // SAFETY: the types are those of cuda.h, and the library is never closed.
        let cuda = unsafe {
            Self {
                init: library.get(b"cuInit").map_err(text)?,
                version: library.get(b"cuDriverGetVersion").map_err(text)?,
                device_count: library.get(b"cuDeviceGetCount").map_err(text)?,
                error_text: library.get(b"cuGetErrorString").map_err(text)?,
            }
        };
        std::mem::forget(library);
        Ok(cuda)
    }

    /// Needs no start.
    fn version(&self) -> Option<String> {
        let mut version = 0;
        // SAFETY: `version` outlives the call.
        let code = unsafe { (self.version)(&mut version) };
        (code == 0).then(|| format!("{}.{}", version / 1000, version % 1000 / 10))
    }

    fn devices(&self) -> Result<u32, (i32, String)> {
        let mut count = 0;
        // SAFETY: the flags must be 0; `count` outlives the call.
        let code = unsafe {
            match (self.init)(0) {
                0 => (self.device_count)(&mut count),
                code => code,
            }
        };
        match code {
            0 => Ok(u32::try_from(count).unwrap_or(0)),
            code => Err((code, self.text(code))),
        }
    }

    fn text(&self, code: i32) -> String {
        let mut text: *const c_char = std::ptr::null();
        // SAFETY: `text` outlives the call, which points it at a constant string, or leaves it null.
        unsafe {
            if (self.error_text)(code, &mut text) != 0 || text.is_null() {
                return format!("CUDA error {code}");
            }
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_found_as_the_loader_finds_it() {
        let find = |files: &[&str]| {
            find_library(
                "C",
                &files
                    .iter()
                    .map(|file| (*file).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        let found = find(&["libnothing_of_ours.so.0", "libc.so.6"]);
        let path = found.path.unwrap();
        assert!(path.is_absolute() && path.is_file(), "{path:?}");
        assert_eq!(find(&["libnothing_of_ours.so.0"]).path, None);
        let whole = path.to_string_lossy();
        assert_eq!(find(&[whole.as_ref()]).path, Some(path.clone()));
    }

    #[test]
    fn engines_are_told_apart_from_what_only_has_their_name() {
        let folder = tempfile::tempdir().unwrap();
        let empty = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("libgptj_cuda.so"), "no library").unwrap();
        let other = find_library("m", &["libm.so.6".to_owned()]).path.unwrap();
        std::fs::copy(other, folder.path().join("libgptj_tensorrt.so")).unwrap();
        let folders = [empty.path().to_owned(), folder.path().to_owned()];
        let found = engine_libraries(&folders);
        let [tensorrt, cuda] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(
            tensorrt.path,
            Some(folder.path().join("libgptj_tensorrt.so"))
        );
        assert_eq!(
            tensorrt.error.as_deref(),
            Some("it has no symbol `gptj_create_engine`: it is no engine of this program")
        );
        assert!(
            cuda.error
                .as_ref()
                .is_some_and(|error| error.contains("libgptj_cuda.so"))
        );
        assert!(!cuda.is_usable() && !tensorrt.is_usable());
        let none = engine_libraries(&folders[..1]);
        assert!(
            none.iter()
                .all(|library| library.path.is_none() && !library.is_usable())
        );
    }

    #[test]
    fn the_header_tells_the_version() {
        assert!(interface_version().is_some_and(|version| version > 0));
        for symbol in [VERSION_SYMBOL, CREATE_SYMBOL] {
            assert!(INTERFACE.contains(symbol));
        }
    }

    #[test]
    fn cuda_starts_or_says_why_not() {
        let driver = cuda_driver();
        assert_ne!(
            driver.devices.is_some(),
            driver.error.is_some(),
            "{driver:?}"
        );
        if driver.code.is_some() {
            assert!(driver.version.is_some(), "{driver:?}");
        }
    }
}
