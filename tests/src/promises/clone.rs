//! B64: what is committed is enough. A clone in a path with a space, built by an ordinary user whose home is new.
//!
//! Run by root (CI), the user is `nobody`; run by somebody else, it is that user with a new home. The home gets rustup
//! and its toolchain as links to the caller's (the toolchain is what `make setup` would install), nothing else: no
//! configuration, no registry, no cache. What is not committed is not in the clone.

use crate::control::Report;
use crate::disk::Disk;
use crate::machine::{GicVersion, Recipe};
use crate::project;
use crate::promises::linux::BOOT;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// `nobody` and `nogroup` of every Debian.
const NOBODY: u32 = 65534;

/// B64. The demo, with Linux, its disk and the service partition, takes two cores some minutes; CI makes it from a clean clone,
/// too.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "clean_clone",
        kinds: &[Kind::Host],
        when: When::Always,
        seconds: 900,
        promises: &[promise("B64", "clean_clone_builds_as_ordinary_user_in_new_home_and_boots")],
        body: |run| clean_clone(run, "bare"),
    },
    Scenario {
        name: "clean_clone_of_the_demo",
        kinds: &[Kind::Host],
        when: When::Long,
        seconds: 900,
        promises: &[promise("B64", "clean_clone_builds_the_demo_as_ordinary_user_in_new_home_and_boots")],
        body: |run| clean_clone(run, DEMO),
    },
];

/// The system with Linux, of those in `systems/`.
const DEMO: &str = "demo";

fn clean_clone(run: &mut Run, system: &str) -> Result<()> {
    // Not below the checkout: an ordinary user may be unable to reach that.
    let place = std::env::temp_dir().join(format!("bulkhead-clone-{}-{system}", std::process::id()));
    let result = build_and_boot(run, &place, system);
    if result.is_ok() {
        run.promises_kept();
    }
    let removed = std::fs::remove_dir_all(&place).with_context(|| format!("cannot remove {}", place.display()));
    result.and(removed)
}

fn build_and_boot(run: &Run, place: &Path, system: &str) -> Result<()> {
    std::fs::create_dir(place).with_context(|| format!("cannot make {}", place.display()))?;
    let (home, clone) = (place.join("home"), place.join("a clone"));
    project::run(Command::new("git").args(["clone", "-q", "--no-hardlinks"]).arg(run.project.root()).arg(&clone))?;
    make_home(&home)?;
    let image = clone.join("own.img");
    let mut make = as_user(place)?;
    make.arg("make").arg("image").arg(format!("SYSTEM=systems/{system}.toml")).arg("OUT=own.img").current_dir(&clone);
    make.env_clear().env("HOME", &home).env("LANG", "C").env("USER", "nobody");
    make.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", home.join(".cargo/bin").display()));
    project::run(&mut make)?;
    // As `make qemu` would attach it: the disk that this clone has made.
    let disk = Disk::found("demo-disk", clone.join("build/demo-disk.img"));
    let recipe = Recipe::virt(GicVersion::V3).kernel(&image).entropy();
    let mut machine = if system == DEMO { recipe.disk(&disk) } else { recipe }.start(run)?;
    if system == DEMO {
        machine.console.expect("GUEST-READY", BOOT)?;
    }
    Report::check_next(&mut machine.console, 1).map(drop)
}

/// A home with rustup in it, as links: copies would be a gigabyte.
fn make_home(home: &Path) -> Result<()> {
    std::fs::create_dir(home)?;
    let own = PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?);
    let place = |variable: &str, name: &str| std::env::var_os(variable).map_or_else(|| own.join(name), PathBuf::from);
    let cargo = place("CARGO_HOME", ".cargo").join("bin");
    std::fs::create_dir(home.join(".cargo"))?;
    // Symbolic links would lead through the caller's home, which others cannot enter.
    link(&cargo, &home.join(".cargo/bin"))?;
    link(&place("RUSTUP_HOME", ".rustup"), &home.join(".rustup"))
}

/// A copy of the tree `from` whose files are hard links; real copies where the file system is another one. Symbolic
/// links are followed: a toolchain may be one, by its absolute name in the caller's home.
fn link(from: &Path, to: &Path) -> Result<()> {
    let copy = |option: &str| project::run(Command::new("cp").args(["-a", "-L", option]).arg(from).arg(to));
    copy("-l").or_else(|_| copy("--reflink=auto")).map(drop)
}

/// A command that runs what follows as the ordinary user who owns the directories below `place`.
fn as_user(place: &Path) -> Result<Command> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Command::new("env"));
    }
    // Directories only and what the clone is made of: a linked file belongs to its other names too.
    let owner = format!("{NOBODY}:{NOBODY}");
    project::run(Command::new("chown").arg("-R").arg(&owner).arg(place.join("a clone")))?;
    let directories = ["find", ".", "-type", "d", "-exec", "chown", &owner, "{}", "+"];
    project::run(Command::new("env").args(directories).current_dir(place))?;
    let mut command = Command::new("setpriv");
    let user = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
    command.args(user).args(["--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]);
    Ok(command)
}
