//! `[service]` as written: a partition with a name, a kernel and a size of its own.

use super::partition::{cores, policy_keys};
use super::table::{Table, describe};
use super::{Given, PartitionFile, keys};
use crate::diagnostic::Diagnostic;
use crate::el2::checkout;
use addr::ByteSize;
use toml::de::DeValue;

/// The name of the service partition.
pub const NAME: &str = "service";
/// Its memory unless the file says otherwise.
const MEMORY: u64 = 32 << 20;
/// Least memory: image, heap, and what it keeps.
const MEMORY_MIN: u64 = 8 << 20;
/// How long its watchdog waits unless the file says otherwise, in milliseconds.
const WATCHDOG_MS: u32 = 10_000;
/// Its kernel unless the file says otherwise, in the checkout that this tool came from.
const KERNEL: &str = "build/guests/service.elf";

/// Reads `[service]`; mistakes go to `found`.
pub fn parse(root: &Table<'_, '_>, found: &mut Vec<Diagnostic>) -> Option<PartitionFile> {
    let (value, span) = root.get("service")?;
    let DeValue::Table(entries) = value else {
        let (title, help) = match value {
            DeValue::Array(_) => ("there is one service partition".to_owned(), "write [service], with one bracket"),
            other => (format!("`service` is a table, not {}", describe(other)), "write [service] on a line of its own"),
        };
        found.push(Diagnostic::new(span, title, help));
        return None;
    };
    let table = Table::new("the service partition", entries, span.clone(), keys::SERVICE, found);
    let or = |given: Given<u64>, own| if given == Given::Absent { Given::Is(own, span.clone()) } else { given };
    let memory = or(table.size("memory", found, "\"32M\""), MEMORY).then(|size, span| {
        let is_enough = size >= MEMORY_MIN;
        if !is_enough {
            let title = format!("the service partition has {} of memory", ByteSize(size));
            found.push(Diagnostic::new(span.clone(), title, format!("give it at least {}", ByteSize(MEMORY_MIN))));
        }
        is_enough.then_some(size)
    });
    let kernel = match table.string("kernel", found) {
        Given::Absent if table.was_misspelt("kernel") => Given::Wrong(span.clone()),
        Given::Absent => Given::Is(checkout().join(KERNEL).display().to_string(), span.clone()),
        given => given,
    };
    let mut service = PartitionFile {
        span: span.clone(),
        name: Given::Is(NAME.to_owned(), span.clone()),
        cores: cores(&table, found).then(|cores, span| {
            let is_one = cores.len() <= 1;
            if !is_one {
                let title = format!("the service partition has {} cores", cores.len());
                found.push(Diagnostic::new(span.clone(), title, "give it one: it uses no more"));
            }
            is_one.then_some(cores)
        }),
        memory,
        kernel,
        identity: Given::Is(true, span.clone()),
        ..PartitionFile::default()
    };
    policy_keys(&table, &mut service, found);
    if service.watchdog == Given::Absent {
        service.watchdog = Given::Is(WATCHDOG_MS, span.clone());
    }
    if service.cores == Given::Absent && !table.was_misspelt("cores") {
        let help = "add cores = [0]: it has a core of its own";
        found.push(Diagnostic::new(span, "the service partition has no `cores`", help));
    }
    Some(service)
}
