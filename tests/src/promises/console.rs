//! B40 to B43 and what `make qemu` promises: the demo as a user sees it, on a terminal.

use crate::control::{Report, check_beat};
use crate::conversation::Conversation;
use crate::counters::{CTRL_T, Counters};
use crate::life::History;
use crate::machine::Recipe;
use crate::promises::linux::{BOOT, gic};
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use crate::shell::{Shell, View, drawn, own_text};
use crate::terminal::Terminal;
use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

/// Seconds for a short command.
const SHORT: u64 = 20;
/// Seconds that `make qemu` may build on a machine where nothing is built.
const BUILD: u64 = 300;
/// A whole second run of `make qemu` shows control's first line within this many seconds.
const SECOND_RUN: u64 = 15;

/// U01, B40 to B43.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "demo",
        kinds: &[Kind::V3, Kind::V2],
        when: When::Always,
        seconds: 700,
        promises: &[
            promise("U01", "first_line_says_how_to_leave_and_where_help_is"),
            promise("U01", "boot_log_is_at_most_24_lines_of_100_columns"),
            promise("B30", "shell_answers_on_a_terminal"),
            promise("B40", "each_typed_byte_echoes"),
            promise("B40", "ctrl_c_ends_a_command"),
            promise("B40", "full_screen_editor_draws_and_quits"),
            promise("B40", "pasted_4_kib_arrive_with_their_checksum"),
            promise("B41", "input_reaches_only_the_focused_partition_of_the_demo"),
            promise("B43", "yes_in_linux_leaves_controls_beat"),
            promise("U01", "ctrl_t_shows_help_state_and_counters"),
            promise("S08", "all_of_this_was_the_service_partitions_console"),
        ],
        body: demo,
    },
    Scenario {
        name: "two_hello",
        kinds: &[Kind::V3, Kind::V2],
        when: When::Always,
        seconds: 90,
        promises: &[
            promise("B41", "input_reaches_only_the_focused_partition"),
            promise("B42", "prompt_of_each_guest_is_seen_in_tagged_mode"),
            promise("H12", "board_powers_off_when_all_partitions_have_stopped"),
        ],
        body: two_hello,
    },
    Scenario {
        name: "free_core",
        kinds: &[Kind::V3, Kind::V2],
        when: When::Always,
        seconds: 60,
        promises: &[promise("H03", "console_work_stays_off_owned_cores_where_one_is_free")],
        body: free_core,
    },
    Scenario {
        name: "u_boot",
        kinds: &[Kind::V3, Kind::V2],
        when: When::LongOn(Kind::V2),
        seconds: 200,
        promises: &[
            promise("B60", "u_boot_reaches_its_prompt_and_takes_commands"),
            promise("B42", "u_boot_and_shell_prompts_are_seen_in_tagged_mode"),
        ],
        body: u_boot,
    },
    Scenario {
        name: "second_run",
        kinds: &[Kind::V3],
        when: When::Alone,
        seconds: 400,
        promises: &[promise("U01", "second_make_qemu_without_network_shows_control_within_15_s")],
        body: second_run,
    },
    Scenario {
        name: "qemu_bare",
        kinds: &[Kind::V3, Kind::V2],
        when: When::Always,
        seconds: 400,
        promises: &[promise("U01", "make_qemu_bare_runs_two_bare_metal_guests")],
        body: qemu_bare,
    },
    Scenario {
        name: "own_linux",
        kinds: &[Kind::V3],
        when: When::Always,
        seconds: 400,
        promises: &[promise("U01", "make_qemu_takes_the_users_own_kernel_and_initrd")],
        body: own_linux,
    },
    Scenario {
        name: "without_terminal",
        kinds: &[Kind::V3],
        when: When::Always,
        seconds: 400,
        promises: &[promise("U01", "make_qemu_works_without_input")],
        body: without_terminal,
    },
];

/// Ctrl-C, Ctrl-D, Escape.
const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;

