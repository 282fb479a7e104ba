//! What the user sees: tags, raw focus, prompts, and what a hostile guest cannot do to the terminal.

use abi::PartitionId;
use console::{ALL_SOURCES, BURST, HOLD_MS, Mode, Mux, Ring, SOURCES, Source};
use proptest::prelude::*;

const LINUX: usize = 0;
const CONTROL: usize = 1;
const EL2: usize = SOURCES - 1;
const ROOM: usize = 1 << 20;

struct Console {
    mux: Mux,
    rings: Vec<Ring<4096>>,
    seen: Vec<u8>,
    now: u64,
}

impl Console {
    fn new(mode: Mode) -> Self {
        let mut mux = Mux::new(mode);
        mux.set_name(PartitionId::new(0), "linux");
        mux.set_name(PartitionId::new(1), "control");
        let rings = (0..SOURCES).map(|_| Ring::new()).collect();
        let mut console = Self { mux, rings, seen: Vec::new(), now: 1000 };
        console.focus(0);
        console
    }
    fn focus(&mut self, partition: u8) {
        let source = Source::partition(PartitionId::new(partition)).expect("there are so many partitions");
        self.mux.focus(source, self.now, &mut |bytes| self.seen.extend_from_slice(bytes));
    }
    fn pump_within(&mut self, budget: usize) -> bool {
        self.mux.pump(&self.rings, self.now, budget, &mut |bytes| self.seen.extend_from_slice(bytes))
    }
    fn pump(&mut self) -> bool {
        self.pump_within(ROOM)
    }
    fn says(&mut self, source: usize, bytes: impl AsRef<[u8]>) {
        self.rings[source].write(bytes.as_ref());
        self.pump();
    }
    fn wait(&mut self) {
        self.now += HOLD_MS;
        self.pump();
    }
    fn text(&self) -> String {
        String::from_utf8(self.seen.clone()).expect("UTF-8")
    }
}

#[track_caller]
fn shows(console: &Console, expected: &str) {
    assert_eq!(console.text(), expected);
}

#[test]
fn tagged_each_line_starts_with_its_tag() {
    let mut console = Console::new(Mode::Tagged);
    console.says(EL2, "boot\n");
    console.says(LINUX, "one\r\ntwo\n\n");
    console.says(CONTROL, "beat\r\r\n");
    shows(&console, "bulkhead| boot\r\nlinux| one\r\nlinux| two\r\nlinux| \r\ncontrol| beat\r\n");
}

#[test]
fn tagged_a_prompt_is_seen_at_once_and_not_tagged_twice() {
    let mut console = Console::new(Mode::Tagged);
    console.says(LINUX, "=> ");
    shows(&console, "linux| => ");
    console.says(LINUX, "ls\r\n");
    shows(&console, "linux| => ls\r\n");
}

#[test]
fn tagged_an_interrupted_line_goes_on_with_its_tag() {
    let mut console = Console::new(Mode::Tagged);
    console.says(LINUX, "# ");
    console.wait();
    console.says(CONTROL, "beat\n");
    console.says(LINUX, "ls\n");
    shows(&console, "linux| # \r\ncontrol| beat\r\nlinux| ls\r\n");
}

#[test]
fn tagged_a_young_line_is_not_interrupted() {
    let mut console = Console::new(Mode::Tagged);
    console.says(CONTROL, "histo");
    console.says(LINUX, "y\ny\n");
    console.now += HOLD_MS - 1;
    assert!(console.pump(), "linux waits");
    console.says(CONTROL, "gram\n");
    shows(&console, "control| histogram\r\nlinux| y\r\nlinux| y\r\n");
    assert!(!console.pump());
}

#[test]
fn tagged_a_second_prompt_is_seen_within_the_hold_time() {
    let mut console = Console::new(Mode::Tagged);
    console.says(LINUX, "# ");
    console.says(CONTROL, "=> ");
    shows(&console, "linux| # ");
    console.wait();
    shows(&console, "linux| # \r\ncontrol| => ");
}

#[test]
fn a_flooding_partition_does_not_starve_another() {
    let mut console = Console::new(Mode::Tagged);
    console.rings[LINUX].write("y\n".repeat(2000).as_bytes());
    console.rings[CONTROL].write(b"beat\n");
    assert!(console.pump_within(BURST + 64), "more waits");
    assert!(console.text().contains("control| beat\r\n"), "{}", console.text());
}

