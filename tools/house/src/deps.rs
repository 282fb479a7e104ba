//! `house deps`: dependencies inside the workspace point one way (docs/ARCHITECTURE.md), as a table.
//!
//! It judges folders, not names, so a new crate falls under the rule of the folder that it is put in.

use crate::metadata::{Dependency, Package};

/// Who (a folder or a prefix that ends in '/') may use whom. The first row that fits decides.
const RULES: &[(&str, &[&str])] = &[
    ("crates/addr", &[]),
    ("crates/switch", &["crates/rate", "crates/addr", "crates/abi"]),
    ("crates/", &["crates/addr", "crates/abi"]),
    ("hypervisor", &["crates/"]),
    ("platform/", &["hypervisor", "crates/manifest", "crates/addr", "crates/abi", "crates/bcm2711"]),
    ("guests/rt", &["crates/channel", "crates/addr", "crates/abi"]),
    ("guests/service", SERVICE),
    ("guests/service-hooks", SERVICE),
    ("guests/", &["guests/rt", "crates/addr", "crates/abi", "crates/blocks"]),
    ("tools/house", &[]),
    ("tools/", &["crates/", "platform/"]),
    ("tests", &["crates/", "platform/", "tools/"]),
];
/// What the service partition is made of.
const SERVICE: &[&str] = &[
    "crates/virtio",
    "crates/bcm2711",
    "crates/channel",
    "crates/vsock",
    "crates/gateway",
    "crates/switch",
    "crates/rate",
    "crates/gpt",
    "crates/sdhci",
    "crates/console",
    "crates/addr",
    "crates/abi",
];

/// All dependencies that point the wrong way, and all folders that no rule knows.
pub fn check(packages: &[Package]) -> Vec<String> {
    let mut findings = Vec::new();
    for package in packages {
        let Some(folder) = &package.folder else { continue };
        let Some((_, allowed)) = RULES.iter().find(|(who, _)| fits(folder, who)) else {
            findings.push(format!("{} lies in {folder}, which no rule of tools/house/src/deps.rs knows", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            if let Some(finding) = judge(package, folder, dependency, allowed) {
                findings.push(finding);
            }
        }
    }
    findings
}

fn judge(package: &Package, folder: &str, dependency: &Dependency, allowed: &[&str]) -> Option<String> {
    let target = dependency.folder.as_deref()?;
    // A crate's own tests may use the crate itself.
    if target == folder || allowed.iter().any(|whom| fits(target, whom)) {
        return None;
    }
    let kind = if dependency.is_dev { "dev-depends" } else { "depends" };
    let allowed = if allowed.is_empty() { "nothing".to_string() } else { allowed.join(", ") };
    Some(format!("{} ({folder}) {kind} on {} ({target}), but may use only: {allowed}", package.name, dependency.name))
}

fn fits(folder: &str, rule: &str) -> bool {
    folder == rule || (rule.ends_with('/') && folder.starts_with(rule))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata;

    fn packages(folder: &str, dependency: &str) -> Vec<Package> {
        metadata::parse(&format!(
            r#"{{"workspace_root": "/w", "packages": [{{"name": "a", "source": null, "license": "MIT",
                "manifest_path": "/w/{folder}/Cargo.toml",
                "dependencies": [{{"name": "b", "path": "/w/{dependency}", "kind": null}},
                                 {{"name": "log", "source": "registry"}}]}}]}}"#
        ))
        .unwrap()
    }

    #[test]
    fn a_pure_crate_that_uses_another_is_found() {
        assert_eq!(
            check(&packages("crates/vgic", "crates/psci")),
            ["a (crates/vgic) depends on b (crates/psci), but may use only: crates/addr, crates/abi"]
        );
        assert!(check(&packages("crates/vgic", "crates/abi")).is_empty());
    }

    #[test]
    fn a_library_that_names_a_board_is_found() {
        assert_eq!(check(&packages("hypervisor", "platform/rpi4")).len(), 1);
        assert!(check(&packages("platform/rpi4", "hypervisor")).is_empty());
    }

    #[test]
    fn a_folder_without_a_rule_is_found() {
        assert_eq!(check(&packages("drivers/uart", "crates/abi")).len(), 1);
    }
}
