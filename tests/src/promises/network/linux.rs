//! N01, N02, and the other side of N08: a stock Debian kernel behind the service's router, and a host-side server at
//! the other end.

use super::{SHORT, WORK, attach, boot_linux};
use crate::control::Report;
use crate::host::{self, Web};
use crate::monitor::Monitor;
use crate::run::Run;
use crate::scenario::{Kind, Scenario, When, promise};
use crate::shell::Shell;
use crate::uplink::{HOST, NAME_SERVER, Uplink};
use anyhow::{Context, Result, ensure};

/// Bytes of what is sent and fetched: not a multiple of anything, and more than any queue or window holds.
const BYTES: usize = (3 << 20) + 17;

/// N01, N02.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "network_linux",
    kinds: &[Kind::V3, Kind::V2],
    when: When::LongOn(Kind::V2),
    seconds: 300,
    promises: &[
        promise("N01", "linux_gets_its_address_by_dhcp"),
        promise("N01", "linux_pings_the_gateway"),
        promise("N01", "names_are_asked_for_through_the_gateway"),
        promise("N01", "download_from_the_host_has_its_checksum"),
        promise("N01", "upload_to_the_host_has_its_checksum"),
        promise("N02", "the_host_reaches_linux_through_a_forwarded_port"),
        promise("N02", "linux_serves_a_download_through_a_forwarded_port"),
        promise("N08", "without_a_window_nothing_is_copied"),
        promise("N07", "restart_of_the_service_by_key_leaves_connection_lease_and_nat"),
    ],
    body: linux,
}];

fn linux(run: &mut Run) -> Result<()> {
    let (mut machine, mut monitor, uplink) = boot_linux(run, "net", &[2222, 8080])?;
    let mut shell = attach(&mut machine.console)?;
    let content = host::random(BYTES)?;
    let web = Web::start(content.clone())?;
    run.promise("linux_gets_its_address_by_dhcp", |_| address(&mut shell));
    run.promise("linux_pings_the_gateway", |_| {
        let said = shell.run("ping -c 3 -W 10 10.0.0.1", SHORT)?;
        ensure!(said.contains("3 packets transmitted, 3 packets received"), "{said}");
        Ok(())
    });
    run.promise("names_are_asked_for_through_the_gateway", |run| names(&mut shell, &uplink, run));
    run.promise("download_from_the_host_has_its_checksum", |_| {
        let said =
            shell.run(&format!("wget -q -O /tmp/file http://{HOST}:{}/ && sha256sum </tmp/file", web.port), WORK)?;
        let expected = host::sha256(&content);
        ensure!(said.starts_with(&expected), "the host sent {expected}, Linux got {said}");
        Ok(())
    });
    run.promise("upload_to_the_host_has_its_checksum", |_| upload(&mut shell, &web));
    run.promise("the_host_reaches_linux_through_a_forwarded_port", |_| reach(&mut shell, &mut monitor, &content));
    run.promise("linux_serves_a_download_through_a_forwarded_port", |_| serve(&mut shell, &mut monitor));
    run.promise("without_a_window_nothing_is_copied", |_| super::window::without(&mut shell));
    run.promise("restart_of_the_service_by_key_leaves_connection_lease_and_nat", |_| {
        super::lives::by_key(&mut shell, &uplink)
    });
    Report::check_next(&mut machine.console, 1).map(drop)
}

/// What the system file gives it, and the gateway for everything else.
fn address(shell: &mut Shell) -> Result<()> {
    let said = shell.run("ip -o -4 addr show dev eth0; ip route; cat /etc/resolv.conf", SHORT)?;
    for wanted in ["inet 10.0.0.5/24 ", "default via 10.0.0.1 dev eth0", "nameserver 10.0.0.1"] {
        ensure!(said.contains(wanted), "no `{wanted}` in:\n{said}");
    }
    Ok(())
}

/// A question crosses the uplink, from the board's address to the name server there. The host may have nobody to ask;
/// where an answer came back over the uplink, Linux must have it.
fn names(shell: &mut Shell, uplink: &Uplink, run: &Run) -> Result<()> {
    const DNS: u16 = 53;
    // A name as it stands in a question: each part behind its length.
    let name = format!("n01-{}-{}", std::process::id(), run.kind).to_lowercase();
    let within = |bytes: &[u8]| bytes.windows(name.len()).any(|window| window == name.as_bytes());
    let said = shell.status(&format!("nslookup -type=a {name}.bulkhead.test"), WORK)?.1;
    let frames = uplink.frames()?;
    let about: Vec<_> = frames.iter().filter_map(|frame| frame.udp()).filter(|udp| within(udp.payload)).collect();
    let question = about.iter().find(|udp| udp.destination == (NAME_SERVER, DNS));
    let question = question.with_context(|| format!("no question crossed the uplink; Linux said:\n{said}"))?;
    let answer = about.iter().find(|udp| udp.source == (NAME_SERVER, DNS) && udp.destination == question.source);
    match answer {
        // Whatever it says, `nslookup` has heard it: without an answer it says that the servers cannot be reached.
        Some(_) => {
            ensure!(!said.contains("timed out") && !said.contains("no servers"), "Linux never got the answer:\n{said}")
        }
        None => println!("N01   {}   the host has no name server: only the question was seen", run.kind),
    }
    Ok(())
}

fn upload(shell: &mut Shell, web: &Web) -> Result<()> {
    // busybox takes what it posts for text, which ends at a zero.
    let make = format!("head -c {BYTES} /dev/urandom | base64 >/tmp/own && sha256sum </tmp/own");
    let expected = shell.run(&make, SHORT)?;
    shell.run(&format!("wget -q -O - --post-file=/tmp/own http://{HOST}:{}/", web.port), WORK)?;
    let received = web.received();
    let [body] = received.as_slice() else { anyhow::bail!("the host got {} uploads", received.len()) };
    let sum = host::sha256(body);
    ensure!(expected.starts_with(&sum), "Linux sent {expected}, the host got {} bytes of {sum}", body.len());
    Ok(())
}

/// What the host sends comes back as the checksum that Linux makes of it.
fn reach(shell: &mut Shell, monitor: &mut Monitor, content: &[u8]) -> Result<()> {
    shell.run("(nc -ll -p 22 -e sha256sum &)", SHORT)?;
    listens(shell, 22)?;
    let port = Uplink::host_port(monitor, 2222)?;
    let (said, expected) = (host::converse(port, content)?, host::sha256(content));
    let said = String::from_utf8_lossy(&said);
    ensure!(said.starts_with(&expected), "the host sent {expected}, Linux got {said:?}");
    Ok(())
}

fn serve(shell: &mut Shell, monitor: &mut Monitor) -> Result<()> {
    let expected = shell
        .run("mkdir -p /tmp/www && head -c 1000003 /dev/urandom >/tmp/www/file && sha256sum </tmp/www/file", SHORT)?;
    shell.run("httpd -h /tmp/www", SHORT)?;
    listens(shell, 80)?;
    let port = Uplink::host_port(monitor, 8080)?;
    let answer = host::converse(port, b"GET /file HTTP/1.0\r\n\r\n")?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").context("no end of the headers")?;
    let sum = host::sha256(answer.get(end + 4..).unwrap_or_default());
    ensure!(expected.starts_with(&sum), "Linux served {expected}, the host got {sum}");
    Ok(())
}

/// Waits until somebody does.
fn listens(shell: &mut Shell, port: u16) -> Result<()> {
    shell.run(&format!("until netstat -ltn | grep -q ':{port} '; do sleep 0.1; done"), SHORT).map(drop)
}