fn demo(run: &mut Run) -> Result<()> {
    let _disk = run.project.demo_disk();
    let gic = format!("GIC={}", gic(run.kind).number());
    let mut terminal = Terminal::start(run, "make", &["qemu", &gic])?;
    let console = &mut terminal.console;
    run.promise("first_line_says_how_to_leave_and_where_help_is", |_| {
        let first = console.expect_line("the first line", BUILD, |line| Some(line.to_owned()))?;
        ensure!(first.contains("Ctrl-A x") && first.contains("Ctrl-T ?"), "the first line is {first:?}");
        Ok(())
    });
    console.expect("bulkhead| ", BUILD).context("EL2 said nothing")?;
    console.expect("GUEST-READY", BOOT)?;
    run.promise("boot_log_is_at_most_24_lines_of_100_columns", |_| boot_log(&console.transcript().text_from(0)));
    console.expect("# ", SHORT)?;
    let mut shell = Shell::at_prompt(console, View::Raw);
    run.promise("shell_answers_on_a_terminal", |_| {
        let answer = shell.run("echo $((6*7))", SHORT)?;
        ensure!(answer == "42", "the shell said {answer:?}");
        Ok(())
    });
    run.promise("each_typed_byte_echoes", |_| echo(shell.console()));
    run.promise("ctrl_c_ends_a_command", |_| ctrl_c(&mut shell));
    run.promise("full_screen_editor_draws_and_quits", |_| editor(&mut shell));
    run.promise("pasted_4_kib_arrive_with_their_checksum", |_| paste(&mut shell));
    run.promise("input_reaches_only_the_focused_partition_of_the_demo", |_| focus_elsewhere(&mut shell));
    run.promise("yes_in_linux_leaves_controls_beat", |_| yes(&mut shell));
    run.promise("ctrl_t_shows_help_state_and_counters", |_| help_and_state(shell.console()));
    run.promise("all_of_this_was_the_service_partitions_console", |_| served(shell.console()));
    Ok(())
}

/// What EL2 says until the first guest speaks.
fn boot_log(text: &str) -> Result<()> {
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("bulkhead| ")).collect();
    ensure!((1..=24).contains(&lines.len()), "the boot log has {} lines", lines.len());
    let long = lines.iter().find(|line| line.chars().count() > 100);
    ensure!(long.is_none(), "a line of the boot log has more than 100 columns: {long:?}");
    for owner in ["linux", "control"] {
        ensure!(lines.iter().any(|line| line.contains(owner)), "the boot log does not say what {owner} owns");
    }
    Ok(())
}

/// Types one byte at a time, each only when the last one was seen.
fn echo(console: &mut Conversation) -> Result<()> {
    console.skip();
    for byte in "echo The-quick_brown.fox/0123456789".bytes() {
        console.send([byte])?;
        console.expect(&char::from(byte).to_string(), SHORT).context("no echo")?;
    }
    console.send("\n")?;
    console.expect("The-quick_brown.fox/0123456789", SHORT)?;
    console.expect("# ", SHORT).map(drop)
}

fn ctrl_c(shell: &mut Shell) -> Result<()> {
    // In one process, so that the interrupt finds the foreground job however soon it comes.
    shell.console().send("sh -c 'echo asleep$((1+1)); exec sleep 100'\n")?;
    shell.console().expect("asleep2", SHORT)?;
    shell.console().send([CTRL_C])?;
    shell.console().expect("# ", SHORT).context("Ctrl-C did not end `sleep 100`")?;
    let (status, _) = shell.status("pidof sleep", SHORT)?;
    ensure!(status == 1, "`sleep 100` still runs");
    Ok(())
}

