//! The cxx bridge: generated code and `cpp/bridge`, the only C++ that knows Rust.

use anyhow::{Context, Result};

use crate::third_party::Packages;

/// Compiles the bridge.
pub fn build(packages: &Packages) -> Result<()> {
    println!("cargo:rerun-if-changed=src/bridge.rs");
    println!("cargo:rerun-if-changed=cpp/bridge");
    cxx_build::bridge("src/bridge.rs")
        .files(
            ["checkpoint_weights", "convert", "ffi", "rust_scheduler"]
                .map(|name| format!("cpp/bridge/{name}.cc")),
        )
        .include("cpp")
        .include("cpp/include")
        .include(&packages.loadgen)
        .std("c++20")
        .flag_if_supported("-Wall")
        .flag_if_supported("-Wextra")
        .try_compile("gptj_bridge")
        .context(
            "cannot compile the bridge; if there is no C++ compiler, install one that knows C++20 (Debian, Ubuntu: \
             apt-get install g++), or let CXX name it",
        )
}
