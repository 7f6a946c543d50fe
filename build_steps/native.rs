//! LoadGen and our own C++, through `cpp/CMakeLists.txt`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::accelerators::Toolkits;
use crate::third_party::Packages;

/// oneDNN's libraries as `third_party/fetch` leaves them, from the repository's root.
const PINNED_LIBRARIES: &str = "third_party/installed/onednn/lib";

/// Builds the static libraries and tells cargo how to link them.
pub fn build(packages: &Packages, toolkits: &Toolkits) -> Result<()> {
    println!("cargo:rerun-if-changed=cpp");
    let mut config = cmake::Config::new("cpp");
    config
        .profile(if optimised()? { "Release" } else { "Debug" })
        .define("GPTJ_BUILD_TESTS", "OFF")
        .define("LOADGEN_SOURCE_DIR", &packages.loadgen)
        .define("DNNL_ROOT", &packages.onednn);
    match &toolkits.cuda {
        Some(root) => config
            .define("GPTJ_WITH_CUDA", "ON")
            .define("CUDA_ROOT", root),
        None => config.define("GPTJ_WITH_CUDA", "OFF"),
    };
    match &toolkits.tensorrt_headers {
        Some(folder) => config
            .define("GPTJ_WITH_TENSORRT", "ON")
            .define("TENSORRT_INCLUDE", folder),
        None => config.define("GPTJ_WITH_TENSORRT", "OFF"),
    };
    // One build folder for each generator: CMake refuses a folder that another one has configured.
    let out = PathBuf::from(std::env::var("OUT_DIR").context("cargo sets OUT_DIR")?);
    match &packages.ninja {
        Some(ninja) => config
            .generator("Ninja")
            .define("CMAKE_MAKE_PROGRAM", ninja)
            .out_dir(out.join("ninja")),
        None => config.out_dir(out.join("make")),
    };
    if let Some(cmake) = &packages.cmake {
        // SAFETY: build scripts run one thread; nothing reads the environment at the same time.
        unsafe { std::env::set_var("CMAKE", cmake) };
    }
    let installed = config.build();

    if toolkits.cuda.is_some() {
        put_beside_program(&installed.join("lib/libgptj_cuda.so"), &out)?;
    }
    if toolkits.tensorrt_headers.is_some() {
        put_beside_program(&installed.join("lib/libgptj_tensorrt.so"), &out)?;
    }
    println!("cargo:rustc-link-search=native={}/lib", installed.display());
    println!("cargo:rustc-link-lib=static=gptj_native");
    println!("cargo:rustc-link-lib=static=mlperf_loadgen");
    let libraries = library_dir(&packages.onednn)?;
    println!("cargo:rustc-link-search=native={}", libraries.display());
    println!("cargo:rustc-link-lib=dylib=dnnl");
    println!("cargo:rustc-link-lib=dylib=gomp");
    println!("cargo:rustc-link-lib=dylib=stdc++");
    // Programs start without LD_LIBRARY_PATH: beside an installed binary first, then where the build found oneDNN, then
    // where a repository that has been moved has it (from target/release, and from target/release/deps).
    for folder in [
        "$ORIGIN/../lib".to_owned(),
        libraries.display().to_string(),
        format!("$ORIGIN/../../{PINNED_LIBRARIES}"),
        format!("$ORIGIN/../../../{PINNED_LIBRARIES}"),
    ] {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
    Ok(())
}

/// Engine libraries are opened at run time, from the folder of the program. Cargo has no word for that folder; it is the
/// one above `build/PACKAGE-HASH/out`.
fn put_beside_program(library: &Path, out: &Path) -> Result<()> {
    let folder = out
        .ancestors()
        .nth(3)
        .with_context(|| format!("OUT_DIR is {}, with nothing above it", out.display()))?;
    let name = library.file_name().context("a library has a name")?;
    // Another file under the same name: a program that runs keeps the one that it opened.
    let copy = folder.join(name);
    let fresh = folder.join(format!(".{}.new", name.to_string_lossy()));
    std::fs::copy(library, &fresh)
        .and_then(|_| std::fs::rename(&fresh, &copy))
        .with_context(|| format!("cannot put {} into {}", library.display(), folder.display()))
}

/// Cargo's profile decides: the C++ of an unoptimised build stays debuggable.
fn optimised() -> Result<bool> {
    Ok(std::env::var("OPT_LEVEL").context("cargo sets OPT_LEVEL")? != "0")
}

fn library_dir(onednn: &Path) -> Result<PathBuf> {
    ["lib", "lib64"]
        .iter()
        .map(|name| onednn.join(name))
        .find(|folder| folder.join("libdnnl.so").exists())
        .with_context(|| {
            format!(
                "no lib/libdnnl.so in {}; run third_party/fetch, or set DNNL_ROOT",
                onednn.display()
            )
        })
}
