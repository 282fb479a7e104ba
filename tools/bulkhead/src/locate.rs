//! The validator's mistakes, taken back to the places in the system file that caused them.

mod devices;

use crate::diagnostic::{Diagnostic, Span};
use crate::file::{Given, PartitionFile, SystemFile};
use crate::fit::Misfit;
use crate::kernel::Kernel;
use abi::service::{MAX_DEVICES, MAX_PARTITION_DEVICES};
use abi::{CoreId, machine};
use addr::{ByteSize, Ipa, Region, align_up};
use manifest::{Mistake, Name, Owner, PayloadKind, Setting};

/// What could be worked out for a partition before it was validated.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its RAM has a place.
    pub memory: bool,
    /// Its kernel, initrd and trees have theirs.
    pub payloads: bool,
}

/// Whether a mistake is about the machine: it makes all others moot.
pub fn is_about_the_machine(mistake: &Mistake) -> bool {
    matches!(
        mistake,
        Mistake::MachineCores { .. }
            | Mistake::MachineMemory { .. }
            | Mistake::FixedMachine { .. }
            | Mistake::WrongBoard { .. }
    )
}

/// Whether a mistake is one on every board.
pub fn needs_no_board(mistake: &Mistake) -> bool {
    use Mistake as M;
    matches!(
        mistake,
        M::NoPartitions
            | M::NameEmpty { .. }
            | M::NameCharacters { .. }
            | M::NameReserved { .. }
            | M::NameTwice { .. }
            | M::NoCores { .. }
            | M::CoreTwice { .. }
            | M::SettingRange { .. }
            | M::VirtioUnserved { .. }
            | M::VirtioCount { .. }
    )
}

/// Whether a mistake is about the tree for GICv2: where there is one for GICv3 too, that one's says the same.
pub fn is_about_the_v2_tree(mistake: &Mistake) -> bool {
    use PayloadKind::DeviceTreeV2 as V2;
    match mistake {
        Mistake::PayloadOutsideRam { kind, .. } => *kind == V2,
        Mistake::PayloadsOverlap { kind, other, .. } => *kind == V2 || *other == V2,
        _ => false,
    }
}

