//! What the hypervisor and the service partition say to each other: hypercalls, the event pages, and the errors.
//!
//! A hypercall is an HVC with a function id of SMCCC's vendor-specific range in W0 and arguments from X1 on. X0 of the
//! answer is a [`Status`], results follow from X1 on. Only the service partition may call: to everybody else these
//! functions do not exist ([`Status::NotSupported`], as for any unknown SMCCC function).
//!
//! What happened to a virtio device reaches the service through two pages that EL2 writes and the service reads
//! ([`EventPage`], [`DevicePage`]). Words there are no counters and no bits: each change writes a value that this word
//! has not had before, so the service compares with what it saw last, and nobody needs an atomic operation on memory
//! that two sides share. Order: the reason's word first, then the word of the core in [`EventPage::cores`].

use core::sync::atomic::{AtomicU32, AtomicU64};

/// Version of this module, which [`Call::Hello`] compares. It is raised when one side could misunderstand the other; what is only
/// added, a result, an argument whose 0 means what was before, or a word behind the others of a page, leaves it.
pub const VERSION: u64 = 1;
/// Most virtio devices in one system.
pub const MAX_DEVICES: usize = 64;
/// Most virtio devices of one partition.
pub const MAX_PARTITION_DEVICES: usize = 16;
/// Most queues of a virtio device.
pub const MAX_QUEUES: usize = 4;
/// Most bytes that [`Call::ConsoleRead`] and [`Call::Log`] carry: eight registers.
pub const TEXT: usize = 64;
/// Function id of [`Call::Hello`]; the others follow (SMCCC: fast call, 64 bits, vendor-specific hypervisor service).
pub const FIRST_FUNCTION: u32 = 0xc600_4200;

/// A hypercall. Arguments X1, X2, ... and results X1, X2, ... are named in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Call {
    /// ([`VERSION`]) -> (restarts of the service so far, IPA of [`EventPage`], IPA of [`DevicePage`], IPA of
    /// [`ServicePage`], a number of this boot: what an earlier boot left in memory is told apart by it). First of all calls in each life of the service: the others are in the wrong state before it.
    Hello,
    /// (device) -> (epoch, device status register | [`Phase`] << 8, features that the driver accepted).
    DeviceState,
    /// (device, epoch, queue) -> (size, descriptor table, available ring, used ring): the queue's size in elements, 0
    /// while it is not ready, and guest-physical addresses as the driver wrote them.
    DeviceQueue,
    /// (device, offset in the configuration space, value): writes four bytes, at a multiple of four, little-endian.
    /// Changes ConfigGeneration.
    DeviceConfig,
    /// (device, features): the device is there and its configuration space is filled. Again, with the same features,
    /// in a further life of the service.
    DeviceOffer,
    /// (device): there is no such device, its transport stays an empty slot.
    DeviceAbsent,
    /// (device, epoch): no memory access of the device is outstanding, nor will one begin before its driver is ready.
    /// Answers a reset or a queue that was taken away.
    DeviceQuiet,
    /// (device, epoch, bits): sets bits of InterruptStatus (1 used buffer, 2 configuration) and interrupts the guest.
    DeviceRaise,
    /// (device, epoch): sets DEVICE_NEEDS_RESET and interrupts the guest: its driver broke a ring.
    DeviceBreak,
    /// (1 take, 0 give back) -> (the partition with the keyboard, 1: the keyboard is at its virtio console): who joins the
    /// partitions' output and reads it. EL2 takes it back by itself when the service's life ends.
    ConsoleTake,
    /// (source) -> (bytes, lines dropped behind them, up to [`TEXT`] bytes in eight registers). A source is a
    /// partition's number, or [`CONSOLE_EL2`].
    ConsoleRead,
    /// (partition, byte): a typed byte. [`Status::WrongState`]: it takes none now.
    ConsoleType,
    /// ([`Command`], partition): what a key asked for. What EL2 says about it comes through its own source.
    Command,
    /// (bytes, up to [`TEXT`] bytes in eight registers): the service's own console output.
    Log,
    /// (seconds since 1970): the time of day now, for the partitions' PL031.
    SetClock,
    /// (partition, mask, levels): the levels of those pins of its PL061 that the mask names, a bit for each. The power
    /// key's is not among them. [`Status::WrongState`]: its guest machine has no PL061.
    SetLines,
}

