//! From a system file to a placed and validated system: every mistake of the file in one run.

mod builder;
mod ingredients;
mod pack;
mod service;

use crate::board::{PLATFORMS, Platform};
use crate::diagnostic::Diagnostic;
use crate::file::{Source, SystemFile};
use crate::kernel::Bytes;
use crate::locate;
use addr::{Pa, Region};
use builder::Builder;
use ingredients::Ingredients;
use manifest::{Board, ConsoleMode, Mistake, OnPanic, System, WhenAllStopped};

/// A system without mistakes, and the bytes that go with it.
#[derive(Debug)]
pub struct Plan {
    /// The board.
    pub platform: &'static Platform,
    /// The manifest. Payload offsets and bundle size are for an EL2 binary of the largest size.
    pub system: System,
    /// `contents[p][n]`: the bytes of payload `n` of partition `p`.
    pub contents: Vec<Vec<Bytes>>,
    /// The format of each partition's kernel.
    pub formats: Vec<&'static str>,
    /// What the service partition is told, where there is one.
    pub service: Option<abi::plan::Plan>,
    /// The names of the system's channels.
    pub channels: Vec<String>,
    /// The board's pins that partitions have: number, owner and function.
    pub pins: Vec<(u16, String)>,
}

/// Plans what `source` says; the mistakes, if it has any.
pub fn plan(source: &Source) -> Result<Plan, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let file = crate::file::parse(&source.text, &mut found);
    let plan = make(source, &file, &mut found);
    match plan {
        Some(plan) if found.is_empty() => Ok(plan),
        _ => Err(found),
    }
}

fn make(source: &Source, file: &SystemFile, found: &mut Vec<Diagnostic>) -> Option<Plan> {
    crate::disks::check(source, file, found);
    crate::network::check(file, found);
    crate::channels::check(file, found);
    crate::window::check(file, found);
    crate::pins::check(file, found);
    let mut shelf = ingredients::Shelf::default();
    let ingredients: Vec<Ingredients> = file.all().map(|partition| shelf.fetch(source, partition, found)).collect();
    // Without a board, names and cores can still be judged, on any board.
    let platform = file.board.value().copied().unwrap_or(&PLATFORMS[0]);
    let board = platform.board;
    let machine = file.machine(board);

    let mut builder = Builder::new(platform, file, &ingredients);
    let placed = builder.system(machine);
    let Builder { known, mut late, plan: service, channels, .. } = builder;
    let is_board_known = file.board.value().is_some();
    let mut mistakes = if is_board_known { machine_mistakes(file, board) } else { Vec::new() };
    if let Some((system, _)) = placed.as_ref().filter(|_| mistakes.is_empty()) {
        manifest::validate(board, system, &mut |mistake| mistakes.push(mistake));
    } else {
        // What does not fit a machine that cannot be is no further mistake.
        late.retain(|_| mistakes.is_empty());
    }
    if board.trees(machine).count() > 1 {
        mistakes.retain(|mistake| !locate::is_about_the_v2_tree(mistake));
    }
    if !is_board_known {
        mistakes.retain(locate::needs_no_board);
        late.clear();
    }
    found.extend(late);
    found.extend(mistakes.iter().filter_map(|mistake| locate::diagnose(file, &known, mistake)));
    if let (true, Some(mistake)) = (found.is_empty(), mistakes.first()) {
        // A consequence of nothing that was reported: it is told, wherever it comes from.
        let span = file.board.span().unwrap_or(0..0);
        found.push(Diagnostic::new(span, mistake.problem().to_string(), mistake.mend().to_string()));
    }
    let (system, contents) = placed?;
    let formats = ingredients.iter().map(|i| i.kernel.as_ref().map_or("", |kernel| kernel.format())).collect();
    let pins = crate::pins::owners(file);
    Some(Plan { platform, system, contents, formats, service, channels, pins })
}

/// What is wrong with the machine that `file` asks for, whatever it is to run.
pub fn machine_mistakes(file: &SystemFile, board: &Board) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let Some(pool) = whole(board) else { return mistakes };
    manifest::validate(board, &empty(file, board, pool), &mut |mistake| mistakes.push(mistake));
    mistakes.retain(locate::is_about_the_machine);
    mistakes
}

/// A pool that is large enough for any system, until there is one with a place.
fn whole(board: &Board) -> Option<Region<Pa>> {
    Region::new(board.load_address, u64::MAX >> 1)
}

/// The system of `file` without partitions.
fn empty(file: &SystemFile, board: &Board, pool: Region<Pa>) -> System {
    System {
        board: board.name.try_into().unwrap_or_default(),
        machine: file.machine(board),
        console: file.console.value().copied().unwrap_or(ConsoleMode::Interactive),
        when_all_stopped: file.when_all_stopped.value().copied().unwrap_or(WhenAllStopped::PowerOff),
        scrub_at_boot: file.scrub_at_boot.value().copied().unwrap_or(false),
        on_hypervisor_panic: file.on_hypervisor_panic.value().copied().unwrap_or(OnPanic::Stop),
        pool,
        bundle_size: 0,
        partitions: heapless::Vec::new(),
        service: None,
        channels: heapless::Vec::new(),
    }
}
