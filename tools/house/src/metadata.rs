//! The packages of the workspace and everything that they depend on, from `cargo metadata`.

use crate::json::{self, Value};
use std::process::Command;

/// What is built for: the host and the boards. Packages that only other systems need are not fetched for the check.
const PLATFORMS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-none-softfloat"];

/// One package.
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its folder, relative to the workspace's root; none if it comes from a registry.
    pub folder: Option<String>,
    /// Its licence, as an SPDX expression.
    pub licence: Option<String>,
    /// What it depends on directly.
    pub dependencies: Vec<Dependency>,
}

/// One line of a package's dependencies.
pub struct Dependency {
    /// The package's name.
    pub name: String,
    /// The folder of a dependency inside the workspace.
    pub folder: Option<String>,
    /// A dev-dependency: only tests see it.
    pub is_dev: bool,
}

/// Asks cargo. `--locked`: a Cargo.lock that does not fit is a finding, not something to mend in passing.
pub fn read() -> Result<Vec<Package>, String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["metadata", "--locked", "--format-version", "1"]);
    for platform in PLATFORMS {
        command.args(["--filter-platform", platform]);
    }
    let output = command.output().map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// Reads what cargo printed.
pub fn parse(text: &str) -> Result<Vec<Package>, String> {
    let metadata = json::parse(text)?;
    let root = metadata.string("workspace_root").ok_or("cargo metadata names no workspace_root")?;
    metadata.elements("packages").iter().map(|package| read_package(package, root)).collect()
}

fn read_package(package: &Value, root: &str) -> Result<Package, String> {
    let name = package.string("name").ok_or("a package without a name")?.to_string();
    let manifest = package.string("manifest_path").ok_or_else(|| format!("{name}: no manifest_path"))?;
    let folder = match package.string("source") {
        Some(_) => None,
        None => Some(below(manifest.trim_end_matches("/Cargo.toml"), root)),
    };
    let dependencies = package.elements("dependencies").iter().filter_map(|line| {
        Some(Dependency {
            name: line.string("name")?.to_string(),
            folder: line.string("path").map(|path| below(path, root)),
            is_dev: line.string("kind") == Some("dev"),
        })
    });
    Ok(Package {
        name,
        folder,
        licence: package.string("license").map(str::to_string),
        dependencies: dependencies.collect(),
    })
}

fn below(path: &str, root: &str) -> String {
    path.strip_prefix(root).unwrap_or(path).trim_start_matches('/').to_string()
}
