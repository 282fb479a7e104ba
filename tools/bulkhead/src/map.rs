//! Who owns what, as a table.

use crate::file::{Mac, bandwidth, protocol_name};
use crate::plan::Plan;
use abi::plan::{Backend, Forward, Kind, Network, Origin};
use abi::{Again, IntId, Io, machine};
use addr::{ByteSize, Ipa, Pa, Region};
use manifest::{Bank, Milliseconds, OnPanic, Owner, Partition, PayloadKind};
use std::fmt::Write;
use std::net::Ipv4Addr;

/// A range of RAM and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The range.
    pub region: Region<Pa>,
    /// Its owner, for people.
    pub owner: String,
    /// The partition's place in the system file, if one owns it.
    pub partition: Option<usize>,
}

/// RAM in ascending order, what is free included.
pub fn ram(plan: &Plan) -> Vec<Row> {
    let (board, system) = (plan.platform.board, &plan.system);
    let row = |region, owner: String, partition| Row { region, owner, partition };
    let mut rows: Vec<Row> = Vec::new();
    for (place, partition) in system.partitions.iter().enumerate() {
        rows.extend(partition.banks.iter().map(|bank| {
            let window = if is_window(partition, bank) { ": window, seen by the service" } else { "" };
            row(bank.pa, format!("{}{window}", partition.name), Some(place))
        }));
    }
    if let (Some(service), Some((id, partition))) = (system.service, system.service_partition()) {
        rows.push(row(service.kept, format!("{}: kept over its lives", partition.name), Some(id.index())));
    }
    for (channel, name) in system.channels.iter().zip(&plan.channels) {
        rows.extend(channel.memory().map(|region| row(region, format!("(channel '{name}')"), None)));
    }
    rows.push(row(system.pool, "(hypervisor: frame pool)".into(), None));
    let bundle = Region::new(board.load_address, system.bundle_size);
    rows.extend(bundle.map(|region| row(region, "(hypervisor: boot bundle)".into(), None)));
    for reserved in board.reserved {
        let region = Region::new(reserved.start, reserved.size);
        // Firmware moves its tree behind a bundle that reaches it.
        let is_free = |region: &Region<Pa>| bundle.is_none_or(|bundle| !bundle.overlaps(region));
        rows.extend(
            region.filter(is_free).map(|region| row(region, format!("({})", Owner::Board(reserved.name)), None)),
        );
    }
    rows.sort_by_key(|row| row.region.start());
    let mut all = Vec::new();
    for bank in board.ram_banks(system.machine) {
        let mut next = bank.start();
        for owned in rows.iter().filter(|row| bank.covers(&row.region)) {
            all.extend(between(next, owned.region.start()));
            all.push(owned.clone());
            next = owned.region.end();
        }
        all.extend(between(next, bank.end()));
    }
    all
}

/// Whether `bank` is all that the service partition sees.
fn is_window(partition: &Partition, bank: &Bank) -> bool {
    partition.io == Io::Window && partition.served().any(|served| served == bank)
}

fn between(start: Pa, end: Pa) -> Option<Row> {
    let region = Region::new(start, end.as_u64().checked_sub(start.as_u64())?)?;
    Some(Row { region, owner: "-".into(), partition: None })
}

/// The owner of each core: the partition's place and the vCPU.
pub fn cores(plan: &Plan) -> Vec<Option<(usize, usize)>> {
    let owner = |core: u16| {
        plan.system.partitions.iter().enumerate().find_map(|(place, partition)| {
            let vcpu = partition.cores.iter().position(|id| id.number() == core)?;
            Some((place, vcpu))
        })
    };
    (0..plan.system.machine.cores).map(owner).collect()
}

/// Interrupts and whose they are.
pub fn interrupts(plan: &Plan) -> Vec<(String, String)> {
    let board = plan.platform.board;
    let mut rows = vec![
        (
            intids(&[machine::VIRTUAL_TIMER, machine::PHYSICAL_TIMER, machine::PMU]),
            "each core's partition: timers, PMU".into(),
        ),
        (
            intids(&[machine::HYPERVISOR_TIMER, board.gic.maintenance, board.uart_intid]),
            "(hypervisor: timer, GIC, console)".into(),
        ),
    ];
    for partition in &plan.system.partitions {
        for device in partition.devices.iter().filter_map(|id| board.devices.get(usize::from(id.0))) {
            if !device.intids.is_empty() {
                rows.push((intids(device.intids), format!("{}: {}", partition.name, device.name)));
            }
        }
    }
    rows
}

/// Interrupts in words, runs of them by their ends.
fn intids(intids: &[IntId]) -> String {
    let runs = intids.chunk_by(|one, next| next.number() == one.number() + 1);
    let run = |run: &[IntId]| match run {
        [first, _, .., last] => format!("{first} to {last}"),
        few => few.iter().map(IntId::to_string).collect::<Vec<_>>().join(", "),
    };
    runs.map(run).collect::<Vec<_>>().join(", ")
}

