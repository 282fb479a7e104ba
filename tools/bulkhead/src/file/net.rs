//! `net` of a partition as written: its network device, and the ports that lead to it.

use super::table::{Table, describe};
use super::{Given, keys};
use crate::diagnostic::{Diagnostic, Span};
use crate::near;
use abi::plan::Protocol;
use std::fmt;
use std::net::Ipv4Addr;
use toml::de::{DeTable, DeValue};

/// A MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.map(|byte| format!("{byte:02x}")).join(":"))
    }
}

/// A port that leads to the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortFile {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port outside.
    pub outside: u16,
    /// The partition's port.
    pub inside: u16,
}

/// The protocol's name in a system file.
pub const fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

/// A network device as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetFile {
    /// Its address; the next free one if there is none.
    pub ip: Given<Ipv4Addr>,
    /// Its MAC address; one of its partition's number if there is none.
    pub mac: Given<Mac>,
    /// Bits that it may send per second.
    pub bandwidth: Given<u64>,
    /// The ports that lead to it, each with its place; wrong ones were reported.
    pub forward: Vec<(PortFile, Span)>,
}

/// Reads `net`; mistakes go to `found`.
pub fn parse(table: &Table<'_, '_>, found: &mut Vec<Diagnostic>) -> Given<NetFile> {
    let Some((value, span)) = table.get("net") else { return Given::Absent };
    match value {
        DeValue::Boolean(true) => Given::Is(NetFile::default(), span),
        DeValue::Boolean(false) => Given::Absent,
        DeValue::Table(entries) => Given::Is(one(entries, span.clone(), found), span),
        other => {
            let title = match other {
                DeValue::Array(_) => "a partition has one network device".to_owned(),
                other => format!("`net` is a table or true, not {}", describe(other)),
            };
            let help = "write it as `net = true`, or `net = { ip = \"10.0.0.5\" }`";
            found.push(Diagnostic::new(span.clone(), title, help));
            Given::Wrong(span)
        }
    }
}

fn one(entries: &DeTable<'_>, span: Span, found: &mut Vec<Diagnostic>) -> NetFile {
    let table = Table::new("`net`", entries, span, keys::NET, found);
    let ports = table.list("forward", found, "ports", "[\"tcp:2222:22\"]", |value| value.as_str().map(str::to_owned));
    let ports = ports.value().into_iter().flatten();
    NetFile {
        ip: table.string("ip", found).then(|text, span| ip(&text, span, found)),
        mac: table.string("mac", found).then(|text, span| mac(&text, span, found)),
        bandwidth: table.bandwidth("bandwidth", found),
        forward: ports.filter_map(|(text, span)| Some((port(text, span, found)?, span.clone()))).collect(),
    }
}

fn ip(text: &str, span: &Span, found: &mut Vec<Diagnostic>) -> Option<Ipv4Addr> {
    let ip = text.parse().ok();
    if ip.is_none() {
        let help = match text.split_once('/') {
            Some((ip, _)) if ip.parse::<Ipv4Addr>().is_ok() => format!("write \"{ip}\": the prefix is the subnet's"),
            _ => "an address is four numbers of 0 to 255, such as \"10.0.0.5\"".to_owned(),
        };
        found.push(Diagnostic::new(span.clone(), format!("bad address \"{text}\" for `ip`"), help));
    }
    ip
}

fn mac(text: &str, span: &Span, found: &mut Vec<Diagnostic>) -> Option<Mac> {
    let mac = read_mac(text);
    let (title, help) = match mac {
        None => {
            let help = match read_mac(&text.replace('-', ":")) {
                Some(mac) => format!("write \"{mac}\""),
                None => {
                    "a MAC address is six bytes of two hexadecimal digits, such as \"02:00:00:00:00:05\"".to_owned()
                }
            };
            (format!("bad MAC address \"{text}\" for `mac`"), help)
        }
        Some(Mac([0, 0, 0, 0, 0, 0])) => {
            (format!("MAC address {text} is nobody's"), "leave `mac` out, or give it another".to_owned())
        }
        Some(Mac([first, rest @ ..])) if first & 1 != 0 => {
            let [a, b, c, d, e] = rest;
            let help = format!("write \"{}\": the first byte of a device's is even", Mac([first & !1, a, b, c, d, e]));
            (format!("MAC address {text} is for many devices"), help)
        }
        Some(_) => return mac,
    };
    found.push(Diagnostic::new(span.clone(), title, help));
    None
}

fn read_mac(text: &str) -> Option<Mac> {
    let byte = |digits: &str| {
        let is_hex = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)
    };
    let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
    bytes?.try_into().ok().map(Mac)
}

/// `tcp:2222:22`: protocol, the port outside, the port inside.
fn port(text: &str, span: &Span, found: &mut Vec<Diagnostic>) -> Option<PortFile> {
    let mut wrong = |title: String, help: String| {
        found.push(Diagnostic::new(span.clone(), title, help));
        None
    };
    let [protocol, outside, inside] = text.split(':').collect::<Vec<_>>()[..] else {
        let help = "write protocol, the port outside and the port inside, such as \"tcp:2222:22\"".to_owned();
        return wrong(format!("bad port \"{text}\" for `forward`"), help);
    };
    let Some(known) = [Protocol::Tcp, Protocol::Udp].into_iter().find(|known| name(*known) == protocol) else {
        let help = match near::nearest(protocol, ["tcp", "udp"]) {
            Some(near) => format!("did you mean \"{near}:{outside}:{inside}\"?"),
            None => "the protocols with ports are `tcp` and `udp`".to_owned(),
        };
        return wrong(format!("unknown protocol '{protocol}' in \"{text}\""), help);
    };
    let number = |text: &str| text.parse::<u16>().ok().filter(|n| *n != 0 && !text.starts_with('+'));
    let (Some(outside_port), Some(inside_port)) = (number(outside), number(inside)) else {
        let bad = if number(outside).is_none() { outside } else { inside };
        return wrong(format!("bad port '{bad}' in \"{text}\""), "a port is a number from 1 to 65535".to_owned());
    };
    Some(PortFile { protocol: known, outside: outside_port, inside: inside_port })
}