fn editor(shell: &mut Shell) -> Result<()> {
    let console = shell.console();
    console.send("vi /tmp/note\n")?;
    let draws = |console: &mut Conversation, wanted: &str| {
        let (seen, deadline) = (console.seen(), console.deadline(SHORT));
        console.transcript().wait(seen, deadline, &format!("vi to draw {wanted:?}"), |bytes| {
            drawn(bytes).contains(wanted).then_some(())
        })?;
        console.skip();
        anyhow::Ok(())
    };
    // It clears the screen, draws a tilde on each empty line, and its status line last.
    console.expect("\x1b[", SHORT)?;
    console.expect("~", SHORT)?;
    draws(console, "- /tmp/note")?;
    console.send("ifull screen")?;
    draws(console, "I /tmp/note")?;
    // A user's Escape comes alone; with more behind it at once it would be a function key.
    console.send("\x1b")?;
    draws(console, "- /tmp/note").context("vi took no Escape")?;
    console.send(":wq\n")?;
    console.expect("# ", SHORT).context("vi did not quit")?;
    let text = shell.run("cat /tmp/note", SHORT)?;
    ensure!(text == "full screen", "vi wrote {text:?}");
    Ok(())
}

/// A text's SHA-256, as `sha256sum` writes it.
pub fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 64 lines of 64 bytes, pasted at once while the terminal echoes them.
pub fn paste(shell: &mut Shell) -> Result<()> {
    let lines = (0..64).map(|n: u32| format!("{n:02} {:0>60}\n", n.wrapping_mul(2_654_435_761)));
    let block: String = lines.collect();
    ensure!(block.len() == 4096, "the block has {} bytes", block.len());
    let digest = sha256(&block);
    shell.console().send("echo paste$((1+1)); cat >/tmp/pasted\n")?;
    shell.console().expect("paste2", SHORT)?;
    shell.console().send(&block)?;
    let (seen, deadline) = (shell.console().seen(), shell.console().deadline(60));
    let last = block.lines().last().unwrap_or_default();
    let echo = shell.console().transcript().wait(seen, deadline, "the echo of the last pasted line", |bytes| {
        // On a slow host it may be broken by another partition's line.
        let text = own_text(&String::from_utf8_lossy(bytes), View::Raw).replace('\n', "");
        text.contains(last).then_some(())
    });
    if echo.is_err() {
        // The promises behind this one want a shell.
        shell.console().send([CTRL_C])?;
        return echo;
    }
    shell.console().skip();
    shell.console().send([CTRL_D])?;
    shell.console().expect("# ", SHORT)?;
    let said = shell.run("wc -c </tmp/pasted; sha256sum </tmp/pasted", SHORT)?;
    ensure!(said.contains(&digest), "4096 bytes with SHA-256 {digest} were pasted, this arrived:\n{said}");
    Ok(())
}

fn focus_elsewhere(shell: &mut Shell) -> Result<()> {
    shell.console().send([CTRL_T, b'2'])?;
    shell.console().send("touch /tmp/leaked\n")?;
    shell.console().send([CTRL_T, b'1'])?;
    let (status, _) = shell.status("ls /tmp/leaked", SHORT)?;
    ensure!(status == 1, "what was typed to control reached linux: status {status}");
    Ok(())
}

fn yes(shell: &mut Shell) -> Result<()> {
    shell.console().send("yes\n")?;
    shell.console().expect_line("a line of `yes`", SHORT, |line| (line == "y").then_some(()))?;
    let beat = check_beat(shell.console(), 1);
    // In any case: the promises behind this one want a shell.
    shell.console().send([CTRL_C])?;
    // What comes while the flood is still ahead of the UART is dropped with its lines.
    let mut ended = shell.run("true", 10);
    for _ in 0..5 {
        ended = ended.or_else(|_| shell.run("true", 10));
    }
    ended.context("Ctrl-C did not end `yes`")?;
    beat.map(drop)
}

fn help_and_state(console: &mut Conversation) -> Result<()> {
    console.send([CTRL_T, b'?'])?;
    console
        .expect_line("the help", SHORT, |line| (line.contains("Ctrl-T") && line.contains("keyboard")).then_some(()))?;
    for vcpu in ["linux/v0", "linux/v1", "control/v0"] {
        let counters = Counters::ask(console, vcpu)?;
        ensure!(counters.of("forwarded")? > 0, "no interrupt was ever forwarded to {vcpu}: {counters:?}");
    }
    Ok(())
}

