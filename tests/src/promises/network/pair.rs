//! N03: from one partition to another, on a network without an uplink.

use super::{SHORT, WORK, attach, boot};
use crate::counters::Counters;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use crate::shell::Shell;
use anyhow::{Result, ensure};

/// The other Linux, as the system file has it.
const PEER: &str = "192.168.7.9";

/// N03.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "network_pair",
    kinds: &[Kind::V3],
    when: When::Always,
    seconds: 300,
    promises: &[
        promise("N03", "file_sent_to_another_partition_has_its_checksum"),
        promise("N03", "file_fetched_from_another_partition_has_its_checksum"),
        promise("N03", "bulk_tcp_costs_the_sender_at_most_5_exits_for_100_packets"),
        promise("N03", "without_an_uplink_nothing_else_can_be_reached"),
    ],
    body: pair,
}];

fn pair(run: &mut Run) -> Result<()> {
    // By instructions, not by the host's clock: how often the service sleeps while a guest prepares an acknowledgement, and so
    // what bulk TCP costs, would be the host's load.
    let (mut machine, _) = boot(run, "net-pair", |recipe| recipe.arg("-icount").arg("shift=0"))?;
    let mut shell = attach(&mut machine.console)?;
    // It may be up later.
    shell.run(&format!("until nc -w 1 {PEER} 26 </dev/null >/tmp/theirs; do sleep 0.1; done"), WORK)?;
    run.promise("file_sent_to_another_partition_has_its_checksum", |_| {
        let make = "head -c 3000001 /dev/urandom >/tmp/own && sha256sum </tmp/own";
        let (sent, got) = (shell.run(make, SHORT)?, shell.run(&format!("nc {PEER} 24 </tmp/own"), WORK)?);
        same(&sent, &got)
    });
    run.promise("file_fetched_from_another_partition_has_its_checksum", |_| {
        let sent = shell.run("cat /tmp/theirs", SHORT)?;
        let got = shell.run(&format!("nc {PEER} 25 </dev/null | sha256sum"), WORK)?;
        same(&sent, &got)
    });
    run.promise("bulk_tcp_costs_the_sender_at_most_5_exits_for_100_packets", |run| bulk(&mut shell, run));
    run.promise("without_an_uplink_nothing_else_can_be_reached", |_| nowhere(&mut shell));
    Ok(())
}

/// Exits of the sender's vCPU for its network device while it sends a file again and again (busybox's httpd has the kernel send
/// it), for each packet that a wire would have carried.
fn bulk(shell: &mut Shell, run: &Run) -> Result<()> {
    /// Payload of a full-size packet, with time stamps.
    const PACKET: u64 = 1448;
    /// Many: what the host's moments make of ten differs by some percent.
    const ROUNDS: u32 = 60;
    const RECEIVED: &str = "cat /sys/class/net/eth0/statistics/rx_bytes";
    let bytes = |shell: &mut Shell| -> Result<u64> { Ok(shell.run(RECEIVED, SHORT)?.trim().parse()?) };
    let exits = |shell: &mut Shell, vcpu: &str| -> Result<[u64; 2]> {
        let counters = Counters::ask(shell.console(), vcpu)?;
        Ok([counters.of("virtio")?, counters.of("doorbell")?])
    };
    let fetch = format!("wget -q -O /dev/null http://{PEER}/f");
    shell.run(&fetch, WORK)?;
    let (received, before, own) = (bytes(shell)?, exits(shell, "peer/v0")?, exits(shell, "linux/v0")?);
    for _ in 0..ROUNDS {
        shell.run(&fetch, WORK)?;
    }
    let (after, mine) = (exits(shell, "peer/v0")?, exits(shell, "linux/v0")?);
    let packets = (bytes(shell)? - received) / PACKET;
    let [kicks, interrupts] = [0, 1].map(|n: usize| after[n] - before[n]);
    println!("N03   {}   bulk TCP: {packets} packets; of the sender {kicks} kicks, {interrupts} interrupts", run.kind);
    println!("N03   {}   receiver {} kicks, {} interrupts", run.kind, mine[0] - own[0], mine[1] - own[1]);
    ensure!(packets > 120_000, "only {packets} packets were sent");
    ensure!(
        (kicks + interrupts) * 100 <= packets * 5,
        "{kicks} kicks and {interrupts} interrupts for {packets} packets"
    );
    Ok(())
}

fn same(sent: &str, got: &str) -> Result<()> {
    let sum = |text: &str| text.split_whitespace().next().unwrap_or_default().to_owned();
    ensure!(sum(sent).len() == 64 && sum(sent) == sum(got), "{sent:?} was sent, {got:?} came");
    Ok(())
}

/// The gateway is there, and says that behind it there is nothing; or nobody says anything.
fn nowhere(shell: &mut Shell) -> Result<()> {
    shell.run("ping -c 1 -W 10 192.168.7.1", SHORT)?;
    let (status, said) = shell.status("ping -c 1 -W 2 10.0.2.2", SHORT)?;
    ensure!(status != 0, "10.0.2.2 answered although there is no uplink: {said}");
    Ok(())
}
