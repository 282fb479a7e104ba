//! The checkout under test: where its files are, and the images that the host tool builds from system files.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The checkout, a scratch directory in it, and the images built so far.
pub struct Project {
    root: PathBuf,
    scratch: PathBuf,
    is_plain: bool,
    images: Mutex<BTreeMap<String, Arc<Mutex<Option<PathBuf>>>>>,
    demo: Mutex<()>,
}

impl Project {
    /// The checkout that this program was built from.
    pub fn open(is_plain: bool) -> Result<Self> {
        let package =
            std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = package.parent().context("the package is not in a checkout")?.to_owned();
        let all = root.join("build/tests");
        remove_finished(&all);
        let scratch = all.join(std::process::id().to_string());
        std::fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
        Ok(Self { root, scratch, is_plain, images: Mutex::default(), demo: Mutex::default() })
    }

    /// The checkout's top directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// This run's scratch directory.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Whether Linux boots without Bulkhead, to tell a guest's fault from the hypervisor's.
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// A file of the checkout that something else must have built.
    pub fn built(&self, path: &str) -> Result<PathBuf> {
        let file = self.root.join(path);
        ensure!(file.is_file(), "{path} is missing: run `make setup test-guests`");
        Ok(file)
    }

    /// Builds the host tool, so that the images come from the sources as they are.
    pub fn build_tool(&self) -> Result<()> {
        run(Command::new("cargo").args(["build", "-q", "-p", "bulkhead"]).current_dir(&self.root)).map(drop)
    }

    /// Where cargo builds.
    pub fn target(&self) -> PathBuf {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
        self.root.join(target)
    }

    /// The host tool.
    pub fn tool(&self) -> Command {
        let mut command = Command::new(self.target().join("debug/bulkhead"));
        command.current_dir(&self.root);
        command
    }

    /// The image of `tests/systems/NAME.toml`, built once.
    pub fn image(&self, name: &str) -> Result<PathBuf> {
        let system = self.root.join("tests/systems").join(name).with_extension("toml");
        self.image_of(name, &system)
    }

    /// The image of a system file, built once under `name`.
    pub fn image_of(&self, name: &str, system: &Path) -> Result<PathBuf> {
        let slot = {
            let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(images.entry(name.to_owned()).or_default())
        };
        // Held while building: who needs the same image waits, who needs another one does not.
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = &*slot {
            return Ok(image.clone());
        }
        let image = self.scratch.join(name).with_extension("img");
        run(self.tool().arg("build").arg(system).arg("-o").arg(&image))?;
        Ok(slot.insert(image).clone())
    }

    /// The image of `tests/systems/NAME.toml` with an EL2 that was built with `feature`.
    pub fn image_with(&self, name: &str, feature: &str) -> Result<PathBuf> {
        /// Where cargo puts EL2 below its target directory.
        const BUILT: &str = "aarch64-unknown-none-softfloat/release/bulkhead-qemu-virt";
        // A directory of its own: beside this one the tool builds the ordinary EL2.
        let target = self.target().join(feature);
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "-q", "--target", "aarch64-unknown-none-softfloat"]);
        cargo.args(["-p", "platform-qemu-virt", "--features", feature, "--target-dir"]).arg(&target);
        run(cargo.current_dir(&self.root))?;
        let image = self.scratch.join(format!("{name}-{feature}")).with_extension("img");
        let system = self.root.join("tests/systems").join(name).with_extension("toml");
        run(self.tool().arg("build").arg(system).arg("-o").arg(&image).arg("--hypervisor").arg(target.join(BUILT)))?;
        Ok(image)
    }

    /// The demo's disk, while this is held: one machine at a time can have it.
    pub fn demo_disk(&self) -> MutexGuard<'_, ()> {
        self.demo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the scratch directory, unless something failed: then images, consoles and commands stay for a look.
    pub fn close(self, is_clean: bool) {
        if is_clean {
            // What cannot be removed goes with build/ later.
            let _ = std::fs::remove_dir_all(&self.scratch);
        }
    }
}

/// Removes what earlier runs kept; a run that still goes on in this checkout keeps its own.
fn remove_finished(all: &Path) {
    for entry in all.read_dir().into_iter().flatten().flatten() {
        let is_running = Path::new("/proc").join(entry.file_name()).exists();
        if !is_running {
            // What cannot be removed is another user's.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Runs a command to its end and returns its standard output; a failure shows what it said.
pub fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {name}: run `make setup`"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} ended with {}\n{stdout}{stderr}", output.status);
    Ok(stdout)
}
