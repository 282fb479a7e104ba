//! L01 to L13: a guest may crash or hang, and it comes back, alone. Bare-metal guests here, Linux in [`linux`].
//!
//! One boot per GIC carries most of it, since an end of a life disturbs nothing but its own partition: what a promise
//! needs is that both probes run, and that is how each leaves them.

mod damage;
mod ends;
mod leftovers;
pub mod linux;

use crate::control::Report;
use crate::conversation::Conversation;
use crate::elcount;
use crate::life::{History, is_el2, press_yes};
use crate::machine::{Machine, Recipe};
use crate::monitor::{Monitor, Socket};
use crate::probe::{Answer, Probe, number};
use crate::promises::boot_failures::RPI4_TREE;
use crate::promises::linux::gic;
use crate::run::Run;
use crate::scenario::{Kind, Promise, Scenario, When, promise};
use anyhow::{Context, Result, bail, ensure};

/// Comes back from everything, as often as it likes; two vCPUs.
const AGAIN: Probe = Probe { name: "again", digit: 1 };
/// Stays stopped.
const STAYS: Probe = Probe { name: "stays", digit: 2 };
/// Comes back three times in a minute.
const LIMITED: Probe = Probe { name: "limited", digit: 3 };
/// On the Raspberry Pi 4.
const PI: Probe = Probe { name: "probe", digit: 1 };
/// Seconds until a life has begun.
const SHORT: u64 = 20;
/// Cores of `tests/systems/lives.toml`.
const CORES: u32 = 5;

/// L01, L03 to L09, L12, L13.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "lives",
        kinds: &[Kind::V3, Kind::V2],
        when: When::Always,
        seconds: 300,
        promises: &[
            promise("L01", "every_end_restarts_where_the_system_file_says_restart"),
            promise("L01", "every_end_stops_where_the_system_file_says_stop"),
            promise("L01", "keys_restart_and_stop_whatever_the_system_file_says"),
            promise("L03", "ram_and_registers_hold_nothing_of_the_last_life"),
            promise("L03", "registers_of_vcpu_1_hold_nothing_after_cpu_off_and_after_a_restart"),
            promise("L03", "ram_of_a_stopped_partition_is_zero"),
            promise("L04", "restart_reaches_every_vcpu_wherever_it_is"),
            promise("L04", "restart_in_the_middle_of_cpu_on"),
            promise("L05", "restart_with_interrupts_active_and_pending"),
            promise("L06", "back_off_and_limit_are_as_documented"),
            promise("L06", "without_a_limit_it_comes_back_at_once_every_time"),
            promise("L07", "fault_record_names_cause_and_place"),
            promise("L07", "fault_record_is_kept_until_it_was_read"),
            promise("L08", "bare_metal_watchdog_never_opened_fed_and_starved"),
            promise("L09", "keys_ask_and_any_other_answer_cancels"),
            promise("L09", "keys_that_make_no_sense_are_refused"),
            promise("L09", "power_key_reaches_the_gpio"),
            promise("L01", "control_noticed_nothing"),
        ],
        body: lives,
    },
    on_v3("lives_on_max", 60, &[promise("L03", "ram_and_registers_hold_nothing_of_the_last_life_on_cpu_max")], |run| {
        let (mut machine, _) = boot(run, "max")?;
        leftovers::nothing_is_left(&mut machine.console)?;
        leftovers::nothing_is_left_on_vcpu_1(&mut machine.console, &AGAIN)?;
        run.promises_kept();
        Ok(())
    }),
    on_v3(
        "lives_without_doorbell",
        90,
        &[promise("L04", "restart_of_a_core_that_does_not_answer_its_doorbell")],
        |run| {
            let (mut machine, mut monitor) = boot(run, "cortex-a72")?;
            leftovers::silent_core(&mut machine.console, &mut monitor)?;
            run.promises_kept();
            Ok(())
        },
    ),
    on_v3("lives_counted", 90, &[promise("L01", "core_of_a_stopped_partition_and_of_an_off_vcpu_sleeps")], |run| {
        let counts = run.new_directory("elcount")?.join("out");
        let plugin = format!("{},cores=on", elcount::option(run.project, &counts)?);
        let (mut machine, _) = boot_with(run, "cortex-a72", &["-plugin".into(), plugin])?;
        ends::sleeping(&mut machine.console, &counts)?;
        run.promises_kept();
        Ok(())
    }),
    Scenario {
        name: "lives_of_a_changed_image",
        kinds: &[Kind::V3, Kind::V2],
        when: When::Always,
        seconds: 300,
        promises: &[
            promise("L13", "flipped_byte_in_the_bundle_is_named_and_others_go_on"),
            promise("L13", "restored_byte_lets_it_start_again"),
            promise("L09", "number_of_the_questions_differs_between_two_boots"),
        ],
        body: damage::changed_image,
    },
    Scenario {
        name: "lives_on_raspi4b",
        kinds: &[Kind::Pi],
        when: When::Always,
        seconds: 120,
        promises: &[
            promise("L12", "crash_restarts_on_raspi4b"),
            promise("L12", "reset_restarts_on_raspi4b"),
            promise("L12", "key_restarts_on_raspi4b"),
            promise("L12", "registers_and_interrupts_of_the_last_life_are_gone_on_raspi4b"),
        ],
        body: raspi4b,
    },
];