#[test]
fn a_stream_without_newline_does_not_starve_another() {
    let mut console = Console::new(Mode::Tagged);
    console.says(LINUX, "x".repeat(300));
    console.rings[LINUX].write("x".repeat(3000).as_bytes());
    console.rings[CONTROL].write(b"beat\n");
    console.wait();
    assert!(console.text().contains("\r\ncontrol| beat\r\n"));
}

#[test]
fn tagged_a_lone_carriage_return_starts_a_new_line() {
    let mut console = Console::new(Mode::Tagged);
    console.says(LINUX, "\r10%\r20%\rdone\r\n");
    shows(&console, "linux| 10%\r\nlinux| 20%\r\nlinux| done\r\n");
}

#[test]
fn interactive_the_focused_partition_passes_raw() {
    let mut console = Console::new(Mode::Interactive);
    let all: Vec<u8> = (0..=255).cycle().take(2000).collect();
    console.says(LINUX, &all);
    assert_eq!(console.seen, all);
}

#[test]
fn interactive_complete_lines_of_others_appear_tagged_between() {
    let mut console = Console::new(Mode::Interactive);
    console.says(LINUX, "one\r\n");
    console.says(CONTROL, "be");
    console.says(EL2, "log\n");
    console.says(CONTROL, "at\r\n");
    console.says(LINUX, "two\r\n");
    shows(&console, "one\r\nbulkhead| log\r\ncontrol| beat\r\ntwo\r\n");
}

#[test]
fn interactive_an_open_line_is_ended_for_anothers() {
    let mut console = Console::new(Mode::Interactive);
    console.says(LINUX, "~ # ");
    console.says(CONTROL, "beat\n");
    shows(&console, "~ # ");
    console.wait();
    console.says(LINUX, "ls\r\n");
    shows(&console, "~ # \r\ncontrol| beat\r\nls\r\n");
}

#[test]
fn interactive_a_bare_line_feed_does_not_shift_the_next_tag() {
    let mut console = Console::new(Mode::Interactive);
    console.says(LINUX, "raw\n");
    console.says(CONTROL, "beat\n");
    shows(&console, "raw\n\rcontrol| beat\r\n");
}

#[test]
fn interactive_no_line_breaks_into_a_control_sequence() {
    let mut console = Console::new(Mode::Interactive);
    console.says(LINUX, "~");
    console.now += HOLD_MS;
    console.says(LINUX, "\x1b[1");
    console.says(CONTROL, "beat\n");
    console.says(LINUX, ";31m");
    console.says(LINUX, "\u{1f600}");
    shows(&console, "~\x1b[1;31m\r\ncontrol| beat\r\n\u{1f600}");
    // A sequence that never ends holds nobody for ever.
    console.says(LINUX, "\x1b[");
    console.says(CONTROL, "late\n");
    console.wait();
    assert!(console.text().ends_with("\x1b[\x18\r\ncontrol| late\r\n"));
}

#[test]
fn a_new_focus_shows_the_prompt_that_waited() {
    let mut console = Console::new(Mode::Interactive);
    console.says(CONTROL, "=> ");
    console.says(LINUX, "~ # ");
    shows(&console, "~ # ");
    console.focus(1);
    console.says(CONTROL, "help\r\n");
    console.says(LINUX, "rest\r\n");
    shows(&console, "~ # \r\n=> help\r\nlinux| rest\r\n");
    assert_eq!(console.mux.focused(), Source::partition(PartitionId::new(1)));
}

#[test]
fn long_lines_are_broken_and_each_part_tagged() {
    let mut console = Console::new(Mode::Interactive);
    console.says(CONTROL, format!("{}\n", "ü".repeat(300)));
    let text = console.text();
    let parts: Vec<&str> = text.split_terminator("\r\n").map(|line| line.strip_prefix("control| ").unwrap()).collect();
    assert!(parts.iter().all(|part| part.len() <= 240 && !part.is_empty()));
    assert_eq!(parts.concat(), "ü".repeat(300));
}

#[test]
fn a_line_of_exactly_the_limit_is_not_followed_by_an_empty_one() {
    for len in 230..=242 {
        let mut console = Console::new(Mode::Interactive);
        console.says(CONTROL, format!("{}\nnext\n", "z".repeat(len)));
        assert!(!console.text().contains("control| \r\n"), "{len}");
        assert_eq!(console.text().matches('z').count(), len);
    }
}

#[test]
fn interactive_a_lone_carriage_return_of_another_starts_a_new_line() {
    let mut console = Console::new(Mode::Interactive);
    console.says(CONTROL, "10%\r20%\r\n");
    shows(&console, "control| 10%\r\ncontrol| 20%\r\n");
}