/// The service partition's first and only life has the console: each typed byte is one of its hypercalls.
fn served(console: &mut Conversation) -> Result<()> {
    const TYPED: &str = "echo typed to the service partition\n";
    let history = History::ask(console, "service")?;
    ensure!((history.state.as_str(), history.restarts) == ("running", 0), "the service partition is {history:?}");
    let before = Counters::ask(console, "service/v0")?.of("hvc")?;
    console.send(TYPED)?;
    console.expect("\ntyped to the service partition", SHORT)?;
    let calls = Counters::ask(console, "service/v0")?.of("hvc")? - before;
    ensure!(calls >= TYPED.len() as u64, "the service partition made {calls} calls for {} bytes", TYPED.len());
    Ok(())
}

fn two_hello(run: &mut Run) -> Result<()> {
    two_hello_of(run, "two-hello")
}

/// The promises of scenario `two_hello`, kept by `tests/systems/SYSTEM.toml`.
pub fn two_hello_of(run: &mut Run, system: &str) -> Result<()> {
    let image = run.project.image(system)?;
    let mut machine = Recipe::virt(gic(run.kind)).kernel(&image).start(run)?;
    let console = &mut machine.console;
    run.promise("prompt_of_each_guest_is_seen_in_tagged_mode", |_| {
        console.expect("alice| hello> ", SHORT)?;
        console.send([CTRL_T, b'2'])?;
        console.send("ticks\n")?;
        console.expect("bob| hello> ", SHORT).map(drop)
    });
    run.promise("input_reaches_only_the_focused_partition", |_| {
        console.send([CTRL_T, b'1'])?;
        console.send("ticks\n")?;
        console.skip();
        console.send("to-alice\n")?;
        console.expect("alice| hello: no command 'to-alice'", SHORT)?;
        console.send([CTRL_T, b'2'])?;
        console.send("to-bob\n")?;
        console.expect("bob| hello: no command 'to-bob'", SHORT)?;
        console.send([CTRL_T, b'1'])?;
        console.send("to-alice-again\n")?;
        console.expect("alice| hello: no command 'to-alice-again'", SHORT)?;
        // Whatever came to him before this, he has answered.
        console.send([CTRL_T, b'2'])?;
        console.send("to-bob-again\n")?;
        console.expect("bob| hello: no command 'to-bob-again'", SHORT)?;
        let text = console.transcript().text_from(0);
        let crossed =
            text.contains("bob| hello: no command 'to-alice") || text.contains("alice| hello: no command 'to-bob");
        ensure!(!crossed, "a line reached the wrong partition:\n{text}");
        Ok(())
    });
    run.promise("board_powers_off_when_all_partitions_have_stopped", |_| {
        let console = &mut machine.console;
        for (key, stopped) in [(b'1', "'alice' stopped"), (b'2', "'bob' stopped")] {
            console.send([CTRL_T, key])?;
            console.send("off\n")?;
            console.expect(stopped, SHORT)?;
        }
        console.expect("powers off", SHORT)?;
        machine.expect_power_off(SHORT)
    });
    Ok(())
}

/// The boot core belongs to the guest, the others to nobody.
fn free_core(run: &mut Run) -> Result<()> {
    run.promise("console_work_stays_off_owned_cores_where_one_is_free", |run| {
        let kernel = run.project.built("build/guests/hello.elf")?;
        let system = run.directory().join("free-core.toml");
        let text = format!(
            "board = \"qemu-virt\"\nconsole = \"tagged\"\n\
            [[partition]]\nname = \"hello\"\ncores = [0]\nmemory = \"8M\"\nkernel = {kernel:?}\n"
        );
        std::fs::write(&system, text)?;
        let image = run.project.image_of(&format!("free-core-{}", run.kind), &system)?;
        let console = &mut Recipe::virt(gic(run.kind)).kernel(&image).start(run)?.console;
        console.expect("hello| hello> ", SHORT)?;
        let counters = Counters::ask(console, "hello/v0")?;
        let own = counters.of("own")?;
        ensure!(own == 0, "the guest's core took {own} of EL2's own interrupts");
        Ok(())
    });
    Ok(())
}

