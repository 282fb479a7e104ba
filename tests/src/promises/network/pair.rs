//! N03: from one partition to another, on a network without an uplink.

use super::{SHORT, WORK, attach, boot};
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
        promise("N03", "without_an_uplink_nothing_else_can_be_reached"),
    ],
    body: pair,
}];

fn pair(run: &mut Run) -> Result<()> {
    let (mut machine, _) = boot(run, "net-pair", |recipe| recipe)?;
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
    run.promise("without_an_uplink_nothing_else_can_be_reached", |_| nowhere(&mut shell));
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