#[test]
fn dropped_lines_are_reported_where_they_are_missing() {
    for mode in [Mode::Tagged, Mode::Interactive] {
        let mut console = Console::new(mode);
        let ring = Ring::<16>::new();
        let rings = [Ring::<16>::new(), ring];
        let mut seen = Vec::new();
        rings[1].write(b"first\nsecond-is-cut\nthird\n");
        console.mux.pump(&rings, 0, ROOM, &mut |bytes| seen.extend_from_slice(bytes));
        rings[1].write(b"fourth\n");
        console.mux.pump(&rings, 0, ROOM, &mut |bytes| seen.extend_from_slice(bytes));
        let expected = "control| first\r\ncontrol| second-is-\r\ncontrol| [2 lines dropped]\r\ncontrol| fourth\r\n";
        assert_eq!(String::from_utf8(seen).unwrap(), expected, "{mode:?}");
    }
}

#[test]
fn one_dropped_line_of_the_focused_partition_is_reported_raw() {
    let mut console = Console::new(Mode::Interactive);
    let rings = [Ring::<4>::new()];
    let mut seen = Vec::new();
    rings[0].write(b"abcdef\r\n");
    console.mux.pump(&rings, 0, ROOM, &mut |bytes| seen.extend_from_slice(bytes));
    assert_eq!(String::from_utf8(seen).unwrap(), "abcd\r\n[1 line dropped]\r\n");
}

#[test]
fn el2_writes_at_once_and_flush_shows_unfinished_lines() {
    let mut console = Console::new(Mode::Interactive);
    console.says(LINUX, "halting");
    console.says(CONTROL, "last words");
    let Console { mux, seen, .. } = &mut console;
    mux.write(Source::EL2, b"power off\n", 1000, &mut |bytes| seen.extend_from_slice(bytes));
    mux.flush(1000, &mut |bytes| seen.extend_from_slice(bytes));
    shows(&console, "halting\r\nbulkhead| power off\r\ncontrol| last words\r\n");
}

#[test]
fn places_without_ring_and_partitions_without_name_are_harmless() {
    let mut mux = Mux::<SOURCES>::new(Mode::Tagged);
    mux.set_name(PartitionId::new(200), "nobody");
    mux.set_name(PartitionId::new(2), "a-name-that-is-too-long");
    assert_eq!((Source::partition(PartitionId::new(200)), Source::virtio_console(PartitionId::new(200))), (None, None));
    let foreign = Source::virtio_console(PartitionId::new(0)).expect("a partition may have one");
    mux.focus(foreign, 0, &mut |_| panic!("nothing to show"));
    assert_eq!(mux.focused(), None);
    let rings = [Ring::<16>::new(), Ring::new(), Ring::new()];
    rings[1].write(b"x\n");
    rings[2].write(b"y\n");
    let mut seen = Vec::new();
    mux.pump(&rings, 0, ROOM, &mut |bytes| seen.extend_from_slice(bytes));
    assert_eq!(seen, b"| x\r\na-name-that-is-| y\r\n");
}

/// A partition and its virtio console, in a multiplexer that has such.
#[test]
fn a_virtio_console_has_a_tag_and_a_focus_of_its_own() {
    let rings: Vec<Ring<256>> = (0..ALL_SOURCES).map(|_| Ring::new()).collect();
    let [uart, virtio] =
        [Source::partition, Source::virtio_console].map(|of| of(PartitionId::new(1)).expect("the second"));
    let mut mux = Mux::<ALL_SOURCES>::new(Mode::Interactive);
    mux.set_name(PartitionId::new(1), "linux");
    let mut seen = Vec::new();
    let mut sink = |bytes: &[u8]| seen.extend_from_slice(bytes);
    mux.focus(uart, 0, &mut sink);
    let mut say = |mux: &mut Mux<ALL_SOURCES>, source: Source, text: &[u8]| {
        rings[source.index()].write(text);
        mux.pump(&rings, 1, 4096, &mut sink);
    };
    say(&mut mux, uart, b"\x1b[1mraw\r\n");
    say(&mut mux, virtio, b"\x1b[1mfiltered\n");
    say(&mut mux, virtio, b"login: ");
    mux.focus(virtio, 1, &mut |bytes: &[u8]| assert_eq!(bytes, b"login: "));
    say(&mut mux, virtio, b"\x1b[2Jroot\r\n");
    say(&mut mux, uart, b"tagged\n");
    say(&mut mux, Source::EL2, b"el2\n");
    let text = String::from_utf8(seen).expect("UTF-8");
    let expected = "\x1b[1mraw\r\nlinux/hvc0| filtered\r\n\x1b[2Jroot\r\nlinux| tagged\r\nbulkhead| el2\r\n";
    assert_eq!(text, expected);
}

