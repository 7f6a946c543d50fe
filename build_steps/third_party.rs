//! Where LoadGen, oneDNN and the build tools are: what the environment says, else what `third_party/fetch` provides.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// The packages that the build uses.
pub struct Packages {
    /// LoadGen's source, as its source package has it.
    pub loadgen: PathBuf,
    /// oneDNN: `include/` and `lib/`.
    pub onednn: PathBuf,
    /// The cmake program; `None`: the one on the search path.
    pub cmake: Option<PathBuf>,
    /// The ninja program; `None`: make is used.
    pub ninja: Option<PathBuf>,
}

/// Finds every package, fetching those that are neither given nor there.
pub fn locate() -> Result<Packages> {
    for variable in ["LOADGEN_SOURCE_DIR", "DNNL_ROOT", "CMAKE"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    for file in ["fetch", "requirements.txt", "requirements-tools.txt"] {
        println!("cargo:rerun-if-changed=third_party/{file}");
    }
    let loadgen = given("LOADGEN_SOURCE_DIR", "loadgen.h")?;
    let onednn = given("DNNL_ROOT", "include/oneapi/dnnl/dnnl.hpp")?;
    Ok(Packages {
        loadgen: loadgen.map_or_else(|| fetch("loadgen"), Ok)?,
        onednn: onednn.map_or_else(|| fetch("onednn"), Ok)?,
        cmake: cmake()?,
        ninja: ninja()?,
    })
}

/// The folder that an environment variable names, checked by a file that must be in it.
fn given(variable: &str, file: &str) -> Result<Option<PathBuf>> {
    let Some(value) = std::env::var_os(variable).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let folder = PathBuf::from(value);
    ensure!(
        folder.join(file).is_file(),
        "{variable} is {}, which has no {file}; correct it, or unset it to use the pinned package",
        folder.display()
    );
    Ok(Some(folder))
}

/// `$CMAKE`, else one on the search path that is new enough, else the pinned package.
fn cmake() -> Result<Option<PathBuf>> {
    if let Some(given) = std::env::var_os("CMAKE").filter(|value| !value.is_empty()) {
        let program = PathBuf::from(given);
        let version = cmake_version(&program)
            .with_context(|| format!("CMAKE is {}, which does not run", program.display()))?;
        ensure!(
            version >= (3, 20),
            "CMAKE is {}, version {}.{}; 3.20 or later is needed",
            program.display(),
            version.0,
            version.1
        );
        return Ok(Some(program));
    }
    if cmake_version(Path::new("cmake")).is_ok_and(|version| version >= (3, 20)) {
        return Ok(None);
    }
    Ok(Some(fetch("cmake")?.join("cmake/data/bin/cmake")))
}

fn cmake_version(program: &Path) -> Result<(u32, u32)> {
    let output = Command::new(program).arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers = text
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().last())
        .map(|version| version.split('.').map_while(|part| part.parse().ok()));
    match numbers.map(|mut numbers| (numbers.next(), numbers.next())) {
        Some((Some(major), Some(minor))) => Ok((major, minor)),
        _ => bail!("`{} --version` printed no version", program.display()),
    }
}

/// One on the search path; none where make is; else the pinned package.
fn ninja() -> Result<Option<PathBuf>> {
    if on_path("ninja") {
        return Ok(Some(PathBuf::from("ninja")));
    }
    if on_path("make") {
        return Ok(None);
    }
    Ok(Some(fetch("ninja")?.join("bin/ninja")))
}

fn on_path(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Has `third_party/fetch` provide a package; at once when it is there already.
fn fetch(name: &str) -> Result<PathBuf> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let script = root.join("third_party/fetch");
    let output = Command::new("python3")
        .arg(&script)
        .arg(name)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| {
            format!(
                "cannot run python3, which {} needs to fetch {name}; install python3 and python3-pip, or bring your \
                 own copy: docs/building.md",
                script.display()
            )
        })?;
    ensure!(
        output.status.success(),
        "{} could not provide {name} ({}); run it by hand to see more",
        script.display(),
        output.status
    );
    let text = String::from_utf8(output.stdout)?;
    let path = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name}\t")))
        .with_context(|| format!("{} did not say where {name} is", script.display()))?;
    // Removing what was fetched brings it back with the next build.
    println!("cargo:rerun-if-changed={path}/.pins");
    Ok(PathBuf::from(path))
}
