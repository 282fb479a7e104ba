//! One scenario being run: its deadline, its scratch directory, and the results of its promises.
//!
//! A scenario boots once and keeps several promises there; each has a result of its own. One that is never reached
//! counts as failed.

use crate::project::Project;
use crate::scenario::{Kind, Promise, Scenario};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What came of one promise.
pub struct Outcome {
    /// Which.
    pub promise: &'static Promise,
    /// Where it ran.
    pub kind: Kind,
    /// How long it took.
    pub seconds: f32,
    /// The chain of reasons, when it broke.
    pub failure: Option<String>,
}

/// One scenario while it runs.
pub struct Run<'a> {
    /// The checkout and what is built from it.
    pub project: &'a Project,
    /// Where the scenario runs.
    pub kind: Kind,
    scenario: &'static Scenario,
    began: Instant,
    directory: PathBuf,
    directories: AtomicU32,
    outcomes: Vec<Outcome>,
}

impl<'a> Run<'a> {
    /// A run of `scenario` on `kind`, in a new directory.
    pub fn new(project: &'a Project, scenario: &'static Scenario, kind: Kind) -> Result<Self> {
        let directory = project.scratch().join(format!("{}-{kind}", scenario.name));
        std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self {
            project,
            kind,
            scenario,
            began: Instant::now(),
            directory,
            directories: AtomicU32::new(0),
            outcomes: Vec::new(),
        })
    }

    /// When the scenario must be over.
    pub fn deadline(&self) -> Instant {
        self.began + Duration::from_secs(self.scenario.seconds)
    }

    /// The scenario's scratch directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A new directory below the scenario's.
    pub fn new_directory(&self, name: &str) -> Result<PathBuf> {
        let number = self.directories.fetch_add(1, Ordering::Relaxed);
        let directory = self.directory.join(format!("{name}-{number}"));
        std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(directory)
    }

    /// Keeps the promise of this name: runs `body` and notes what came of it. A failure does not end the scenario.
    pub fn promise(&mut self, name: &str, body: impl FnOnce(&Self) -> Result<()>) {
        let promise = self.scenario.promises.iter().find(|promise| promise.name == name);
        let promise = promise.unwrap_or_else(|| panic!("scenario {} does not list {name}", self.scenario.name));
        let began = Instant::now();
        let result = body(self);
        let failure = result.err().map(|error| format!("{error:#}"));
        self.outcomes.push(Outcome { promise, kind: self.kind, seconds: began.elapsed().as_secs_f32(), failure });
    }

    /// Notes every promise that has no result yet as kept: for scenarios that are one promise.
    pub fn promises_kept(&mut self) {
        for promise in self.scenario.promises {
            if !self.outcomes.iter().any(|outcome| outcome.promise == promise) {
                let seconds = self.began.elapsed().as_secs_f32();
                self.outcomes.push(Outcome { promise, kind: self.kind, seconds, failure: None });
            }
        }
    }

    /// Ends the run. Promises without a result failed; the directory stays if any did.
    pub fn finish(mut self, result: Result<()>) -> Vec<Outcome> {
        let reason = result.err().map_or_else(|| "was never tried".into(), |error| format!("{error:#}"));
        for promise in self.scenario.promises {
            if !self.outcomes.iter().any(|outcome| outcome.promise == promise) {
                let failure = Some(reason.clone());
                self.outcomes.push(Outcome { promise, kind: self.kind, seconds: 0.0, failure });
            }
        }
        if self.outcomes.iter().all(|outcome| outcome.failure.is_none()) {
            // What cannot be removed is removed with build/ later.
            let _ = std::fs::remove_dir_all(&self.directory);
        } else {
            for outcome in &mut self.outcomes {
                if let Some(failure) = &mut outcome.failure {
                    failure.push_str(&format!("\n  kept: {}", self.directory.display()));
                }
            }
        }
        self.outcomes
    }
}