/// The virtio devices: what is behind each, and who has it where.
pub fn virtio(plan: &Plan) -> Vec<(String, String)> {
    let Some(service) = &plan.service else { return Vec::new() };
    let row = |backend: &Backend| {
        let owner = service.partitions.get(backend.partition.index()).map_or("", |served| served.name.as_str());
        let page = machine::VIRTIO.as_u64() + u64::from(backend.slot) * machine::VIRTIO_STRIDE;
        let place = format!("{owner}: {}, {}", Ipa::new(page), machine::virtio_intid(u32::from(backend.slot)));
        match &backend.kind {
            Kind::Entropy => ("entropy".to_owned(), place),
            Kind::Vsock(cid) => ("sockets".to_owned(), format!("{place}, context id {cid}")),
            Kind::Console => ("console".to_owned(), format!("{place}, tagged {owner}/hvc0")),
            Kind::Nic(nic) => {
                let mut place = format!("{place}, {}, {}", Ipv4Addr::from(nic.ip), Mac(nic.mac));
                if nic.bandwidth != 0 {
                    place += &format!(", at most {} bit/s", bandwidth::shown(nic.bandwidth));
                }
                ("network".to_owned(), place)
            }
            Kind::Disk(disk) => {
                let mut what = match &disk.from {
                    Origin::Gpt(label) => format!("gpt:{label}"),
                    Origin::Disk(serial) => format!("disk:{serial}"),
                    Origin::Mbr(number) => format!("mbr:{number}"),
                };
                what += if disk.is_read_only { " ro" } else { " rw" };
                let mut place = format!("{place}, serial number '{}'", disk.serial);
                if disk.at_least != 0 {
                    place += &format!(", at least {}", ByteSize(disk.at_least));
                }
                if disk.iops != 0 {
                    place += &format!(", at most {} requests per second", disk.iops);
                }
                place += if backend.is_optional { ", optional" } else { "" };
                (what, place)
            }
        }
    };
    service.devices.iter().map(row).collect()
}

/// The network: its gateway, and whose the ports outside are.
pub fn network(plan: &Plan) -> Vec<(String, String)> {
    let Some((service, network)) = plan.service.as_ref().and_then(|plan| Some((plan, plan.network.as_ref()?))) else {
        return Vec::new();
    };
    let Network { gateway, prefix, mac, has_uplink, forwards } = network;
    let gateway = Ipv4Addr::from(*gateway);
    // The tool gives the gateway the first address behind the subnet's own.
    let subnet = Ipv4Addr::from_bits(gateway.to_bits() - 1);
    let uplink = if *has_uplink { "NAT to the uplink" } else { "no way out" };
    let mut rows = vec![(format!("{subnet}/{prefix}"), format!("gateway {gateway}, {}, {uplink}", Mac(*mac)))];
    rows.extend(forwards.iter().map(|Forward { protocol, outside, to, inside }| {
        let has_it = |backend: &&Backend| matches!(&backend.kind, Kind::Nic(nic) if nic.ip == *to);
        let owner = service.devices.iter().find(has_it).and_then(|b| service.partitions.get(b.partition.index()));
        let name = owner.map_or("", |served| served.name.as_str());
        let outside = format!("{} port {outside} of the uplink", protocol_name(*protocol));
        (outside, format!("{name}: {}, port {inside}", Ipv4Addr::from(*to)))
    }));
    rows
}

/// The channels, and how each of the two partitions reaches its end.
pub fn channels(plan: &Plan) -> Vec<(String, u64, String)> {
    let ports = plan.service.iter().flat_map(|service| &service.channels);
    let row = |(number, (channel, name)): (usize, (&manifest::Channel, &String))| {
        let end = |end: &manifest::End| {
            let owner = plan.system.partitions.get(end.partition.index()).map_or("", |partition| &partition.name);
            match ports.clone().find(|planned| usize::from(planned.number) == number && end.is_brokered()) {
                Some(planned) => format!("{owner}: vsock port {} of CID 2", planned.port),
                None => format!("{owner}: {}, {}", machine::channel_ipa(number), machine::channel_intid(number)),
            }
        };
        let size = channel.memory().map_or(0, |memory| memory.size());
        (name.clone(), size, channel.ends.each_ref().map(end).join("; "))
    };
    plan.system.channels.iter().zip(&plan.channels).enumerate().map(row).collect()
}

/// The whole table.
pub fn table(plan: &Plan) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_table(&mut out, plan);
    out
}

