//! N07: the service dies while a TCP connection is busy. Its next life goes on with the same connections, by the same
//! addresses, and asks nobody for a new one.

use super::{SHORT, WORK, attach, boot};
use crate::conversation::Conversation;
use crate::disk::Disk;
use crate::host::Stream;
use crate::life::{History, press_yes};
use crate::probe::{Answer, Probe};
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use crate::shell::Shell;
use crate::uplink::{HOST, Uplink};
use anyhow::{Context, Result, ensure};

/// Restarts by key, and by hook at least, under one download.
const KEYS: u32 = 2;
const CRASHES: u32 = 8;
/// Linux's key behind Ctrl-T.
const LINUX: u8 = b'1';
/// The service's digit for Ctrl-T: behind all others.
const SERVICE: u8 = 3;
/// Has a disk, for whose requests the hooks are.
const ALICE: Probe = Probe { name: "alice", digit: 2 };
/// Pieces of disk work after which the service must have crashed as often as was asked for.
const PIECES: u32 = 200;

/// N07.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "network_crash",
    kinds: &[Kind::V3],
    when: When::Always,
    seconds: 300,
    promises: &[promise("N07", "download_goes_on_while_the_service_crashes_and_hangs")],
    body: crash,
}];

/// A download that goes on until it is ended, and what was seen before it.
struct Download {
    stream: Stream,
    questions: usize,
}

impl Download {
    fn begin(shell: &mut Shell, uplink: &Uplink) -> Result<Self> {
        let questions = questions(uplink)?;
        let stream = Stream::start()?;
        let port = stream.port;
        // A subshell forgets the job: no word about it later.
        shell.run(
            &format!("rm -f /tmp/said; (sh -c 'nc {HOST} {port} | tee /tmp/got | sha256sum >/tmp/said' &)"),
            SHORT,
        )?;
        let grow = "until [ -s /tmp/got ]; do sleep 0.1; done";
        shell.run(grow, WORK).context("nothing of the download came")?;
        Ok(Self { stream, questions })
    }

    /// More of it comes from now on than was under way.
    fn must_grow(shell: &mut Shell) -> Result<()> {
        const COUNT: &str = "$(cat /sys/class/net/eth0/statistics/rx_bytes)";
        let grow = format!("n={COUNT}; until [ {COUNT} -gt $((n + 1000000)) ]; do sleep 0.1; done");
        shell.run(&grow, WORK).context("the download does not go on").map(drop)
    }

    /// Ends it: not a byte is lost, doubled or wrong. Returns how many there were.
    fn end(self, shell: &mut Shell, uplink: &Uplink) -> Result<u64> {
        let sent = self.stream.end()?;
        let said = shell.run("until [ -s /tmp/said ]; do sleep 0.1; done; cat /tmp/said", WORK)?;
        ensure!(said.starts_with(&sent.sum), "the host sent {} bytes of {}, Linux got {said}", sent.bytes, sent.sum);
        let asked = questions(uplink)? - self.questions;
        ensure!(asked == 0, "the service asked {asked} times for an address that it has");
        Ok(sent.bytes)
    }
}

/// How often the board has asked for an address.
fn questions(uplink: &Uplink) -> Result<usize> {
    const DHCP_SERVER: u16 = 67;
    let frames = uplink.frames()?;
    Ok(frames.iter().filter_map(|frame| frame.udp()).filter(|udp| udp.destination.1 == DHCP_SERVER).count())
}

/// Keys restart the service under a download.
pub fn by_key(shell: &mut Shell, uplink: &Uplink) -> Result<()> {
    let lease = shell.run("ip -o -4 addr show dev eth0", SHORT)?;
    let download = Download::begin(shell, uplink)?;
    for _ in 0..KEYS {
        let console = shell.console();
        let before = History::ask(console, "service")?.restarts;
        press_yes(console, SERVICE, b'r')?;
        console.expect(&format!("partition 'service' restarts: life {}\r\n", before + 2), SHORT)?;
        console.expect("service| life ", SHORT)?;
        console.focus(LINUX, "linux")?;
        Download::must_grow(shell)?;
    }
    download.end(shell, uplink)?;
    let after = shell.run("ip -o -4 addr show dev eth0", SHORT)?;
    ensure!(lease == after, "Linux had the address {lease:?}, then {after:?}");
    Ok(())
}

/// Hooks end the service's lives under a download, at each point of a disk's requests.
fn crash(run: &mut Run) -> Result<()> {
    run.project.built("build/guests/service-hooks.elf")?;
    let disk = Disk::blank(run, "first", 8 << 20)?;
    let uplink = Uplink::new(run, &[])?;
    let (mut machine, _) = boot(run, "net-crash", |recipe| recipe.uplink(&uplink).disk(&disk))?;
    let mut shell = attach(&mut machine.console)?;
    let download = Download::begin(&mut shell, &uplink)?;
    crash_often(shell.console())?;
    shell.console().focus(LINUX, "linux")?;
    Download::must_grow(&mut shell)?;
    let bytes = download.end(&mut shell, &uplink)?;
    let lives = History::ask(&mut machine.console, "service")?.restarts + 1;
    println!("N07   {}   {bytes} bytes came through {lives} lives of the service", run.kind);
    run.promises_kept();
    Ok(())
}

/// Alice works until the hooks have ended enough lives.
fn crash_often(console: &mut Conversation) -> Result<()> {
    ALICE.ok(console, "open 0")?;
    ALICE.ok_within(console, "scan", WORK)?;
    for piece in 0..PIECES {
        if History::ask(console, "service")?.restarts >= CRASHES {
            return Ok(());
        }
        let work = format!("io {piece} 2000 64 4096 50");
        let from = ALICE.order(console, &work)?;
        let answer = ALICE.work_behind(console, from, &work)?;
        ensure!(matches!(answer, Answer::Ok(_)), "`{work}` ended in {answer:?}");
    }
    anyhow::bail!("after {PIECES} pieces of work the service has not crashed {CRASHES} times")
}
