//! The board's pins: what each does, for whom, and what is wrong about that.
//!
//! The service partition holds the one block of registers behind all pins and sets them when it starts. A partition's
//! own devices then reach the header; the pins of nobody stay as the firmware left them.

use crate::board::Platform;
use crate::devices;
use crate::diagnostic::{Diagnostic, Span};
use crate::file::{PartitionFile, PinFile, SystemFile};
use crate::near;
use abi::PartitionId;
use abi::machine::{MAX_LINES, line_pin};
use abi::plan::{Line, Pin, Pins};
use bcm2711::pin::{CONSOLE, HEADER, PINS as ALL};
use bcm2711::{Block, Kind, Signal};
use manifest::{CLOCKS, PINS};

/// A pin that a program of the partition drives and reads itself, at its PL061.
const PLAIN: &str = "gpio";

/// What the service partition sets, if anything; `None` where a mistake leaves something open.
pub fn resolve(file: &SystemFile) -> Option<Option<Pins>> {
    let platform = *file.board.value()?;
    let all = file.partitions.iter().flat_map(|partition| &partition.pins);
    let set = all.filter(|pin| pin.function.0 != PLAIN);
    let mut pins: Vec<Pin> = set.map(|pin| Some(signal(platform.signals, pin)?.setting())).collect::<Option<_>>()?;
    pins.sort_by_key(|pin| pin.number);
    let of = |(n, partition)| lines(partition).map(move |line| Line { partition: PartitionId::new(n), ..line });
    let lines: Vec<Line> = (0..).zip(&file.partitions).flat_map(of).collect();
    let has_pwm = file.partitions.iter().any(|partition| pwm(platform, partition).is_some());
    if pins.is_empty() && lines.is_empty() && !has_pwm {
        return Some(None);
    }
    let device = |name| Some(platform.board.device(name)?.1);
    let pwm_clock = if has_pwm { Some(device(CLOCKS)?.start) } else { None };
    let block = device(PINS)?;
    Some(Some(Pins {
        registers: block.start,
        pins: heapless::Vec::from_slice(&pins).ok()?,
        lines: heapless::Vec::from_slice(&lines).ok()?,
        intid: block.intids.first().copied()?,
        pwm_clock,
    }))
}

/// The plain pins of `partition`, upwards, with their places in its PL061; whose they are is left open.
pub fn lines(partition: &PartitionFile) -> impl Iterator<Item = Line> {
    let plain = partition.pins.iter().filter(|pin| pin.function.0 == PLAIN);
    let numbers = plain.filter_map(|pin| u8::try_from(pin.pin.0).ok()).take(MAX_LINES);
    (0..).zip(numbers).map(|(n, number)| Line { number, partition: PartitionId::new(0), place: line_pin(n) })
}

/// Where `partition` names PWM.
fn pwm(platform: &Platform, partition: &PartitionFile) -> Option<Span> {
    let block = platform.blocks.iter().find(|block| block.kind == Kind::Pwm)?;
    devices::mentions(platform, partition, block.device).map(|(_, span)| span).next()
}

/// Every pin of a partition, by number: who has it, and what it is.
pub fn owners(file: &SystemFile) -> Vec<(u16, String)> {
    let owner = |partition: &PartitionFile| partition.name.value().cloned().unwrap_or_default();
    let of = |partition| move |pin: &PinFile| (pin.pin.0, format!("{}: {}", owner(partition), pin.function.0));
    let mut owners: Vec<_> =
        file.partitions.iter().flat_map(|partition| partition.pins.iter().map(of(partition))).collect();
    owners.sort();
    owners
}

