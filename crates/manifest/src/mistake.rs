//! One broken rule, told so that a person can mend it: both owners, their values, and what to do.
//!
//! The host tool underlines [`Mistake::problem`] in the system file and prints [`Mistake::mend`] as help; EL2 prints
//! both on one line. Values are copied, so a mistake outlives the manifest it was found in.

use crate::validate::{DEVICE_TREE_MAX, IPA_END, MAX_QUEUE_SIZE, MEMORY_MIN, MIN_MACHINE_MEMORY, OWN_NAME};
use crate::{Machine, PayloadKind, Setting};
use abi::bundle::{ALIGN, BUNDLE_MAX};
use abi::channel::{MAX_SIZE, MIN_SIZE};
use abi::service::{MAX_DEVICES, MAX_QUEUES};
use abi::{CoreId, IntId, MAX_CORES, MAX_NAME, PartitionId, plan};
use addr::{BLOCK_2M, ByteSize, Ipa, PAGE_SIZE, Pa, Region};
use core::fmt::{self, Display, Formatter, Write};
use heapless::String;

/// A partition as messages call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Its place in the system file.
    pub id: PartitionId,
    /// Its name, which may break the rules for names.
    pub name: String<MAX_NAME>,
}

impl Display for Name {
    /// A hostile name cannot send control characters to the console.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            return write!(f, "number {}", self.id.number() as u32 + 1);
        }
        f.write_char('\'')?;
        self.name.chars().flat_map(char::escape_debug).try_for_each(|c| f.write_char(c))?;
        f.write_char('\'')
    }
}

/// Who holds a range of physical memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// RAM of a partition.
    Partition(Name),
    /// What a service partition keeps beside its RAM.
    Kept(Name),
    /// EL2's frame pool.
    Pool,
    /// The bundle: EL2 itself and every partition's pristine payloads.
    Bundle,
    /// A range that the board keeps, by its name.
    Board(&'static str),
    /// The memory of the channel with this number.
    Channel(usize),
}