/// The message for `mistake`; `None` when it only follows from something that was reported already.
pub fn diagnose(file: &SystemFile, known: &[Known], mistake: &Mistake) -> Option<Diagnostic> {
    use Mistake as M;
    let at = |span: Span| Diagnostic::new(span, mistake.problem().to_string(), mistake.mend().to_string());
    let of = |name: &Name| file.partition(name.id.index());
    let is_service = |name: &Name| file.service.is_some() && name.id.index() == file.partitions.len();
    let known = |name: &Name| known.get(name.id.index()).copied();
    let board = || file.board.span().unwrap_or(0..0);
    Some(match mistake {
        M::NoPartitions if file.has_bad_partitions => return None,
        M::MachineCores { .. } => at(file.cores.span()?),
        M::MachineMemory { .. } => at(file.memory.span()?),
        M::FixedMachine { cores, said, .. } if *cores != said.cores => at(file.cores.span()?),
        M::FixedMachine { .. } => at(file.memory.span()?),
        M::WrongBoard { .. } | M::BundleSize { .. } | M::PoolSize { .. } | M::NoPartitions => at(board()),
        // The service partition is not there for a reason that was reported.
        M::VirtioUnserved { .. } if file.service.is_some() || file.has_bad_service => return None,
        M::VirtioUnserved { partition } => at(virtio_span(of(partition)?, 0)?),
        M::VirtioCovered { partition, slot } => at(virtio_span(of(partition)?, *slot)?),
        M::VirtioCount { .. } => at(virtio_too_many(file)?),
        // That nothing needs it was said, and so was that its kernel has no place.
        M::BadWindow { partition }
            if of(partition)?.virtio_devices().next().is_none() || !known(partition)?.payloads =>
        {
            return None;
        }
        M::BadWindow { .. } | M::VirtioNumbers { .. } | M::ServiceNotIdentity { .. } | M::ServiceCores { .. } => {
            at(board())
        }

        M::NameEmpty { partition } | M::NameCharacters { partition } | M::NameReserved { partition } => {
            at(value(&of(partition)?.name)?)
        }
        M::NameTwice { first, second } if is_service(second) => {
            let mistake = at(value(&of(first)?.name)?);
            Diagnostic { title: format!("partition name {first} is the service partition's"), ..mistake }
                .also(of(second)?.span.clone(), "the service partition")
        }
        M::NameTwice { first, second } => {
            at(value(&of(second)?.name)?).also(of(first)?.name.span()?, "the first of that name")
        }

        M::NoCores { partition } | M::TooManyVcpus { partition, .. } => at(value(&of(partition)?.cores)?),
        M::CoreAbsent { partition, core, .. } => at(core_span(of(partition)?, *core, 0)?),
        M::CoreTwice { core, first, second } => {
            let is_one = first.id == second.id;
            at(core_span(of(second)?, *core, usize::from(is_one))?)
                .label(if is_one { "again".to_owned() } else { format!("partition {second}") })
                .also(core_span(of(first)?, *core, 0)?, format!("partition {first}"))
        }

        M::DeviceTwice { .. }
        | M::DevicesShare { .. }
        | M::DeviceOfHypervisor { .. }
        | M::DeviceDma { .. }
        | M::DeviceRestart { .. }
        | M::DeviceCovered { .. }
        | M::DeviceInterrupt { .. } => return devices::diagnose(file, mistake),
        // The service partition owns it, and that was said.
        M::DeviceUnshielded { device, .. } if is_of_service(file, device) => return None,
        M::DeviceUnshielded { .. } => return devices::diagnose(file, mistake),
        M::DeviceAbsent { partition, .. } => at(value(&of(partition)?.devices)?),

        M::NoMemory { partition } if of(partition)?.memory.value() != Some(&0) => return None,
        M::NoMemory { partition }
        | M::MemoryTooSmall { partition, .. }
        | M::OutsideMap { partition, .. }
        | M::NotIdentity { partition, .. }
        | M::BanksOverlap { partition, .. } => at(value(&of(partition)?.memory)?),
        M::NotCongruent { partition, .. } => at(memory_span(of(partition)?)?),
        M::Unaligned { owner, region } => match owner {
            // The tool's own choices are aligned: the size is not, or the pin is not.
            Owner::Partition(name) if !addr::is_aligned(region.size(), addr::PAGE_SIZE) => {
                at(value(&of(name)?.memory)?)
            }
            owner => at(owner_span(file, owner)?),
        },
        M::Unsound { owner, .. } | M::OutsideRam { owner, .. } => at(owner_span(file, owner)?),
        M::Overlap { first, second, .. } => {
            // The partition's range is the one that the writer chose.
            let (chosen, other) = if matches!(second, Owner::Partition(_)) { (second, first) } else { (first, second) };
            let mistake = at(owner_span(file, chosen)?).label(chosen.to_string());
            match (other, owner_span(file, other)) {
                (Owner::Partition(_), Some(span)) => mistake.also(span, other.to_string()),
                _ => mistake,
            }
        }

        M::NoKernel { partition }
        | M::NoTree { partition, .. }
        | M::PayloadTwice { partition, .. }
        | M::PayloadOutsideBundle { partition, .. }
        | M::PayloadUnaligned { partition, .. }
        | M::PayloadOutsideRam { partition, .. }
        | M::PayloadsOverlap { partition, .. }
        | M::TreeTooLarge { partition, .. }
        | M::TreeElsewhere { partition, .. }
        | M::BadPlan { partition, .. }
        | M::BadEntry { partition, .. }
        | M::BadTree { partition, .. }
            if !known(partition)?.payloads =>
        {
            return None;
        }
        M::PayloadsOverlap { partition, kind, other, .. } => {
            let partition = of(partition)?;
            at(payload_span(partition, *other)?).also(payload_span(partition, *kind)?, kind.to_string())
        }
        M::PayloadOutsideRam { partition, kind, .. }
        | M::PayloadOutsideBundle { partition, kind, .. }
        | M::PayloadUnaligned { partition, kind, .. }
        | M::PayloadTwice { partition, kind }
        | M::NoTree { partition, kind } => at(payload_span(of(partition)?, *kind)?),
        M::TreeTooLarge { partition, .. } | M::TreeElsewhere { partition, .. } | M::BadTree { partition, .. } => {
            at(payload_span(of(partition)?, PayloadKind::DeviceTreeV3)?)
        }
        M::NoKernel { partition } | M::BadEntry { partition, .. } | M::BadPlan { partition, .. } => {
            at(value(&of(partition)?.kernel)?)
        }

        M::SettingRange { partition, setting, .. } => {
            let partition = of(partition)?;
            at(match setting {
                Setting::Restarts | Setting::Window => value(&partition.restart_limit)?,
                Setting::Backoff => value(&partition.restart_backoff)?,
                Setting::Watchdog => value(&partition.watchdog)?,
            })
        }
        M::WatchdogCovered { partition } => at(value(&of(partition)?.watchdog)?),

        // What a file can do wrong there was reported, with the names.
        M::ChannelNumbers { .. } => return None,
        M::ChannelCovered { partition, channel } => {
            let (partition, channel) = (file.partition(partition.index())?, file.channels.get(*channel)?);
            let title = format!("{} has RAM or a device where {} would be", partition.title(), channel.title());
            let mistake = at(channel.between.span()?);
            Diagnostic { title, ..mistake }.also(partition.span.clone(), "this partition")
        }
    })
}

