//! Runs scenarios two at a time and prints a line per promise.

use crate::project::Project;
use crate::promises;
use crate::run::{Outcome, Run};
use crate::scenario::{Kind, Promise, Scenario, When};
use anyhow::Result;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// QEMUs at a time: the promise is two cores.
const WORKERS: usize = 2;
/// Most time for checks and QEMU tests together. What a fresh clone compiles and fetches first is not in it.
const BUDGET: Duration = Duration::from_secs(25 * 60);
/// Most time for all of it in a fresh clone, where what compiles and what fetches depends on the host.
const WHOLE_BUDGET: Duration = Duration::from_secs(40 * 60);

/// What to run.
#[derive(Default)]
pub struct Plan {
    /// Whether long scenarios run too.
    pub is_long: bool,
    /// Whether Linux boots without Bulkhead.
    pub is_plain: bool,
    /// When the checks began, in seconds since 1970; now if not given.
    pub started: Option<u64>,
    /// When `make` began, in the same way: what it compiled and fetched first is held to a bound of its own.
    pub began: Option<u64>,
    /// What to run: nothing means all.
    pub filters: Vec<String>,
}

/// One scenario on one machine.
type Job = (&'static Scenario, Kind);

impl Plan {
    /// Whether a filter matches any of it. Its promises build on each other, so all are kept then.
    fn wants(&self, scenario: &Scenario, kind: Kind) -> bool {
        let matches = |filter: &String| {
            let of = |promise: &Promise| promise.id == filter || promise.name.contains(filter);
            kind.to_string() == *filter || scenario.name.contains(filter) || scenario.promises.iter().any(of)
        };
        self.filters.is_empty() || self.filters.iter().any(matches)
    }

    /// By the seconds they may take.
    fn jobs(&self) -> Vec<Job> {
        let mut jobs: Vec<Job> = promises::all()
            .flat_map(|scenario| scenario.kinds.iter().map(move |&kind| (scenario, kind)))
            .filter(|&(scenario, kind)| self.is_long || !scenario.when.is_long_on(kind))
            .filter(|&(scenario, kind)| self.wants(scenario, kind))
            .collect();
        jobs.sort_by_key(|(scenario, _)| scenario.seconds);
        jobs
    }
}

/// Prints `id machine name` for each promise that has a test.
pub fn list(plan: &Plan) {
    let mut lines: Vec<String> = Vec::new();
    for (scenario, kind) in plan.jobs() {
        lines.extend(scenario.promises.iter().map(|promise| format!("{} {kind} {}", promise.id, promise.name)));
    }
    lines.sort();
    for line in lines {
        println!("{line}");
    }
}

/// Runs the plan; fails if a promise broke or the budget is exceeded.
pub fn run(plan: &Plan) -> Result<ExitCode> {
    let began = Instant::now();
    let project = Project::open(plan.is_plain)?;
    if !plan.is_plain {
        project.build_tool()?;
    }
    let (alone, beside): (Vec<Job>, Vec<Job>) = plan.jobs().into_iter().partition(|(s, _)| s.when == When::Alone);
    let results = Mutex::new(Vec::new());
    work(&project, beside, WORKERS, &results);
    work(&project, alone, 1, &results);

    let outcomes = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    project.close(failed == 0);
    for outcome in &outcomes {
        // Once more at the end, with the reason: of a long run often only the end is at hand.
        let Some(failure) = &outcome.failure else { continue };
        let reason = failure.lines().next().unwrap_or_default();
        println!("FAILED {} {} {}: {reason}", outcome.promise.id, outcome.kind, outcome.promise.name);
    }
    let since = |epoch| SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_secs(epoch)).unwrap_or_default();
    let spent = plan.started.map_or(began.elapsed(), since);
    let whole = plan.began.map_or(spent, since);
    let is_late = !plan.is_long && (spent > BUDGET || whole > WHOLE_BUDGET);
    let of = |budget: Duration| if plan.is_long { String::new() } else { format!(" of {} s", budget.as_secs()) };
    println!("total {:.0} s{}", spent.as_secs_f32(), of(BUDGET));
    println!("with what was compiled and fetched first {:.0} s{}", whole.as_secs_f32(), of(WHOLE_BUDGET));
    if is_late {
        println!("over budget: find the slow ones above, or move a torture to --long");
    }
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    Ok(if failed == 0 && !is_late && !outcomes.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One worker takes the short ones first, so that a broken tree says so early; the others take the long ones first, so
/// that no long one is left over for the end.
fn work(project: &Project, jobs: Vec<Job>, workers: usize, results: &Mutex<Vec<Outcome>>) {
    let queue = Mutex::new(VecDeque::from(jobs));
    let next = |worker: usize| {
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        if worker == 0 { queue.pop_front() } else { queue.pop_back() }
    };
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let next = &next;
            scope.spawn(move || {
                while let Some((scenario, kind)) = next(worker) {
                    let outcomes = keep(project, scenario, kind);
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    outcomes.iter().for_each(print);
                    results.extend(outcomes);
                }
            });
        }
    });
}

/// Runs one scenario to its outcomes, whatever happens in it.
fn keep(project: &Project, scenario: &'static Scenario, kind: Kind) -> Vec<Outcome> {
    let mut run = match Run::new(project, scenario, kind) {
        Ok(run) => run,
        Err(error) => {
            let failure = Some(format!("{error:#}"));
            let promises = scenario.promises.iter();
            return promises.map(|promise| Outcome { promise, kind, seconds: 0.0, failure: failure.clone() }).collect();
        }
    };
    let result = catch_unwind(AssertUnwindSafe(|| (scenario.body)(&mut run)));
    let result = result.unwrap_or_else(|_| Err(anyhow::anyhow!("the test itself panicked (its message is above)")));
    run.finish(result)
}

fn print(outcome: &Outcome) {
    let Outcome { promise, kind, seconds, failure } = outcome;
    let result = if failure.is_some() { "FAILED" } else { "ok" };
    println!("{:<5} {kind:<4} {:<52} {result:<6} {seconds:6.1}", promise.id, promise.name);
    for line in failure.iter().flat_map(|text| text.lines()) {
        println!("      {line}");
    }
}