impl Display for Owner {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partition(name) => write!(f, "RAM of partition {name}"),
            Self::Kept(name) => write!(f, "memory kept for partition {name}"),
            Self::Pool => f.write_str("the hypervisor's frame pool"),
            Self::Bundle => f.write_str("the hypervisor and its boot bundle"),
            Self::Board(name) => f.write_str(name),
            Self::Channel(number) => write!(f, "memory of channel {number}"),
        }
    }
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are the values of the message, which `fmt` spells out")]
pub enum Mistake {
    /// The image is for another board.
    WrongBoard { image: String<16>, board: &'static str },
    /// The machine is none that this board comes as.
    FixedMachine { board: &'static str, cores: u16, sizes: &'static [u64], said: Machine },
    /// No cores, or more than any table here holds.
    MachineCores { cores: u16 },
    /// Too little or too much RAM, or not whole blocks.
    MachineMemory { memory: u64 },
    /// The bundle is empty or larger than EL2 can map.
    BundleSize { size: u64 },
    /// The pool cannot hold what EL2 builds at boot.
    PoolSize { size: u64, least: u64 },
    /// Nothing to run.
    NoPartitions,

    /// A partition without a name.
    NameEmpty { partition: Name },
    /// A name with characters that console tags and device trees cannot carry.
    NameCharacters { partition: Name },
    /// The hypervisor's own console tag.
    NameReserved { partition: Name },
    /// Two partitions of one name.
    NameTwice { first: Name, second: Name },

    /// A partition without cores.
    NoCores { partition: Name },
    /// A core that the board does not have.
    CoreAbsent { partition: Name, core: CoreId, cores: u16 },
    /// A core with two owners, or listed twice by one.
    CoreTwice { core: CoreId, first: Name, second: Name },
    /// More vCPUs than the board's only GIC can serve.
    TooManyVcpus { partition: Name, vcpus: usize, most: u16 },

    /// A device that the board does not have.
    DeviceAbsent { partition: Name, index: u8 },
    /// A device with two owners, or listed twice by one.
    DeviceTwice { device: &'static str, first: Name, second: Name },
    /// Two devices that share a page or an interrupt have different owners.
    DevicesShare { device: &'static str, first: Name, other: &'static str, second: Name },
    /// A device that shares a page or an interrupt with EL2's console.
    DeviceOfHypervisor { partition: Name, device: &'static str },
    /// A DMA master in a partition whose addresses are not the bus's.
    DeviceDma { partition: Name, device: &'static str },
    /// The device lies where the guest machine has something else.
    DeviceCovered { partition: Name, device: &'static str, registers: Region<Pa> },
    /// The guest's distributor does not have the device's interrupt.
    DeviceInterrupt { partition: Name, device: &'static str, intid: IntId },

    /// A DMA master outside the service partition, which has no SMMU in front of it.
    DeviceUnshielded { partition: Name, device: &'static str },
    /// A DMA master in a partition that begins new lives by itself: what the old one asked for may still be written.
    DeviceRestart { partition: Name, device: &'static str },
    /// Virtio devices that no service partition serves.
    VirtioUnserved { partition: Name },
    /// More virtio devices than the service partition can serve.
    VirtioCount { count: usize },
    /// A virtio device with numbers that no driver could use.
    VirtioNumbers { partition: Name, slot: usize },
    /// A virtio device lies where the guest machine has something else.
    VirtioCovered { partition: Name, slot: usize },
    /// A service partition that does not see physical addresses.
    ServiceNotIdentity { partition: Name },
    /// The service partition has more than one core: its console and its doorbell belong to one.
    ServiceCores { partition: Name },

    /// A partition without RAM.
    NoMemory { partition: Name },
    /// Less RAM than any guest can use.
    MemoryTooSmall { partition: Name, size: u64 },
    /// A region whose end does not fit 64 bits.
    Unsound { owner: Owner, start: Pa },
    /// A region that is not whole pages.
    Unaligned { owner: Owner, region: Region<Pa> },
    /// A region that is not all RAM.
    OutsideRam { owner: Owner, region: Region<Pa> },
    /// Memory with two owners.
    Overlap { first: Owner, region: Region<Pa>, second: Owner, other: Region<Pa> },
    /// RAM that only 4 KiB pages could map.
    NotCongruent { partition: Name, ipa: Ipa, pa: Region<Pa> },
    /// RAM where the guest machine has none.
    OutsideMap { partition: Name, ipa: Ipa, size: u64 },
    /// An identity-mapped partition whose addresses are not physical.
    NotIdentity { partition: Name, ipa: Ipa, pa: Pa },
    /// Two banks of one partition at one guest address, or out of order.
    BanksOverlap { partition: Name, ipa: Ipa },
    /// A window that is not the lower of two banks, of a partition that needs none, or with something loaded into it.
    BadWindow { partition: Name },

    /// A partition without a kernel.
    NoKernel { partition: Name },
    /// No device tree for a GIC that the board may have.
    NoTree { partition: Name, kind: PayloadKind },
    /// A payload that there may be one of.
    PayloadTwice { partition: Name, kind: PayloadKind },
    /// A payload that the bundle does not hold.
    PayloadOutsideBundle { partition: Name, kind: PayloadKind, offset: u64, size: u64, bundle: u64 },
    /// A payload off the bundle's alignment.
    PayloadUnaligned { partition: Name, kind: PayloadKind, offset: u64 },
    /// A payload that the partition's RAM does not hold.
    PayloadOutsideRam { partition: Name, kind: PayloadKind, ipa: Ipa, size: u64 },
    /// Two payloads at one guest address.
    PayloadsOverlap { partition: Name, kind: PayloadKind, ipa: Ipa, other: PayloadKind, other_ipa: Ipa },
    /// A device tree that Linux would not map.
    TreeTooLarge { partition: Name, size: u64 },
    /// A device tree that x0 does not point to.
    TreeElsewhere { partition: Name, ipa: Ipa, device_tree: Ipa },
    /// A plan that is not where x0 points to, off a page, or too large.
    BadPlan { partition: Name, ipa: Ipa, size: u64 },
    /// vCPU 0 would start outside RAM or between two instructions.
    BadEntry { partition: Name, entry: Ipa },
    /// x0 would point outside RAM or off eight bytes.
    BadTree { partition: Name, device_tree: Ipa },

    /// A number about its lives outside its range.
    SettingRange { partition: Name, setting: Setting, value: u32 },
    /// The watchdog lies where the guest machine has something else.
    WatchdogCovered { partition: Name },

    /// A channel with memory or ends that it cannot have.
    ChannelNumbers { channel: usize },
    /// A channel lies where one of its guest machines has something else.
    ChannelCovered { partition: PartitionId, channel: usize },
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words themselves, as in the system file")]
pub enum Subject {
    Machine,
    Names,
    Cores,
    Devices,
    Memory,
    Payloads,
    Life,
}

impl Subject {
    /// The word.
    pub fn word(self) -> &'static str {
        ["machine", "names", "cores", "devices", "memory", "payloads", "life"][self as usize]
    }
}

impl Mistake {
    /// What is wrong.
    pub fn problem(&self) -> Problem<'_> {
        Problem(self)
    }
    /// What the rule is about, in one word: what EL2 says, where the whole texts would take a tenth of its size.
    pub fn subject(&self) -> Subject {
        use Mistake as M;
        use Subject as S;
        match self {
            M::WrongBoard { .. }
            | M::FixedMachine { .. }
            | M::MachineCores { .. }
            | M::MachineMemory { .. }
            | M::BundleSize { .. }
            | M::PoolSize { .. }
            | M::NoPartitions => S::Machine,
            M::NameEmpty { .. } | M::NameCharacters { .. } | M::NameReserved { .. } | M::NameTwice { .. } => S::Names,
            M::NoCores { .. } | M::CoreAbsent { .. } | M::CoreTwice { .. } | M::TooManyVcpus { .. } => S::Cores,
            M::DeviceAbsent { .. }
            | M::DeviceTwice { .. }
            | M::DevicesShare { .. }
            | M::DeviceOfHypervisor { .. }
            | M::DeviceDma { .. }
            | M::DeviceCovered { .. }
            | M::DeviceInterrupt { .. }
            | M::DeviceUnshielded { .. }
            | M::DeviceRestart { .. }
            | M::VirtioUnserved { .. }
            | M::VirtioCount { .. }
            | M::VirtioNumbers { .. }
            | M::VirtioCovered { .. }
            | M::ServiceNotIdentity { .. }
            | M::ServiceCores { .. }
            | M::ChannelNumbers { .. }
            | M::ChannelCovered { .. } => S::Devices,
            M::NoMemory { .. }
            | M::MemoryTooSmall { .. }
            | M::Unsound { .. }
            | M::Unaligned { .. }
            | M::OutsideRam { .. }
            | M::Overlap { .. }
            | M::NotCongruent { .. }
            | M::OutsideMap { .. }
            | M::NotIdentity { .. }
            | M::BanksOverlap { .. }
            | M::BadWindow { .. } => S::Memory,
            M::NoKernel { .. }
            | M::NoTree { .. }
            | M::PayloadTwice { .. }
            | M::PayloadOutsideBundle { .. }
            | M::PayloadUnaligned { .. }
            | M::PayloadOutsideRam { .. }
            | M::PayloadsOverlap { .. }
            | M::TreeTooLarge { .. }
            | M::TreeElsewhere { .. }
            | M::BadPlan { .. }
            | M::BadEntry { .. }
            | M::BadTree { .. } => S::Payloads,
            M::SettingRange { .. } | M::WatchdogCovered { .. } => S::Life,
        }
    }
    /// What to do.
    pub fn mend(&self) -> Mend<'_> {
        Mend(self)
    }
}

impl Display for Mistake {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.problem(), self.mend())
    }
}

impl core::error::Error for Mistake {}

/// Prints what is wrong.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a>(&'a Mistake);

/// Prints what to do.
#[derive(Clone, Copy, Debug)]
pub struct Mend<'a>(&'a Mistake);

/// `[start..end)` of guest addresses read from a file, whose end may not fit.
struct Range(Ipa, u64);

impl Display for Range {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}..{})", self.0, Ipa::new(self.0.as_u64().saturating_add(self.1)))
    }
}