impl Call {
    /// How many there are.
    pub const COUNT: u32 = Self::SetLines as u32 + 1;
    /// Its function id.
    pub const fn function(self) -> u32 {
        FIRST_FUNCTION + self as u32
    }
    /// The call with this function id.
    pub const fn from_function(function: u32) -> Option<Self> {
        use Call::*;
        const ALL: [Call; Call::COUNT as usize] = [
            Hello,
            DeviceState,
            DeviceQueue,
            DeviceConfig,
            DeviceOffer,
            DeviceAbsent,
            DeviceQuiet,
            DeviceRaise,
            DeviceBreak,
            ConsoleTake,
            ConsoleRead,
            ConsoleType,
            Command,
            Log,
            SetClock,
            SetLines,
        ];
        let place = function.wrapping_sub(FIRST_FUNCTION);
        if place < Self::COUNT { Some(ALL[place as usize]) } else { None }
    }
}

/// EL2's own lines as a source of [`Call::ConsoleRead`].
pub const CONSOLE_EL2: u64 = 0xff;

/// What [`Call::Command`] asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Command {
    /// Say what the keys do.
    Help,
    /// Say states and counters.
    Status,
    /// Show the fault records.
    Faults,
    /// Restart the partition.
    Restart,
    /// Stop it.
    Stop,
    /// Start it.
    Start,
    /// Press its power key.
    PressPower,
    /// Ask before one of the last four: says the question, with this boot's number. X3 of the call is the command.
    Ask,
    /// The answer was no.
    Cancel,
    /// The keyboard is the partition's from now on. X3 of the call is 1: at its virtio console.
    Focus,
    /// An unknown key; X2 is its byte.
    Unknown,
}

impl Command {
    /// The command with this number.
    pub const fn from_number(number: u64) -> Option<Self> {
        use Command::*;
        const ALL: [Command; 11] =
            [Help, Status, Faults, Restart, Stop, Start, PressPower, Ask, Cancel, Focus, Unknown];
        if number < ALL.len() as u64 { Some(ALL[number as usize]) } else { None }
    }
}

/// X0 of an answer. Every refusal is counted for the service's core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i64)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// No such function, or not for this partition.
    NotSupported = -1,
    /// An argument names nothing that exists, or is out of its range.
    Invalid = -2,
    /// What was named cannot do this now.
    WrongState = -3,
    /// The epoch is not the device's: the driver has reset it meanwhile.
    Stale = -4,
}

impl Status {
    /// X0.
    pub const fn number(self) -> u64 {
        self as i64 as u64
    }
    /// The status that a number stands for. Unknown numbers are [`Status::NotSupported`].
    pub const fn from_number(number: u64) -> Self {
        match number as i64 {
            0 => Self::Ok,
            -2 => Self::Invalid,
            -3 => Self::WrongState,
            -4 => Self::Stale,
            _ => Self::NotSupported,
        }
    }
}

/// What a virtio device is waiting for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Phase {
    /// For its driver, which has not said DRIVER_OK yet. Nothing of it is outstanding.
    Idle,
    /// For nothing: its driver uses it.
    Active,
    /// For [`Call::DeviceQuiet`]: the driver has reset it, took a queue away, or its partition's life has ended.
    Quieting,
}