/// One step of a run: a source writes a piece, or time passes.
#[derive(Clone, Debug)]
struct Step {
    source: usize,
    piece: Vec<u8>,
    pause_ms: u64,
    budget: usize,
}

fn steps(piece: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<Step>> {
    let source = prop_oneof![Just(LINUX), Just(CONTROL), Just(EL2)];
    let pause = prop_oneof![3 => Just(0u64), 1 => 0u64..2 * HOLD_MS];
    let step = (source, piece, pause, BURST..ROOM).prop_map(|(source, piece, pause_ms, budget)| Step {
        source,
        piece,
        pause_ms,
        budget,
    });
    prop::collection::vec(step, 0..40)
}

/// Pieces of lines that a well-behaved guest writes: words, line ends of both kinds.
fn words() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"alpha ".to_vec()),
        Just("größe".as_bytes().to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"line\nand more".to_vec()),
        Just(vec![b'z'; 300]),
    ]
}

/// Plays the steps, then lets each open line end. What each source wrote, with plain line ends.
fn play(console: &mut Console, steps: &[Step]) -> Vec<String> {
    let mut written = vec![Vec::new(); SOURCES];
    for step in steps {
        console.now += step.pause_ms;
        console.rings[step.source].write(&step.piece);
        written[step.source].extend_from_slice(&step.piece);
        while console.pump_within(step.budget) && !console.rings[step.source].is_empty() {
            console.now += HOLD_MS;
        }
    }
    for source in [LINUX, CONTROL, EL2] {
        console.wait();
        console.rings[source].write(b"\n");
        written[source].push(b'\n');
        console.pump();
    }
    console.wait();
    written.into_iter().map(|bytes| String::from_utf8_lossy(&bytes).replace('\r', "")).collect()
}

const TAGS: [(usize, &str); 3] = [(LINUX, "linux| "), (CONTROL, "control| "), (EL2, "bulkhead| ")];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Every shown line carries exactly one tag, and behind the tags stands what each source wrote, in order.
    #[test]
    fn tagged_lines_hold_all_text_of_their_source(steps in steps(words())) {
        let mut console = Console::new(Mode::Tagged);
        let written = play(&mut console, &steps);
        let text = console.text();
        prop_assert!(text.ends_with("\r\n"));
        let mut shown = vec![String::new(); SOURCES];
        for line in text.split_terminator("\r\n") {
            let tag = TAGS.iter().find(|(_, tag)| line.starts_with(tag));
            let Some((source, tag)) = tag else { return Err(TestCaseError::fail(format!("no tag: {line:?}"))) };
            let rest = &line[tag.len()..];
            prop_assert!(!rest.contains("| "), "tagged twice: {line:?}");
            shown[*source].push_str(rest);
        }
        for (source, _) in TAGS {
            prop_assert_eq!(&shown[source], &written[source].replace('\n', ""));
        }
    }

    /// While no time passes, no line is broken: each appears whole.
    #[test]
    fn tagged_lines_stay_whole_under_load(lines in prop::collection::vec((0usize..2, 0usize..40), 1..60), cut in 1usize..9) {
        let mut console = Console::new(Mode::Tagged);
        let mut expected = vec![Vec::new(); 2];
        let mut streams = vec![Vec::new(); 2];
        for (n, (source, len)) in lines.into_iter().enumerate() {
            let line = format!("{n}{}", "x".repeat(len));
            streams[source].extend_from_slice(format!("{line}\n").as_bytes());
            expected[source].push(line);
        }
        let pieces = streams[0].len().max(streams[1].len()).div_ceil(cut);
        for n in 0..pieces {
            for (source, stream) in streams.iter().enumerate() {
                console.says(source, stream.chunks(cut).nth(n).unwrap_or(&[]));
            }
        }
        let text = console.text();
        for (source, tag) in &TAGS[..2] {
            let shown: Vec<&str> = text.split_terminator("\r\n").filter_map(|line| line.strip_prefix(tag)).collect();
            prop_assert_eq!(&shown, &expected[*source]);
        }
    }

    /// Taking the others' lines out of an interactive session leaves the focused partition's bytes.
    #[test]
    fn interactive_focused_bytes_survive_between_others_lines(steps in steps(words())) {
        let mut console = Console::new(Mode::Interactive);
        let written = play(&mut console, &steps);
        let mut focused = String::new();
        let mut others = vec![String::new(); SOURCES];
        for line in console.text().split_terminator('\n') {
            let line = line.trim_matches('\r');
            match TAGS[1..].iter().find(|(_, tag)| line.starts_with(tag)) {
                Some((source, tag)) => others[*source].push_str(&line[tag.len()..]),
                None => focused.push_str(line),
            }
        }
        prop_assert_eq!(&focused, &written[LINUX].replace('\n', ""));
        for (source, _) in &TAGS[1..] {
            prop_assert_eq!(&others[*source], &written[*source].replace('\n', ""));
        }
    }

    /// Whatever guests write in tagged mode, the terminal gets printable UTF-8, tabs and tagged lines.
    #[test]
    fn hostile_bytes_reach_the_terminal_only_as_text(steps in steps(prop::collection::vec(any::<u8>(), 0..60))) {
        let mut console = Console::new(Mode::Tagged);
        play(&mut console, &steps);
        let text = console.text();
        prop_assert!(text.replace("\r\n", "").chars().all(|c| c == '\t' || !c.is_control()), "{text:?}");
        for line in text.split_terminator("\r\n") {
            prop_assert!(TAGS.iter().any(|(_, tag)| line.starts_with(tag)), "no tag: {line:?}");
        }
    }

    /// Out of focus, a hostile partition cannot write an untagged line, nor any control byte.
    #[test]
    fn hostile_bytes_out_of_focus_are_harmless(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20)) {
        let mut console = Console::new(Mode::Interactive);
        for piece in pieces {
            console.says(CONTROL, piece);
        }
        let text = console.text();
        prop_assert!(text.replace("\r\n", "").chars().all(|c| c == '\t' || !c.is_control()), "{text:?}");
        prop_assert!(text.split_terminator("\r\n").all(|line| line.starts_with("control| ")));
    }

    /// The sink never gets more than the budget: it may be a buffer of that size.
    #[test]
    fn a_pump_stays_within_its_budget(steps in steps(prop::collection::vec(any::<u8>(), 0..300)), tagged: bool) {
        let mut console = Console::new(if tagged { Mode::Tagged } else { Mode::Interactive });
        for step in steps {
            console.now += step.pause_ms;
            console.rings[step.source].write(&step.piece);
            let budget = BURST + step.budget % 200;
            let before = console.seen.len();
            console.pump_within(budget);
            prop_assert!(console.seen.len() - before <= budget);
        }
    }
}