impl Display for Problem<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        use Mistake as M;
        match self.0 {
            M::WrongBoard { image, board } => {
                write!(f, "the image is for board '{}', this is board '{board}'", image.escape_debug())
            }
            M::FixedMachine { board, cores, said, .. } if *cores != said.cores => {
                write!(f, "board '{board}' has {cores} cores, not {}", said.cores)
            }
            M::FixedMachine { board, said, .. } => {
                write!(f, "board '{board}' does not come with {} of memory", ByteSize(said.memory))
            }
            M::MachineCores { cores } => write!(f, "a machine of {cores} cores"),
            M::MachineMemory { memory } => write!(f, "a machine with {} of memory", ByteSize(*memory)),
            M::BundleSize { size } => write!(f, "a boot bundle of {}", ByteSize(*size)),
            M::PoolSize { size, least } => {
                write!(f, "the hypervisor's frame pool has {} of the {} it needs", ByteSize(*size), ByteSize(*least))
            }
            M::NoPartitions => f.write_str("no partition"),

            M::NameEmpty { partition } => write!(f, "partition {partition} has no name"),
            M::NameCharacters { partition } => {
                write!(f, "partition name {partition} has other characters than letters, digits, '-' and '_'")
            }
            M::NameReserved { .. } => write!(f, "partition name '{OWN_NAME}' is the hypervisor's own console tag"),
            M::NameTwice { first, second } => write!(
                f,
                "partitions {} and {} are both named {first}",
                first.id.number() as u32 + 1,
                second.id.number() as u32 + 1
            ),

            M::NoCores { partition } => write!(f, "partition {partition} has no cores"),
            M::CoreAbsent { partition, core, cores } => {
                write!(f, "partition {partition} asks for core {}, the board has {cores} cores", core.number())
            }
            M::CoreTwice { core, first, second } if first == second => {
                write!(f, "partition {first} lists core {} twice", core.number())
            }
            M::CoreTwice { core, first, second } => {
                write!(f, "core {} belongs to partition {first} and to partition {second}", core.number())
            }
            M::TooManyVcpus { partition, vcpus, most } => {
                write!(f, "partition {partition} has {vcpus} cores, the board's GICv2 serves {most}")
            }

            M::DeviceAbsent { partition, index } => {
                write!(f, "partition {partition} has device {index}, the board does not")
            }
            M::DeviceTwice { device, first, second } if first == second => {
                write!(f, "partition {first} lists device '{device}' twice")
            }
            M::DeviceTwice { device, first, second } => {
                write!(f, "device '{device}' belongs to partition {first} and to partition {second}")
            }
            M::DevicesShare { device, first, other, second } => write!(
                f,
                "device '{device}' of partition {first} shares a page or an interrupt with device '{other}' of partition {second}"
            ),
            M::DeviceOfHypervisor { partition, device } => write!(
                f,
                "device '{device}' of partition {partition} shares a page or an interrupt with the hypervisor's console"
            ),
            M::DeviceDma { partition, device } => write!(
                f,
                "device '{device}' writes memory by itself, and partition {partition} does not see physical addresses"
            ),
            M::DeviceCovered { partition, device, registers } => {
                write!(
                    f,
                    "device '{device}' {registers} lies where partition {partition} has RAM, its GIC or its console"
                )
            }
            M::DeviceInterrupt { partition, device, intid } => {
                write!(f, "device '{device}' has {intid}, which the GIC of partition {partition} does not")
            }
            M::DeviceUnshielded { partition, device } => {
                write!(
                    f,
                    "device '{device}' of partition {partition} writes memory by itself, and no SMMU holds it back"
                )
            }
            M::DeviceRestart { partition, device } => write!(
                f,
                "device '{device}' may still write memory when partition {partition} restarts: nothing here resets it"
            ),
            M::VirtioUnserved { partition } => {
                write!(f, "partition {partition} has virtio devices that no service partition serves")
            }
            M::VirtioCount { count } => write!(f, "{count} virtio devices in one system"),
            M::VirtioNumbers { partition, slot } => write!(
                f,
                "virtio device {slot} of partition {partition} has no type, no queues, more than {MAX_QUEUES}, or a queue \
                 size that is no power of two up to {MAX_QUEUE_SIZE}"
            ),
            M::VirtioCovered { partition, slot } => {
                write!(f, "partition {partition} has RAM or a device where its virtio device {slot} would be")
            }
            M::ServiceCores { partition } => {
                write!(f, "partition {partition} is the service partition and has more than one core")
            }
            M::ServiceNotIdentity { partition } => {
                write!(f, "partition {partition} is the service partition and does not see physical addresses")
            }

            M::NoMemory { partition } => write!(f, "partition {partition} has no memory"),
            M::MemoryTooSmall { partition, size } => {
                write!(f, "partition {partition} has {} of memory", ByteSize(*size))
            }
            M::Unsound { owner, start } => write!(f, "{owner} from {start} is empty or ends above 64 bits"),
            M::Unaligned { owner, region } => write!(f, "{owner} {region} is not whole pages"),
            M::OutsideRam { owner, region } => write!(f, "{owner} {region} is not all in the board's RAM"),
            M::Overlap { first, region, second, other } => write!(f, "{first} {region} overlaps {second} {other}"),
            M::NotCongruent { partition, ipa, pa } => {
                write!(f, "RAM of partition {partition} {pa} is seen at {ipa}, off by a part of 2M")
            }
            M::OutsideMap { partition, ipa, size } => {
                write!(f, "RAM of partition {partition} at {} is outside the guest machine's map", Range(*ipa, *size))
            }
            M::NotIdentity { partition, ipa, pa } => {
                write!(f, "partition {partition} has identity = true, but its RAM at {pa} is seen at {ipa}")
            }
            M::BanksOverlap { partition, ipa } => {
                write!(f, "RAM bank of partition {partition} at {ipa} lies on or below the bank before")
            }
            M::BadWindow { partition } => write!(
                f,
                "partition {partition} has a window that is not the lower of two banks, that no virtio device needs, or that \
                 something is loaded into"
            ),

            M::NoKernel { partition } => write!(f, "partition {partition} has no kernel"),
            M::NoTree { partition, kind } => write!(f, "partition {partition} has no {kind}"),
            M::PayloadTwice { partition, kind } => write!(f, "partition {partition} has two payloads '{kind}'"),
            M::PayloadOutsideBundle { partition, kind, offset, size, bundle } => write!(
                f,
                "{kind} of partition {partition}, {size} bytes at {offset} of the bundle, ends behind its {bundle} bytes"
            ),
            M::PayloadUnaligned { partition, kind, offset } => {
                write!(f, "{kind} of partition {partition} lies at {offset} of the bundle, not a multiple of {ALIGN}")
            }
            M::PayloadOutsideRam { partition, kind, ipa, size } => {
                write!(f, "{kind} of partition {partition} at {} is not in its RAM", Range(*ipa, *size))
            }
            M::PayloadsOverlap { partition, kind, ipa, other, other_ipa } => {
                write!(f, "{kind} of partition {partition} at {ipa} overlaps its {other} at {other_ipa}")
            }
            M::TreeTooLarge { partition, size } => write!(f, "device tree of partition {partition} has {size} bytes"),
            M::TreeElsewhere { partition, ipa, device_tree } => {
                write!(f, "device tree of partition {partition} is loaded at {ipa}, but announced at {device_tree}")
            }
            M::BadPlan { partition, ipa, size } => write!(
                f,
                "plan of partition {partition} at {ipa}, {size} bytes, is not where it is announced, off a page, or larger \
                 than {} bytes",
                plan::MAX
            ),
            M::BadEntry { partition, entry } => {
                write!(f, "partition {partition} would start at {entry}, outside its RAM or inside an instruction")
            }
            M::BadTree { partition, device_tree } => write!(
                f,
                "device tree of partition {partition} at {device_tree} is outside its RAM or not a multiple of 8"
            ),

            M::SettingRange { partition, setting, value } => {
                write!(f, "partition {partition} has {setting} of {}", setting.value(*value))
            }
            M::WatchdogCovered { partition } => {
                write!(f, "partition {partition} has RAM or a device where its watchdog would be")
            }
            M::ChannelNumbers { channel } => write!(
                f,
                "channel {channel} is not {} to {}, crosses a 2M boundary, or is not between two partitions of which at \
                 most one is served by the service partition",
                ByteSize(MIN_SIZE),
                ByteSize(MAX_SIZE)
            ),
            M::ChannelCovered { partition, channel } => {
                write!(f, "{partition} has RAM or a device where channel {channel} would be")
            }
        }
    }
}

