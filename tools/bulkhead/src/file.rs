//! A system file as written: every value with its place, every mistake of form reported at once.
//!
//! Only form is judged here: keys, types, sizes, names of boards and devices. Who owns what is judged by
//! `manifest::validate`. A value that is wrong stays marked as such, so that nothing is said twice about it.

pub mod bandwidth;
mod channel;
mod disk;
mod duration;
mod keys;
mod machine;
mod net;
mod network;
mod partition;
mod pins;
mod service;
pub mod size;
mod table;
mod virtio;
mod window;

use crate::board::{PLATFORMS, Platform, find};
use crate::diagnostic::{Diagnostic, Span};
use crate::near;
pub use channel::ChannelFile;
pub use disk::DiskFile;
pub use machine::DiskImage;
use manifest::{ConsoleMode, Machine, OnPanic, WhenAllStopped};
pub use net::{Mac, NetFile, PortFile, name as protocol_name};
pub use network::{NetworkFile, Subnet};
pub use partition::{BOOTARGS_MAX, PartitionFile};
pub use pins::PinFile;
pub use service::NAME as SERVICE_NAME;
use std::path::PathBuf;
use table::Table;
use toml::de::{DeTable, DeValue};
pub use virtio::{VIRTIO_KEYS, VirtioFile};
pub use window::{Mode, WindowFile};

/// A value that a system file may hold.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Given<T> {
    /// The key is not there.
    #[default]
    Absent,
    /// The key is there and its value was reported.
    Wrong(Span),
    /// The value and its place.
    Is(T, Span),
}

impl<T> Given<T> {
    /// The value, where there is a good one.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Is(value, _) => Some(value),
            _ => None,
        }
    }
    /// Where it stands.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Absent => None,
            Self::Wrong(span) | Self::Is(_, span) => Some(span.clone()),
        }
    }
    /// Whether it was reported.
    pub fn is_wrong(&self) -> bool {
        matches!(self, Self::Wrong(_))
    }
    /// The same with the value turned into another, or reported as wrong.
    fn then<U>(self, turn: impl FnOnce(T, &Span) -> Option<U>) -> Given<U> {
        match self {
            Self::Absent => Given::Absent,
            Self::Wrong(span) => Given::Wrong(span),
            Self::Is(value, span) => match turn(value, &span) {
                Some(value) => Given::Is(value, span),
                None => Given::Wrong(span),
            },
        }
    }
}

/// The text of a system file, and what its paths are relative to.
#[derive(Clone, Debug)]
pub struct Source {
    /// The path as the user gave it.
    pub shown: String,
    /// The folder of the file.
    pub folder: PathBuf,
    /// The content.
    pub text: String,
}

impl Source {
    /// Reads the file at `path`.
    pub fn read(path: &std::path::Path) -> anyhow::Result<Self> {
        use anyhow::Context;
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the system file {shown}"))?;
        let folder = path.parent().map(PathBuf::from).unwrap_or_default();
        Ok(Self { shown, folder, text })
    }
}

/// A system file.
#[derive(Debug, Default)]
pub struct SystemFile {
    /// The board.
    pub board: Given<&'static Platform>,
    /// `machine.cores`.
    pub cores: Given<u16>,
    /// `machine.memory`.
    pub memory: Given<u64>,
    /// How the console is shared.
    pub console: Given<ConsoleMode>,
    /// What happens at the end.
    pub when_all_stopped: Given<WhenAllStopped>,
    /// Whether RAM is zeroed at boot.
    pub scrub_at_boot: Given<bool>,
    /// What follows a bug of EL2's own.
    pub on_hypervisor_panic: Given<OnPanic>,
    /// The disk images that the emulator attaches.
    pub disks: Given<Vec<DiskImage>>,
    /// The service partition.
    pub service: Option<PartitionFile>,
    /// Whether it may be missing for a reason that was reported.
    pub has_bad_service: bool,
    /// The network of the partitions.
    pub network: NetworkFile,
    /// The channels between partitions.
    pub channels: Vec<ChannelFile>,
    /// The other partitions, in the file's order.
    pub partitions: Vec<PartitionFile>,
    /// Whether partitions may be missing from the list for a reason that was reported.
    pub has_bad_partitions: bool,
}

impl SystemFile {
    /// Every partition, in the manifest's order: the service partition is the last.
    pub fn all(&self) -> impl Iterator<Item = &PartitionFile> {
        self.partitions.iter().chain(&self.service)
    }

    /// The partition at this place of the manifest.
    pub fn partition(&self, place: usize) -> Option<&PartitionFile> {
        self.all().nth(place)
    }