fn write_table(out: &mut String, plan: &Plan) -> std::fmt::Result {
    let (board, system) = (plan.platform.board, &plan.system);
    writeln!(out, "board {}: {} cores, {} of RAM", board.name, system.machine.cores, ByteSize(system.machine.memory))?;

    writeln!(out, "\n{:<28} owner", "core")?;
    for (core, owner) in cores(plan).into_iter().enumerate() {
        match owner {
            Some((place, vcpu)) => writeln!(out, "{core:<28} {} vCPU {vcpu}", system.partitions[place].name)?,
            None => writeln!(out, "{core:<28} -")?,
        }
    }

    writeln!(out, "\n{:<28} {:>9}  owner", "RAM", "size")?;
    for row in ram(plan) {
        writeln!(out, "{:<28} {:>9}  {}", row.region.to_string(), ByteSize(row.region.size()).to_string(), row.owner)?;
    }

    writeln!(out, "\n{:<28} owner", "interrupt")?;
    for (intids, owner) in interrupts(plan) {
        writeln!(out, "{intids:<28} {owner}")?;
    }

    writeln!(out, "\n{:<28} {:>9}  owner", "device", "")?;
    let lent = if system.service.is_some() { ", lent to the service partition" } else { "" };
    writeln!(out, "{:<28} {:>9}  (hypervisor: console{lent})", board.uart.to_string(), "")?;
    for partition in &system.partitions {
        for device in partition.devices.iter().filter_map(|id| board.devices.get(usize::from(id.0))) {
            let region = device.region().map(|region| region.to_string()).unwrap_or_default();
            writeln!(out, "{region:<28} {:>9}  {}: {}", "", partition.name, device.name)?;
        }
    }

    let virtio = virtio(plan);
    if !virtio.is_empty() {
        writeln!(out, "\n{:<28} {:>9}  owner", "virtio device", "")?;
    }
    for (what, place) in virtio {
        writeln!(out, "{what:<28} {:>9}  {place}", "")?;
    }

    let network = network(plan);
    if !network.is_empty() {
        writeln!(out, "\n{:<28} {:>9}  leads to", "network", "")?;
    }
    for (what, place) in network {
        writeln!(out, "{what:<28} {:>9}  {place}", "")?;
    }

    let channels = channels(plan);
    if !channels.is_empty() {
        writeln!(out, "\n{:<28} {:>9}  between", "channel", "size")?;
    }
    for (name, size, ends) in channels {
        writeln!(out, "{name:<28} {:>9}  {ends}", ByteSize(size).to_string())?;
    }

    lives(out, plan)?;

    for (partition, format) in system.partitions.iter().zip(&plan.formats) {
        writeln!(out, "\nguest '{}' sees", partition.name)?;
        for bank in &partition.banks {
            let Some(seen) = bank.guest() else { continue };
            let window = if is_window(partition, bank) { ": window, seen by the service" } else { "" };
            writeln!(out, "  {:<26} {:>9}  memory{window}", seen.to_string(), ByteSize(seen.size()).to_string())?;
        }
        for payload in &partition.payloads {
            // The trees of the two GIC versions share one place; one line says so.
            if payload.kind == PayloadKind::DeviceTreeV2
                && partition.payloads.iter().any(|p| p.kind == PayloadKind::DeviceTreeV3)
            {
                continue;
            }
            let what = match payload.kind {
                PayloadKind::Kernel => format!("kernel ({format})"),
                kind if kind.is_tree() => "device tree".to_owned(),
                kind => kind.to_string(),
            };
            let Some(region) = payload.destination() else { continue };
            writeln!(out, "  {:<26} {:>9}  {what}", region.to_string(), rounded(region.size()))?;
        }
        writeln!(out, "  {:<26} {:>9}  first instruction", partition.entry.to_string(), "")?;
    }
    Ok(())
}

/// What follows the end of each partition's life, in the words of a system file.
fn lives(out: &mut String, plan: &Plan) -> std::fmt::Result {
    let again = |again| match again {
        Again::Restart => "restart",
        Again::Stop => "stop",
    };
    let or_none = |ms: u32| match ms {
        0 => "none".to_owned(),
        ms => Milliseconds(ms).to_string(),
    };
    let columns = ["on_crash", "on_reset", "on_off", "restart_limit", "restart_backoff", "watchdog"];
    writeln!(out)?;
    row(out, "life", columns)?;
    for Partition { name, policy, watchdog_ms, .. } in &plan.system.partitions {
        let limit = policy
            .limit
            .map_or("none".to_owned(), |limit| format!("{} in {}", limit.restarts, Milliseconds(limit.window_ms)));
        let (backoff, watchdog) = (or_none(policy.backoff_ms), or_none(*watchdog_ms));
        let [crash, reset, off] = [policy.on_crash, policy.on_reset, policy.on_off].map(again);
        row(out, name, [crash, reset, off, &limit, &backoff, &watchdog])?;
    }
    let panic = match plan.system.on_hypervisor_panic {
        OnPanic::Stop => "stop",
        OnPanic::Reset => "reset",
    };
    writeln!(out, "{:<17} {panic} (on_hypervisor_panic)", "(hypervisor)")
}

fn row(out: &mut String, name: &str, cells: [&str; 6]) -> std::fmt::Result {
    let [crash, reset, off, limit, backoff, watchdog] = cells;
    writeln!(out, "{name:<17} {crash:<9} {reset:<9} {off:<9} {limit:<14} {backoff:<16} {watchdog}")
}

/// Whole kibibytes or mebibytes, upwards: payload sizes are odd numbers.
fn rounded(bytes: u64) -> String {
    let (unit, letter) = if bytes < 1 << 20 { (1 << 10, 'K') } else { (1 << 20, 'M') };
    format!("{}{letter}", bytes.div_ceil(unit))
}