#[test]
fn a_control_sequence_without_end_does_not_silence_the_others() {
    let rings: [Ring<256>; SOURCES] = [const { Ring::new() }; SOURCES];
    let mut mux = Mux::<SOURCES>::new(Mode::Interactive);
    mux.set_name(PartitionId::new(0), "linux");
    let mut seen = Vec::new();
    mux.focus(Source::partition(PartitionId::new(0)).expect("the first"), 0, &mut |bytes: &[u8]| {
        seen.extend_from_slice(bytes)
    });
    rings[0].write(b"\x1b]");
    mux.pump(&rings, 0, 4096, &mut |bytes: &[u8]| seen.extend_from_slice(bytes));
    rings[Source::EL2.index()].write(b"still here\n");
    for now_ms in (0..2000).step_by(50) {
        rings[0].push(b'x');
        mux.pump(&rings, now_ms, 4096, &mut |bytes: &[u8]| seen.extend_from_slice(bytes));
    }
    let text = String::from_utf8_lossy(&seen).into_owned();
    assert!(text.contains("\x18\r\nbulkhead| still here\r\n"), "{text:?}");
}

#[test]
fn el2_speaks_first_and_a_life_that_ends_ends_its_line() {
    let rings: [Ring<256>; SOURCES] = [const { Ring::new() }; SOURCES];
    let mut mux = Mux::<SOURCES>::new(Mode::Tagged);
    mux.set_name(PartitionId::new(0), "linux");
    let mut seen = Vec::new();
    let mut sink = |bytes: &[u8]| seen.extend_from_slice(bytes);
    rings[0].write(b"ha");
    mux.pump(&rings, 0, 4096, &mut sink);
    rings[Source::EL2.index()].write(b"restarted by key\nlife 2\n");
    rings[0].end_line();
    rings[0].end_line();
    rings[0].write(b"ready\n");
    for now_ms in 1..4 {
        mux.pump(&rings, now_ms, 4096, &mut sink);
    }
    let text = String::from_utf8_lossy(&seen).into_owned();
    assert_eq!(text, "linux| ha\r\nbulkhead| restarted by key\r\nbulkhead| life 2\r\nlinux| ready\r\n");
}
