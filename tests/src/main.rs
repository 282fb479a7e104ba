//! The QEMU harness: one test per promise of the issue, run two machines at a time.
//!
//! ```text
//! bulkhead-tests [--list] [--long] [--plain] [--began EPOCH] [--since EPOCH] [FILTER...]   run (or list) what matches any filter
//! bulkhead-tests bench [--accept]                                print the instruction counts
//! ```
//! A filter matches an id, a machine, or part of a test's or scenario's name: of a scenario, all is run. `--plain` boots Linux without
//! Bulkhead, to tell a guest's fault from the hypervisor's. The last line is `N passed, N failed`.

mod bench;
mod bundle;
mod control;
mod conversation;
mod counters;
mod disk;
mod disk_figures;
mod elcount;
mod figures;
mod gdb;
mod host;
mod interrupts;
mod life;
mod machine;
mod monitor;
mod net_figures;
mod pi_figures;
mod probe;
mod project;
mod promises;
mod run;
mod runner;
mod scenario;
mod sd;
mod shell;
mod symbols;
mod terminal;
mod transcript;
mod uplink;

use anyhow::{Context, Result, bail};
use std::process::ExitCode;

const USAGE: &str =
    "usage: bulkhead-tests [--list] [--long] [--plain] [--since EPOCH] [FILTER...] | bulkhead-tests bench [--accept]";

fn main() -> ExitCode {
    match serve() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bulkhead-tests: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|first| first == "bench").is_some() {
        return match (arguments.next().as_deref(), arguments.next()) {
            (None, None) => bench::print(false),
            (Some("--accept"), None) => bench::print(true),
            _ => bail!(USAGE),
        };
    }
    let mut plan = runner::Plan::default();
    let mut is_list = false;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => is_list = true,
            "--long" => plan.is_long = true,
            "--plain" => plan.is_plain = true,
            "--began" | "--since" => {
                let epoch = arguments.next().context(USAGE)?;
                let epoch = epoch.parse().with_context(|| format!("{argument} {epoch}: seconds since 1970"))?;
                *(if argument == "--began" { &mut plan.began } else { &mut plan.started }) = Some(epoch);
            }
            option if option.starts_with('-') => bail!("{option}: no such option; {USAGE}"),
            _ => plan.filters.push(argument),
        }
    }
    if is_list {
        runner::list(&plan);
        return Ok(ExitCode::SUCCESS);
    }
    runner::run(&plan)
}