const fn on_v3(
    name: &'static str,
    seconds: u64,
    promises: &'static [Promise],
    body: fn(&mut Run) -> Result<()>,
) -> Scenario {
    Scenario { name, kinds: &[Kind::V3], when: When::Always, seconds, promises, body }
}

/// `tests/systems/lives.toml` on a `virt` machine, both probes ready.
fn boot(run: &Run, cpu: &str) -> Result<(Machine, Monitor)> {
    boot_with(run, cpu, &[])
}

/// The same, with more `arguments` of QEMU's.
fn boot_with(run: &Run, cpu: &str, arguments: &[String]) -> Result<(Machine, Monitor)> {
    let image = run.project.image("lives")?;
    let socket = Socket::new()?;
    let recipe = Recipe::virt_with(gic(run.kind), cpu, ",virtualization=on").cores(CORES).kernel(&image);
    let recipe = socket.arguments().iter().chain(arguments).fold(recipe, Recipe::arg);
    let mut machine = recipe.start(run)?;
    let monitor = socket.accept(run)?;
    let ready = [AGAIN, STAYS, LIMITED].map(|probe| move |line: &str| probe.begins(line));
    let ready: Vec<&dyn Fn(&str) -> bool> = ready.iter().map(|begins| begins as _).collect();
    machine.console.expect_lines("the first lives", SHORT, &ready)?;
    Ok((machine, monitor))
}

/// The next life of `probe` takes orders; returns its number.
fn comes_back(console: &mut Conversation, probe: &Probe) -> Result<u32> {
    comes_back_after(console, probe, &[]).map(|(life, _)| life)
}

/// EL2 says each of `words`, and the next life of `probe` takes orders; returns its number, and EL2's lines.
fn comes_back_after(console: &mut Conversation, probe: &Probe, words: &[&str]) -> Result<(u32, Vec<String>)> {
    let restarts = format!("partition '{}' restarts: life ", probe.name);
    let words: Vec<_> = words.iter().map(|word| move |line: &str| is_el2(line, word)).collect();
    let (is_entered, begins) = (|line: &str| is_el2(line, &restarts), |line: &str| probe.begins(line));
    let mut choices: Vec<&dyn Fn(&str) -> bool> = vec![&is_entered, &begins];
    choices.extend(words.iter().map(|word| word as &dyn Fn(&str) -> bool));
    let mut lines = console.expect_lines(&format!("a new life of {}", probe.name), SHORT, &choices)?;
    let number = lines.first().and_then(|line| line.rsplit(' ').next()?.parse().ok());
    Ok((number.with_context(|| format!("{lines:?} have no number"))?, lines.split_off(2)))
}

/// A key begins a life of a stopped partition.
fn start(console: &mut Conversation, probe: &Probe) -> Result<()> {
    press_yes(console, probe.digit, b'g')?;
    comes_back(console, probe).map(drop)
}

/// A key begins a new life of a partition in whatever state.
fn restart(console: &mut Conversation, probe: &Probe) -> Result<()> {
    press_yes(console, probe.digit, b'r')?;
    comes_back(console, probe).with_context(|| format!("{} was to be restarted by key", probe.name)).map(drop)
}

/// Timers, console, and, of a partition with two vCPUs, the second one and SGIs both ways: all as in a first life.
fn is_whole(console: &mut Conversation, probe: &Probe, vcpus: usize) -> Result<()> {
    const SGI: u32 = 5;
    probe.ok(console, "timer")?;
    probe.ok(console, &format!("sgi 1 {SGI}"))?;
    taken(console, probe, 0, SGI)?;
    if vcpus > 1 {
        // Not `cpu_on`, which does not wait: a vCPU that sets its GIC up forgets what was pending there.
        probe.ok(console, "park count")?;
        probe.ok(console, &format!("sgi 2 {SGI}"))?;
        taken(console, probe, 1, SGI)?;
        probe.ok(console, "cpu_off 1")?;
    }
    Ok(())
}

/// Waits until `vcpu` has taken `intid` exactly once in this life.
fn taken(console: &mut Conversation, probe: &Probe, vcpu: usize, intid: u32) -> Result<()> {
    // A busy host may take long to run the other vCPU at all.
    let deadline = console.deadline(10);
    let mut said = String::new();
    while std::time::Instant::now() < deadline {
        said = probe.ok(console, "irqs")?;
        let own = said.split(" v").chain(said.strip_prefix('v')).find_map(|part| part.split_once(':')).map(drop);
        ensure!(own.is_some(), "`irqs` said {said:?}");
        match interrupts(&said, vcpu, intid) {
            Some(1) => return Ok(()),
            Some(count) => bail!("{}/v{vcpu} took SGI {intid} {count} times: {said}", probe.name),
            None => {}
        }
    }
    bail!("SGI {intid} did not reach {}/v{vcpu}: {said}", probe.name)
}