/// For mistakes that only a damaged or foreign image can hold: the tool never builds one.
const REBUILD: &str = "build the image again with `bulkhead build`";

impl Display for Mend<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        use Mistake as M;
        match self.0 {
            M::WrongBoard { board, .. } => write!(f, "build one with board = \"{board}\""),
            M::FixedMachine { cores, said, .. } if *cores != said.cores => f.write_str("leave `cores` out"),
            M::FixedMachine { sizes, .. } => {
                f.write_str("it comes with")?;
                let last = sizes.len().saturating_sub(1);
                sizes.iter().enumerate().try_for_each(|(n, size)| {
                    let before = ["", ",", " or"][usize::from(n != 0) + usize::from(n != 0 && n == last)];
                    write!(f, "{before} {}", ByteSize(*size))
                })
            }
            M::MachineCores { .. } => write!(f, "give it 1 to {MAX_CORES}"),
            M::MachineMemory { .. } => {
                write!(f, "give it whole 2M blocks, {} to {}", ByteSize(MIN_MACHINE_MEMORY), ByteSize(IPA_END / 2))
            }
            M::BundleSize { .. } => write!(f, "use smaller kernels and initrds, {} in all", ByteSize(BUNDLE_MAX)),
            M::NoPartitions => f.write_str("add a [[partition]]"),

            M::NameEmpty { .. } => f.write_str("give it a `name`"),
            M::NameCharacters { .. } => f.write_str("use those only: the name tags console lines and log lines"),
            M::NameReserved { .. } | M::NameTwice { .. } => f.write_str("choose another name"),

            M::NoCores { .. } => f.write_str("give it at least one core: a vCPU is pinned to a core of its own"),
            M::CoreAbsent { cores, .. } => write!(f, "choose from core 0 to core {}", cores.saturating_sub(1)),
            M::CoreTwice { first, second, .. } if first == second => f.write_str("list it once"),
            M::CoreTwice { .. } => f.write_str("take it from one of them: a core has exactly one owner"),
            M::TooManyVcpus { .. } => f.write_str("give it fewer cores"),

            M::DeviceTwice { first, second, .. } if first == second => f.write_str("list it once"),
            M::DeviceTwice { .. } => f.write_str("take it from one of them: a device has exactly one owner"),
            M::DevicesShare { .. } => f.write_str("give both to one partition"),
            M::DeviceDma { .. } => f.write_str("add `identity = true`, or do without the device"),
            M::DeviceOfHypervisor { .. } | M::DeviceCovered { .. } | M::DeviceInterrupt { .. } => {
                f.write_str("do without the device")
            }
            M::DeviceUnshielded { .. } => f.write_str(
                "leave it to the service partition, or add `unsafe_dma = true`: whoever runs there can then read and \
                 write all memory",
            ),
            M::DeviceRestart { .. } => {
                f.write_str("add on_crash = \"stop\" and on_reset = \"stop\", or do without the device")
            }
            M::VirtioUnserved { .. } => {
                f.write_str("add a [service] with a core of its own, such as `cores = [0]`, or do without them")
            }
            M::VirtioCount { .. } => write!(f, "use at most {MAX_DEVICES}"),
            M::VirtioCovered { .. } => {
                f.write_str("do without virtio devices, without `identity`, or without the device")
            }

            M::NoMemory { .. } => f.write_str("give it `memory`, such as \"64M\""),
            M::MemoryTooSmall { .. } => write!(f, "give it at least {}", ByteSize(MEMORY_MIN)),
            M::Unaligned { .. } => write!(f, "use multiples of {}", ByteSize(PAGE_SIZE)),
            M::OutsideRam { .. } => f.write_str("ask for less memory, or leave `memory_at` out"),
            M::Overlap { .. } => {
                f.write_str("leave `memory_at` out, or pin it elsewhere: memory has exactly one owner")
            }
            M::NotCongruent { .. } => write!(f, "pin `memory_at` to a multiple of {}", ByteSize(BLOCK_2M)),
            M::OutsideMap { .. } => f.write_str("ask for less memory, or leave `memory_at` out"),
            M::NoKernel { .. } => f.write_str("give it a `kernel`"),
            M::PayloadOutsideRam { .. } => f.write_str("give the partition more `memory`, or pin the payload lower"),
            M::PayloadsOverlap { .. } => f.write_str("give the partition more `memory`, or pin them apart"),
            M::TreeTooLarge { .. } => write!(f, "it may have {DEVICE_TREE_MAX}: shorten `bootargs`"),
            M::BadEntry { .. } => f.write_str("link the kernel for the guest's RAM"),
            M::BadTree { .. } => f.write_str("pin `device_tree_at` to a multiple of 8 within the memory"),

            M::SettingRange { setting, .. } => {
                let range = setting.range();
                write!(f, "give it {} to {}, or \"none\"", setting.value(*range.start()), setting.value(*range.end()))
            }
            M::ChannelCovered { .. } => {
                f.write_str("do without the channel, without `identity`, or without the device")
            }
            M::WatchdogCovered { .. } => {
                f.write_str("do without `watchdog`, without `identity`, or without the device")
            }
            M::PoolSize { .. }
            | M::DeviceAbsent { .. }
            | M::VirtioNumbers { .. }
            | M::ChannelNumbers { .. }
            | M::ServiceNotIdentity { .. }
            | M::ServiceCores { .. }
            | M::Unsound { .. }
            | M::NotIdentity { .. }
            | M::BanksOverlap { .. }
            | M::BadWindow { .. }
            | M::NoTree { .. }
            | M::PayloadTwice { .. }
            | M::PayloadOutsideBundle { .. }
            | M::PayloadUnaligned { .. }
            | M::TreeElsewhere { .. }
            | M::BadPlan { .. } => f.write_str(REBUILD),
        }
    }
}
