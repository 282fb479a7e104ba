//! The channels between partitions: who is at which end, by which port, and what is wrong about them.

use crate::diagnostic::{Diagnostic, Span};
use crate::file::{ChannelFile, Given, PartitionFile, SERVICE_NAME, SystemFile};
use crate::near;
use abi::PartitionId;
use abi::channel::{FIRST_PORT, MAX_CHANNELS};
use manifest::End;

/// A channel whose ends are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Its ends.
    pub ends: [End; 2],
    /// The port by which the partition at a brokered end reaches it.
    pub port: u32,
}

/// The channels of `file`; `None` where a mistake leaves something open.
pub fn resolve(file: &SystemFile) -> Option<Vec<Channel>> {
    let service = PartitionId::new(file.partitions.len() as u8);
    let end = |name: &str| {
        let (place, partition) = find(file, name)?;
        let partition_id = PartitionId::new(place as u8);
        Some(End { partition: partition_id, user: if partition.has_vsock() { service } else { partition_id } })
    };
    let channel = |(number, channel): (usize, &ChannelFile)| {
        let [(first, _), (second, _)] = channel.between.value()?;
        Some(Channel {
            name: channel.name.value()?.clone(),
            size: channel.size()?,
            ends: [end(first)?, end(second)?],
            port: port(number, channel)?,
        })
    };
    file.channels.iter().enumerate().take(MAX_CHANNELS).map(channel).collect()
}

fn find<'a>(file: &'a SystemFile, name: &str) -> Option<(usize, &'a PartitionFile)> {
    file.partitions.iter().enumerate().find(|(_, partition)| partition.name.value().is_some_and(|own| own == name))
}

/// What the file says, or the channel's own; `None` where what it says is wrong.
fn port(number: usize, channel: &ChannelFile) -> Option<u32> {
    match &channel.port {
        Given::Absent => Some(FIRST_PORT + number as u32),
        given => given.value().copied(),
    }
}

/// Reports the mistakes about channels in `file`.
pub fn check(file: &SystemFile, found: &mut Vec<Diagnostic>) {
    for (number, channel) in file.channels.iter().enumerate() {
        if number == MAX_CHANNELS {
            let title = format!("{} channels; there is room for {MAX_CHANNELS}", file.channels.len());
            return found.push(Diagnostic::new(channel.span.clone(), title, "take some out"));
        }
        let before = &file.channels[..number];
        found.extend(name_twice(channel, before));
        ends(file, channel, found);
        found.extend(port_twice(file, number, before));
    }
}

fn name_twice(channel: &ChannelFile, before: &[ChannelFile]) -> Option<Diagnostic> {
    let Given::Is(name, span) = &channel.name else { return None };
    let first = before.iter().find(|first| first.name.value() == Some(name))?;
    let mistake = Diagnostic::new(span.clone(), format!("two channels are called '{name}'"), "choose another name");
    Some(mistake.also(first.name.span()?, "the first of that name"))
}

/// What is wrong with the two that a channel is between.
fn ends(file: &SystemFile, channel: &ChannelFile, found: &mut Vec<Diagnostic>) {
    let Some([first, second]) = channel.between.value() else { return };
    let title = channel.title();
    let mut are_known = true;
    for (name, span) in [first, second] {
        if let Some(mistake) = unknown(file, &title, name, span) {
            found.push(mistake);
            are_known = false;
        }
    }
    if !are_known {
        return;
    }
    if first.0 == second.0 {
        let what = format!("{title} is between partition '{}' and itself", first.0);
        let mistake = Diagnostic::new(second.1.clone(), what, "name two partitions: a partition has memory of its own");
        return found.push(mistake.label("again"));
    }
    let sockets = [first, second].map(|(name, _)| find(file, name).filter(|(_, partition)| partition.has_vsock()));
    match sockets {
        [Some((_, one)), Some((_, other))] => {
            let what = format!("{title} is between {} and {}, which both have `vsock`", one.title(), other.title());
            let help = "take `vsock` from one of them: its end is then memory of its own guest machine";
            let mistake = Diagnostic::new(channel.span.clone(), what, help);
            let spans = [one, other].map(|partition| partition.vsock.span().unwrap_or(partition.span.clone()));
            let [one, other] = spans;
            found.push(mistake.also(one, "one").also(other, "the other"));
        }
        [None, None] => {
            if let Some(span) = channel.port.span() {
                let what = format!("{title} has a port, and no partition reaches it by one");
                found.push(Diagnostic::new(span, what, "leave `port` out, or give one of the two `vsock = true`"));
            }
        }
        _ => {}
    }
}

/// What is wrong with a name that no partition has.
fn unknown(file: &SystemFile, channel: &str, name: &str, span: &Span) -> Option<Diagnostic> {
    if find(file, name).is_some() || file.has_bad_partitions {
        return None;
    }
    if name == SERVICE_NAME {
        let help =
            "name one of the partitions that it serves, with `vsock = true`: the service partition is its end then";
        return Some(Diagnostic::new(span.clone(), format!("{channel} has the service partition at an end"), help));
    }
    let names = || file.partitions.iter().filter_map(|partition| partition.name.value().map(String::as_str));
    let help = match near::nearest(name, names()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("the partitions are {}", near::list(names())),
    };
    Some(Diagnostic::new(span.clone(), format!("{channel} has an end in '{name}', which is no partition"), help))
}

/// The partition that reaches `channel` by a port.
fn socket_of<'a>(file: &'a SystemFile, channel: &ChannelFile) -> Option<&'a PartitionFile> {
    let ends = channel.between.value()?;
    ends.iter().find_map(|(name, _)| find(file, name).map(|(_, partition)| partition).filter(|p| p.has_vsock()))
}

/// Whether a channel before has the port of this one for the same partition.
fn port_twice(file: &SystemFile, number: usize, before: &[ChannelFile]) -> Option<Diagnostic> {
    let channel = file.channels.get(number)?;
    let (own, partition) = (port(number, channel)?, socket_of(file, channel)?);
    let same = |(n, other): &(usize, &ChannelFile)| {
        port(*n, other) == Some(own) && socket_of(file, other).is_some_and(|p| std::ptr::eq(p, partition))
    };
    let (_, first) = before.iter().enumerate().find(same)?;
    let title = format!("port {own} leads {} to {} and to {}", partition.title(), first.title(), channel.title());
    let (here, there) = (channel.port.span(), first.port.span());
    let mistake = Diagnostic::new(here.clone().or(there.clone())?, title, "give one of them another `port`");
    let other = if here.is_some() { there.unwrap_or(first.span.clone()) } else { channel.span.clone() };
    Some(mistake.also(other, if here.is_some() { first.title() } else { channel.title() }))
}