/// EL2 writes, the service reads.
#[repr(C)]
pub struct EventPage {
    /// Changes when the core with this number has something new for the service, behind the reason's own word.
    pub cores: [AtomicU64; crate::MAX_CORES],
    /// Changes when the core has put output into a console ring, or a guest has read what was typed for it.
    pub console: [AtomicU64; crate::MAX_CORES],
    /// Not 0: all other partitions have stopped for good. The service writes out what it holds and gives the console
    /// back ([`Call::ConsoleTake`]), so that EL2 can end the machine or wait for a key. 0 again: it may take it again.
    pub is_over: AtomicU64,
    /// Changes when somebody has rung a channel that the service has an end of, or EL2 has cleared it.
    pub channels: AtomicU64,
    /// [`Driven`] of the partition with this number: the newest state, not an event. What changes here is told as
    /// something new at the console is.
    pub driven: [AtomicU64; crate::MAX_PARTITIONS],
}

/// What a guest drives at its PL061, a bit for each pin there. 0 from the end of a life to the first store of the next.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Driven {
    /// Its outputs.
    pub outputs: u8,
    /// Those of them that are high.
    pub high: u8,
}

impl Driven {
    /// As a word of [`EventPage::driven`].
    pub const fn word(self) -> u64 {
        (self.high as u64) << 8 | self.outputs as u64
    }
    /// What such a word says.
    pub const fn from_word(word: u64) -> Self {
        Self { outputs: word as u8, high: (word >> 8) as u8 }
    }
}

/// EL2 writes, the service reads: a record for each device of [`MAX_DEVICES`].
#[repr(C)]
pub struct DevicePage {
    /// At the device's number.
    pub devices: [DeviceEvents; MAX_DEVICES],
}

/// What happened to one device.
#[repr(C, align(64))]
pub struct DeviceEvents {
    /// Changes with each change that [`Call::DeviceState`] shows: driver ready, reset, end of the partition's life.
    pub state: AtomicU64,
    /// Changes with each QueueNotify of a queue.
    pub queues: [AtomicU64; MAX_QUEUES],
}

/// The service writes, EL2 reads. EL2 believes nothing in it: a wrong value costs the service a wake-up.
#[repr(C)]
pub struct ServicePage {
    /// Not 0: the service sleeps or is about to, so whatever changes must interrupt it. It stores, issues DMB ISH, looks
    /// at all words once more, and waits; EL2 writes the word, issues DMB ISH, and reads this.
    pub is_sleeping: AtomicU32,
    /// Nothing. EL2 clears all of the page when a life ends.
    pub rest: [AtomicU32; 1023],
}

const _: () = assert!(size_of::<DevicePage>() == 4096 && size_of::<EventPage>() <= 4096);
const _: () = assert!(size_of::<ServicePage>() == 4096);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_its_function() {
        for function in FIRST_FUNCTION..FIRST_FUNCTION + Call::COUNT {
            assert_eq!(Call::from_function(function).map(Call::function), Some(function));
        }
        for function in [0, FIRST_FUNCTION - 1, FIRST_FUNCTION + Call::COUNT, u32::MAX] {
            assert_eq!(Call::from_function(function), None);
        }
    }

    #[test]
    fn every_command_has_its_number() {
        for number in 0..=Command::Unknown as u64 {
            assert_eq!(Command::from_number(number).map(|command| command as u64), Some(number));
        }
        assert_eq!(Command::from_number(Command::Unknown as u64 + 1), None);
        assert_eq!(Command::from_number(u64::MAX), None);
    }

    #[test]
    fn what_is_driven_survives_its_word() {
        let driven = Driven { outputs: 0x81, high: 0x80 };
        assert_eq!(Driven::from_word(driven.word()), driven);
        assert_eq!(Driven::default().word(), 0);
    }

    #[test]
    fn a_status_survives_its_register() {
        use Status::*;
        for status in [Ok, NotSupported, Invalid, WrongState, Stale] {
            assert_eq!(Status::from_number(status.number()), status);
        }
        assert_eq!(Status::from_number(7), NotSupported);
    }
}