/// Where a good value stands; mistakes about a bad one were reported with it.
fn value<T>(given: &Given<T>) -> Option<Span> {
    given.value().and(given.span())
}

/// Where the `nth` mention of `core` stands.
fn core_span(partition: &PartitionFile, core: CoreId, nth: usize) -> Option<Span> {
    let mentions = partition.cores.value()?.iter().filter(|(n, _)| *n == core.number());
    mentions.map(|(_, span)| span.clone()).nth(nth)
}

/// Where the virtio device in `slot` stands.
pub fn virtio_span(partition: &PartitionFile, slot: usize) -> Option<Span> {
    partition.virtio_devices().nth(slot).map(|(_, span)| span)
}

/// The first virtio device that there is no room for.
fn virtio_too_many(file: &SystemFile) -> Option<Span> {
    let devices = |partition| (0..MAX_PARTITION_DEVICES).map_while(move |slot| virtio_span(partition, slot));
    file.partitions.iter().flat_map(devices).nth(MAX_DEVICES)
}

/// Whether the service partition owns this device of the board.
fn is_of_service(file: &SystemFile, device: &str) -> bool {
    let board = file.board.value().map(|platform| platform.board);
    board.is_some_and(|board| board.service_devices().any(|(_, other)| other.name == device))
}

/// What fixed the partition's physical range.
fn memory_span(partition: &PartitionFile) -> Option<Span> {
    value(&partition.memory_at).or_else(|| value(&partition.memory))
}

fn owner_span(file: &SystemFile, owner: &Owner) -> Option<Span> {
    match owner {
        Owner::Partition(name) | Owner::Kept(name) => memory_span(file.partition(name.id.index())?),
        Owner::Channel(number) => file.channels.get(*number).map(|channel| channel.span.clone()),
        Owner::Pool | Owner::Bundle | Owner::Board(_) => file.board.span(),
    }
}