    /// Whether a partition wants a way out: the board must have a network device.
    pub fn needs_uplink(&self) -> bool {
        let has_nets = self.partitions.iter().any(|partition| partition.net.value().is_some());
        has_nets && self.service.is_some() && self.network.has_uplink()
    }

    /// The machine: what the file says, or the board's own.
    pub fn machine(&self, board: &manifest::Board) -> Machine {
        let own = board.default_machine();
        Machine {
            cores: self.cores.value().copied().unwrap_or(own.cores),
            memory: self.memory.value().copied().unwrap_or(own.memory),
        }
    }
}

/// Reads `text`; mistakes go to `found`.
pub fn parse(text: &str, found: &mut Vec<Diagnostic>) -> SystemFile {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        found.push(syntax(text, error));
    }
    let mut file = SystemFile::default();
    if !errors.is_empty() {
        // What follows a broken line was not understood: its absence is no mistake of the writer.
        file.has_bad_partitions = true;
        return file;
    }
    let first_line = 0..text.find('\n').unwrap_or(text.len());
    let root = Table::new("a system file", document.get_ref(), first_line, keys::SYSTEM, found);
    file.board = board(&root, found);
    machine::parse(&root, &mut file, found);
    file.console =
        root.choice("console", found, &[("interactive", ConsoleMode::Interactive), ("tagged", ConsoleMode::Tagged)]);
    file.when_all_stopped = root.choice(
        "when_all_stopped",
        found,
        &[("poweroff", WhenAllStopped::PowerOff), ("halt", WhenAllStopped::Halt)],
    );
    file.scrub_at_boot = root.boolean("scrub_at_boot", found);
    file.on_hypervisor_panic =
        root.choice("on_hypervisor_panic", found, &[("stop", OnPanic::Stop), ("reset", OnPanic::Reset)]);
    file.service = service::parse(&root, found);
    file.has_bad_service = file.service.is_none() && (root.get("service").is_some() || root.was_misspelt("service"));
    file.network = network::parse(&root, found);
    partitions(&root, &mut file, found);
    file.channels = channel::parse(&root, found);
    file
}

fn syntax(text: &str, error: &toml::de::Error) -> Diagnostic {
    let span = error.span().unwrap_or(text.len()..text.len());
    let mut title = error.message().lines().next().unwrap_or_default().to_owned();
    if title.is_empty() {
        title = "this is not TOML".to_owned();
    }
    let help = if title.starts_with("duplicate key") {
        "a key stands once in its table, and a table such as [service] once in the file"
    } else {
        "lines are `key = value`, tables start with [[partition]]; text stands in \"quotes\""
    };
    Diagnostic::new(span, title, help)
}

fn board(root: &Table<'_, '_>, found: &mut Vec<Diagnostic>) -> Given<&'static Platform> {
    let names = || PLATFORMS.iter().map(|platform| platform.board.name);
    let given = root.string("board", found);
    if given == Given::Absent && !root.was_misspelt("board") {
        let help = format!("begin with `board = \"{}\"`", PLATFORMS[0].board.name);
        found.push(Diagnostic::new(root.span(), "the system file names no board", help));
    }
    given.then(|name, span| {
        let platform = find(&name);
        if platform.is_none() {
            let help = match near::nearest(&name, names()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("the boards are {}", near::list(names())),
            };
            found.push(Diagnostic::new(span.clone(), format!("unknown board '{name}'"), help));
        }
        platform
    })
}

fn partitions(root: &Table<'_, '_>, file: &mut SystemFile, found: &mut Vec<Diagnostic>) {
    let Some((value, span)) = root.get("partition") else {
        file.has_bad_partitions = root.was_misspelt("partition");
        return;
    };
    let array = match value {
        DeValue::Array(array) => array,
        _ => {
            file.has_bad_partitions = true;
            found.push(Diagnostic::new(
                span,
                "`partition` is a list of tables",
                "write [[partition]], with two brackets",
            ));
            return;
        }
    };
    let most = abi::MAX_PARTITIONS - usize::from(file.service.is_some());
    for (place, element) in array.iter().enumerate() {
        let DeValue::Table(keys) = element.get_ref() else {
            file.has_bad_partitions = true;
            found.push(Diagnostic::new(
                element.span(),
                "a partition is a table",
                "write [[partition]] on a line of its own",
            ));
            continue;
        };
        if place == most {
            let beside = if file.service.is_some() { " beside the service partition" } else { "" };
            let title = format!("{} partitions{beside}; there is room for {most}", array.len());
            found.push(Diagnostic::new(element.span(), title, "take some out"));
            break;
        }
        file.partitions.push(partition::parse(keys, element.span(), found));
    }
}
