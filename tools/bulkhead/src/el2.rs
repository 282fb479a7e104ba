//! The EL2 binary: the one given, or the one that cargo builds from the checkout this tool came from.

use crate::board::Platform;
use crate::image::El2;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "aarch64-unknown-none-softfloat";

/// The EL2 binary for `platform`: the ELF file `given`, or a fresh build.
pub fn load(platform: &Platform, given: Option<&Path>) -> Result<El2> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => build(platform)?,
    };
    let read = || -> Result<El2> { El2::read(&std::fs::read(&path)?) };
    read().with_context(|| format!("cannot use the EL2 binary {}", path.display()))
}

/// The checkout that this tool was built from.
pub fn checkout() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package)
}

/// Runs cargo; returns the binary's path.
pub fn build(platform: &Platform) -> Result<PathBuf> {
    let workspace = checkout();
    ensure!(
        workspace.join("Cargo.toml").is_file(),
        "the checkout that this tool was built from is gone: give the EL2 binary with --hypervisor"
    );
    // Relative to the caller's folder, as cargo itself reads it.
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => std::path::absolute(folder)?,
        None => workspace.join("target"),
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(workspace)
        .args(["build", "--quiet", "--release", "--target", TARGET, "--package", platform.package])
        .args(["--bin", platform.binary, "--target-dir"])
        .arg(&target)
        .status()
        .context("cannot run cargo to build the EL2 binary: give it with --hypervisor")?;
    ensure!(status.success(), "cargo could not build the EL2 binary {}", platform.binary);
    Ok(target.join(TARGET).join("release").join(platform.binary))
}