fn u_boot(run: &mut Run) -> Result<()> {
    let image = run.project.image("u-boot")?;
    let mut machine = Recipe::virt(gic(run.kind)).kernel(&image).start(run)?;
    let console = &mut machine.console;
    console.expect("Hit any key to stop autoboot", 60)?;
    console.send(" ")?;
    // Autoboot tries what there is first if the key came late.
    console.expect("=> ", 90)?;
    run.promise("u_boot_reaches_its_prompt_and_takes_commands", |_| {
        console.send("printenv arch\n")?;
        console.expect("arch=arm", SHORT)?;
        console.expect("=> ", SHORT)?;
        console.send("bdinfo\n")?;
        console.expect("-> size     = 0x0000000008000000", SHORT).context("bdinfo does not show 128 MiB of RAM")?;
        Ok(())
    });
    run.promise("u_boot_and_shell_prompts_are_seen_in_tagged_mode", |_| {
        let text = console.transcript().text_from(0);
        ensure!(text.contains("\nu-boot| => "), "no tagged `=> `:\n{text}");
        console.send([CTRL_T, b'2'])?;
        // The shell may have come up long ago: what was said before counts too.
        let deadline = console.deadline(BOOT);
        console.transcript().wait(0, deadline, "linux's tagged prompt", |bytes| {
            let text = String::from_utf8_lossy(bytes);
            text.lines().any(|line| line.starts_with("linux| / # ")).then_some(())
        })
    });
    Ok(())
}

fn second_run(run: &mut Run) -> Result<()> {
    drop(until_control(run, "make", &["qemu"], BUILD)?);
    run.promise("second_make_qemu_without_network_shows_control_within_15_s", |run| {
        // A network name space of its own has no way out.
        until_control(run, "unshare", &["--map-root-user", "--net", "make", "qemu"], SECOND_RUN).map(drop)
    });
    Ok(())
}

fn until_control(run: &Run, program: &str, arguments: &[&str], seconds: u64) -> Result<Terminal> {
    let mut terminal = Terminal::start(run, program, arguments)?;
    terminal.console.expect("control| ", seconds)?;
    Ok(terminal)
}

fn qemu_bare(run: &mut Run) -> Result<()> {
    run.promise("make_qemu_bare_runs_two_bare_metal_guests", |run| {
        let gic = gic(run.kind).number();
        let mut terminal = Terminal::start(run, "make", &["qemu-bare", &format!("GIC={gic}")])?;
        terminal.console.expect(&format!("GICv{gic}"), BUILD)?;
        terminal.console.expect("hello> ", SHORT)?;
        Report::check_next(&mut terminal.console, 1).map(drop)
    });
    Ok(())
}

fn own_linux(run: &mut Run) -> Result<()> {
    // In the demo it would be the cloud kernel.
    let files = [("KERNEL", "Image"), ("INITRD", "initramfs.cpio.gz")];
    let given = files.map(|(variable, file)| format!("{variable}=build/guests/linux-generic/{file}"));
    run.promise("make_qemu_takes_the_users_own_kernel_and_initrd", |run| {
        let _disk = run.project.demo_disk();
        let mut terminal = Terminal::start(run, "make", &["qemu", &given[0], &given[1]])?;
        terminal.console.expect("bulkhead| ", BUILD)?;
        let mut shell = Shell::attach(&mut terminal.console, View::Raw, BOOT)?;
        let release = shell.run("uname -r", SHORT)?;
        ensure!(!release.contains("cloud") && release.ends_with("-arm64"), "uname -r says {release:?}");
        Ok(())
    });
    Ok(())
}

fn without_terminal(run: &mut Run) -> Result<()> {
    run.promise("make_qemu_works_without_input", |run| {
        let _disk = run.project.demo_disk();
        let mut terminal = until_control(run, "sh", &["-c", "exec make qemu </dev/null"], BUILD)?;
        Report::check_next(&mut terminal.console, 2).map(drop)
    });
    Ok(())
}