/// How often `vcpu` took `intid`, from the answer to `irqs`: `v0: 30=17 v1: 5=1`.
fn interrupts(said: &str, vcpu: usize, intid: u32) -> Option<u64> {
    let words = said.split_whitespace().skip_while(|word| *word != format!("v{vcpu}:")).skip(1);
    let own = words.take_while(|word| !word.starts_with('v'));
    own.filter_map(|word| word.split_once('=')).find(|(id, _)| *id == intid.to_string()).and_then(|(_, n)| number(n))
}

fn lives(run: &mut Run) -> Result<()> {
    let (mut machine, mut monitor) = boot(run, "cortex-a72")?;
    let console = &mut machine.console;
    run.promise("every_end_restarts_where_the_system_file_says_restart", |_| ends::restarting(console));
    run.promise("every_end_stops_where_the_system_file_says_stop", |_| ends::stopping(console));
    run.promise("keys_restart_and_stop_whatever_the_system_file_says", |_| ends::by_key(console));
    run.promise("ram_and_registers_hold_nothing_of_the_last_life", |_| leftovers::nothing_is_left(console));
    run.promise("registers_of_vcpu_1_hold_nothing_after_cpu_off_and_after_a_restart", |_| {
        leftovers::nothing_is_left_on_vcpu_1(console, &AGAIN)
    });
    run.promise("ram_of_a_stopped_partition_is_zero", |run| leftovers::stopped_ram(console, &mut monitor, run));
    run.promise("restart_reaches_every_vcpu_wherever_it_is", |_| leftovers::wherever(console));
    run.promise("restart_in_the_middle_of_cpu_on", |_| leftovers::races(console));
    run.promise("restart_with_interrupts_active_and_pending", |_| leftovers::interrupts_held(console));
    run.promise("back_off_and_limit_are_as_documented", |_| ends::limit(console));
    run.promise("without_a_limit_it_comes_back_at_once_every_time", |_| ends::no_limit(console));
    run.promise("fault_record_names_cause_and_place", |_| ends::record(console));
    run.promise("fault_record_is_kept_until_it_was_read", |_| ends::kept(console));
    run.promise("bare_metal_watchdog_never_opened_fed_and_starved", |_| ends::watchdog(console));
    run.promise("keys_ask_and_any_other_answer_cancels", |_| ends::cancelled(console));
    run.promise("keys_that_make_no_sense_are_refused", |_| ends::refused(console));
    run.promise("power_key_reaches_the_gpio", |_| ends::power_key(console));
    run.promise("control_noticed_nothing", |_| {
        let history = History::ask(console, "control")?;
        ensure!((history.restarts, history.faults) == (0, 0), "control had an end of a life: {history:?}");
        Report::check_next(console, 1).map(drop)
    });
    Ok(())
}

/// Crash, reset and key on the board's own GIC-400, one partition.
fn raspi4b(run: &mut Run) -> Result<()> {
    let image = run.project.image("pi-lives")?;
    let tree = run.project.built(RPI4_TREE)?;
    let mut machine = Recipe::raspi4b(&tree).kernel(&image).start(run)?;
    let console = &mut machine.console;
    console.expect_lines("the first life", SHORT, &[&|line: &str| PI.begins(line)])?;
    run.promise("crash_restarts_on_raspi4b", |_| {
        PI.order(console, "faultloop")?;
        comes_back_after(console, &PI, &["error: probe/v0: fault loop"])?;
        is_whole(console, &PI, 2)
    });
    run.promise("reset_restarts_on_raspi4b", |_| {
        PI.ok(console, "park spin")?;
        PI.order(console, "reset")?;
        comes_back(console, &PI)?;
        is_whole(console, &PI, 2)
    });
    run.promise("key_restarts_on_raspi4b", |_| {
        PI.ok(console, "here loop")?;
        restart(console, &PI)?;
        is_whole(console, &PI, 2)
    });
    run.promise("registers_and_interrupts_of_the_last_life_are_gone_on_raspi4b", |_| {
        leftovers::registers_are_clean(console, &PI)?;
        PI.ok(console, "poison")?;
        PI.ok(console, "park hold")?;
        match PI.ask(console, "here hold")? {
            Answer::Ok(_) => {}
            other => bail!("`here hold` ended in {other:?}"),
        }
        restart(console, &PI)?;
        leftovers::registers_are_clean(console, &PI)?;
        leftovers::nothing_is_left_on_vcpu_1(console, &PI)?;
        is_whole(console, &PI, 2)
    });
    Ok(())
}