/// What fixed the payload's place.
fn payload_span(partition: &PartitionFile, kind: PayloadKind) -> Option<Span> {
    let (pin, file) = match kind {
        PayloadKind::Kernel => (value(&partition.kernel_at), value(&partition.kernel)),
        PayloadKind::Initrd => (None, value(&partition.initrd)),
        PayloadKind::Plan => (None, None),
        PayloadKind::DeviceTreeV2 | PayloadKind::DeviceTreeV3 => (value(&partition.device_tree_at), None),
    };
    pin.or(file).or_else(|| value(&partition.kernel))
}

/// The message for a kernel that has no place in `ram`.
pub fn misfit(partition: &PartitionFile, kernel: &Kernel, ram: Region<Ipa>, misfit: Misfit) -> Diagnostic {
    let name = partition.kernel.value().map_or("", String::as_str);
    let kernel_span = partition.kernel.span().unwrap_or(partition.span.clone());
    let pin_span = partition.kernel_at.span().unwrap_or(kernel_span.clone());
    let memory_span = partition.memory.span().unwrap_or(partition.span.clone());
    let window = partition.memory.value().and_then(|memory| partition.window.bytes(*memory));
    let beside = if window.is_some() { " beside its window" } else { "" };
    let has = format!("{} has {}{beside}", partition.title(), ByteSize(ram.size()));
    let give = |needed: u64| give(needed.saturating_add(window.unwrap_or(0)));
    match misfit {
        Misfit::Kernel(needed) => {
            let title = format!(
                "kernel '{name}' ({}, {}) is larger than the memory of {}",
                kernel.format(),
                rounded(kernel.memory_size()),
                partition.title()
            );
            Diagnostic::new(kernel_span, title, give(needed))
                .label(format!("needs {}", rounded(needed)))
                .also(memory_span, has)
        }
        Misfit::Together(needed) => {
            let title = format!("kernel, initrd and device tree are larger than the memory of {}", partition.title());
            Diagnostic::new(memory_span, title, give(needed)).label(format!("they need {}", rounded(needed)))
        }
        Misfit::Segment(address, size) if Region::new(Ipa::new(address), 1).is_some_and(|first| ram.covers(&first)) => {
            let needed = address.saturating_add(size).saturating_sub(ram.start().as_u64());
            self::misfit(partition, kernel, ram, Misfit::Kernel(needed))
        }
        Misfit::Segment(address, size) => {
            let title = format!(
                "kernel '{name}' has {} for {}, outside the memory of {} {ram}",
                ByteSize(size),
                Ipa::new(address),
                partition.title()
            );
            let help = if address >> 63 == 1 {
                "give it arch/arm64/boot/Image instead of vmlinux".to_owned()
            } else {
                let where_it_is = match ram.start() == machine::MAIN_RAM {
                    true => "where a guest with a window has the rest of its memory",
                    false => "where every guest has its memory",
                };
                format!("link it for {} and above, {where_it_is}", ram.start())
            };
            Diagnostic::new(kernel_span, title, help)
        }
        Misfit::PinnedElf => {
            let title = format!("kernel '{name}' is an ELF file, which says itself where it goes");
            Diagnostic::new(pin_span, title, "leave `kernel_at` out, or link it elsewhere")
        }
        Misfit::PinnedImage(text_offset) => {
            let title =
                format!("kernel '{name}' is a Linux Image, which must lie {text_offset} bytes behind a 2M boundary");
            Diagnostic::new(pin_span, title, "leave `kernel_at` out, or pin it to such a place")
        }
    }
}

/// Whole kibibytes or mebibytes, upwards.
fn rounded(bytes: u64) -> ByteSize {
    let unit = if bytes < 1 << 20 { 1 << 10 } else { 1 << 20 };
    ByteSize(align_up(bytes, unit).unwrap_or(bytes))
}

/// Advice to give at least `needed` bytes.
fn give(needed: u64) -> String {
    let generous = align_up(needed.saturating_add(needed / 8), 2 << 20).unwrap_or(needed);
    format!("give it more, such as `memory = \"{}\"`", ByteSize(generous))
}