/// What `pin` does, if its number and its function go together.
fn signal(signals: &'static [Signal], pin: &PinFile) -> Option<&'static Signal> {
    signals.iter().find(|signal| u16::from(signal.pin) == pin.pin.0 && signal.is_called(&pin.function.0))
}

/// Reports the mistakes about pins in `file`.
pub fn check(file: &SystemFile, found: &mut Vec<Diagnostic>) {
    let Some(&platform) = file.board.value() else { return };
    let mut before: Vec<(&PartitionFile, &PinFile)> = Vec::new();
    for partition in &file.partitions {
        if let (true, Some(pin)) = (platform.signals.is_empty(), partition.pins.first()) {
            let title = format!("board '{}' has no pins", platform.board.name);
            found.push(Diagnostic::new(pin.pin.1.clone(), title, "take `pins` out"));
            continue;
        }
        if let (None, false, Some(pin)) = (&file.service, file.has_bad_service, partition.pins.first()) {
            let title = format!("{} has pins that nobody sets", partition.title());
            let help = "add a [service] with a core of its own, such as `cores = [0]`: it sets them when it starts";
            found.push(Diagnostic::new(pin.pin.1.clone(), title, help));
        }
        if let (None, false, Some(span)) = (&file.service, file.has_bad_service, pwm(platform, partition)) {
            let title = format!("{} has PWM, whose clock nobody starts", partition.title());
            let help = "add a [service] with a core of its own, such as `cores = [0]`: it starts that clock";
            found.push(Diagnostic::new(span, title, help));
        }
        found.extend(crowd(partition));
        for pin in &partition.pins {
            let mistake = absent(pin)
                .or_else(|| taken(partition, pin, &before))
                .or_else(|| function(platform, partition, pin))
                .or_else(|| twice(partition, pin, &before));
            found.extend(mistake);
            before.push((partition, pin));
        }
    }
}

/// Whether it has more plain pins than its PL061 has places.
fn crowd(partition: &PartitionFile) -> Option<Diagnostic> {
    let plain = partition.pins.iter().filter(|pin| pin.function.0 == PLAIN);
    let (count, first) = (plain.clone().count(), plain.clone().nth(MAX_LINES)?);
    let title = format!("{} has {count} plain pins", partition.title());
    let help = format!("give it at most {MAX_LINES}: a PL061 has eight, and one is the power key's");
    Some(Diagnostic::new(first.function.1.clone(), title, help))
}

/// What is wrong with the number.
fn absent(pin: &PinFile) -> Option<Diagnostic> {
    let (number, span) = &pin.pin;
    let (title, help) = match u8::try_from(*number) {
        Ok(number) if CONSOLE.contains(&number) => {
            (format!("pin {number} belongs to the hypervisor's console"), "use another pin".to_owned())
        }
        Ok(number) if number < HEADER => return None,
        Ok(number) if number < ALL => {
            let title = format!("pin {number} does not reach the header: the board itself uses it");
            (title, format!("use pins 0 to {}", HEADER - 1))
        }
        _ => (format!("there is no pin {number}"), format!("use pins 0 to {}", HEADER - 1)),
    };
    Some(Diagnostic::new(span.clone(), title, help))
}

/// Whether somebody has the pin.
fn taken(partition: &PartitionFile, pin: &PinFile, before: &[(&PartitionFile, &PinFile)]) -> Option<Diagnostic> {
    let (owner, first) = before.iter().find(|(_, other)| other.pin.0 == pin.pin.0)?;
    let title = format!("pin {} belongs to {} and to {}", pin.pin.0, owner.title(), partition.title());
    let mistake = Diagnostic::new(pin.pin.1.clone(), title, "take it from one of them: a pin has exactly one owner");
    Some(mistake.label(partition.title()).also(first.pin.1.clone(), owner.title()))
}

/// What is wrong with what the pin does.
fn function(platform: &Platform, partition: &PartitionFile, pin: &PinFile) -> Option<Diagnostic> {
    let (name, span) = &pin.function;
    let number = pin.pin.0;
    let report = |title: String, help: String| Some(Diagnostic::new(span.clone(), title, help));
    if name == PLAIN {
        return None;
    }
    if signal(platform.signals, pin).is_none() {
        return report(format!("pin {number} cannot be '{name}'"), elsewhere(platform.signals, pin));
    }
    let block = platform.blocks.iter().find(|block| has_line(block, name))?;
    let is_there = platform.board.device(block.device).is_some();
    let has_it = devices::has(platform, partition, block);
    (is_there && !has_it && !partition.devices.is_wrong()).then(|| {
        let title = format!("pin {number} is '{name}', and {} has no device '{}'", partition.title(), block.name);
        Diagnostic::new(span.clone(), title, format!("add \"{}\" to its `devices`", block.name))
    })
}

fn has_line(block: &Block, name: &str) -> bool {
    name.split_once('.').is_some_and(|(own, _)| own == block.name)
}

/// Where the line is, or what the pin can be.
fn elsewhere(signals: &[Signal], pin: &PinFile) -> String {
    let (number, name) = (pin.pin.0, pin.function.0.as_str());
    let places: Vec<String> =
        signals.iter().filter(|signal| signal.is_called(name)).map(|signal| signal.pin.to_string()).collect();
    if !places.is_empty() {
        return format!("'{name}' is on pin {}", places.join(" or "));
    }
    let own = signals.iter().filter(|signal| u16::from(signal.pin) == number);
    let mut names: Vec<String> = own.map(|signal| format!("{}.{}", signal.block, signal.line)).collect();
    names.push(PLAIN.to_owned());
    match near::nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("it can be {}", near::list(names.iter().map(String::as_str))),
    }
}

/// Whether another pin is the same line: two pins would feed one input.
fn twice(partition: &PartitionFile, pin: &PinFile, before: &[(&PartitionFile, &PinFile)]) -> Option<Diagnostic> {
    let is_same = |other: &PinFile| other.function.0 == pin.function.0 && pin.function.0 != PLAIN;
    let (owner, first) = before.iter().find(|(_, other)| is_same(other))?;
    let title = format!("'{}' is on pin {} and on pin {}", pin.function.0, first.pin.0, pin.pin.0);
    let mistake = Diagnostic::new(pin.function.1.clone(), title, "choose one of them");
    Some(mistake.label(partition.title()).also(first.function.1.clone(), owner.title()))
}
