//! Why a life ended that was not meant to: a record that says what happened, and where each vCPU was.
//!
//! A core that leaves the guest notes its vCPU's place; when the last one has left, the record is put together, printed,
//! and kept until `Ctrl-T f` has shown it. The first record that nobody has read stays; later ones are counted. Only a
//! key's record makes way unread: who pressed it knows.

use crate::arch::guest::GuestFrame;
use crate::core_local::Core;
use crate::flight::Flight;
use crate::lock::Lock;
use crate::partition::{self, Partition};
use crate::timer;
use aarch64_cpu::registers::{ELR_EL2, ESR_EL2, FAR_EL2, HPFAR_EL2, SP_EL0, SP_EL1, SPSR_EL2};
use abi::VcpuId;
use core::fmt;
use core::sync::atomic::Ordering;
use spin::mutex::SpinMutex;
use tock_registers::interfaces::Readable;
use trap::Exit;

/// Why a life ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// PSCI SYSTEM_OFF.
    SystemOff,
    /// PSCI SYSTEM_RESET or SYSTEM_RESET2.
    SystemReset,
    /// Its exception vector faults again and again.
    FaultLoop,
    /// An asynchronous external abort while it ran.
    SError,
    /// Its watchdog starved.
    Watchdog,
    /// `Ctrl-T r`.
    RestartKey,
    /// `Ctrl-T k`.
    StopKey,
    /// It wished to come back, oftener than `restart_limit` allows.
    Limit,
    /// Its payloads are not what the image was built with: no life began.
    Damaged,
    /// A device that it cannot do without does not exist: no life began.
    Unserved,
}

impl Cause {
    /// Whether the guest wished it.
    pub const fn is_wish(self) -> bool {
        matches!(self, Self::SystemOff | Self::SystemReset)
    }
    /// Whether somebody at the keyboard wished it.
    pub const fn is_key(self) -> bool {
        matches!(self, Self::RestartKey | Self::StopKey)
    }
    /// Whether it ended a life, and did not keep one from beginning.
    const fn is_of_life(self) -> bool {
        !matches!(self, Self::Damaged | Self::Unserved)
    }
    /// In words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::SystemOff => "the guest switched itself off (PSCI SYSTEM_OFF)",
            Self::SystemReset => "the guest asked for a reset (PSCI SYSTEM_RESET)",
            Self::FaultLoop => "fault loop: its exception vector itself faults",
            Self::SError => "SError: an access of this partition failed on the bus",
            Self::Watchdog => "its watchdog starved",
            Self::RestartKey => "restarted by key",
            Self::StopKey => "stopped by key",
            Self::Limit => "it asked to come back oftener than restart_limit allows",
            Self::Damaged => "its image is damaged",
            Self::Unserved => "a device of it is missing",
        }
    }
}

/// Where a vCPU was when its core left the guest.
#[derive(Clone, Copy)]
pub struct Place {
    pc: u64,
    lr: u64,
    sp: u64,
    pstate: u64,
    /// ESR_EL2, FAR_EL2 and HPFAR_EL2 of a synchronous exit.
    syndrome: Option<[u64; 3]>,
}

impl Place {
    /// At a synchronous exit or an SError.
    pub fn at_exit(frame: &GuestFrame) -> Self {
        Self {
            syndrome: Some([ESR_EL2.get(), FAR_EL2.get(), HPFAR_EL2.get()]),
            ..Self::interrupted(frame.register(30))
        }
    }

    /// At an interrupt; `lr` is the guest's x30.
    pub fn interrupted(lr: u64) -> Self {
        let pstate = SPSR_EL2.get();
        // PSTATE.M: EL1h uses SP_EL1, EL1t and EL0 use SP_EL0.
        let sp = if pstate & 0x1f == 5 { SP_EL1.get() } else { SP_EL0.get() };
        Self { pc: ELR_EL2.get(), lr, sp, pstate, syndrome: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pc {:#x} lr {:#x} sp {:#x} pstate {:#x}", self.pc, self.lr, self.sp, self.pstate)?;
        let Some([esr, far, hpfar]) = self.syndrome else { return Ok(()) };
        let exit = Exit::decode(esr);
        write!(f, " esr {esr:#x} ({exit})")?;
        if matches!(exit, Exit::DataAbort(_) | Exit::InstructionAbort(_)) {
            write!(f, " far {far:#x} ipa page {:#x}", (hpfar >> 4) << 12)?;
        }
        Ok(())
    }
}

/// What ended a life.
#[derive(Clone, Copy)]
struct Record {
    cause: Cause,
    vcpu: VcpuId,
    place: Option<Place>,
    life: u32,
    uptime_ms: u64,
    flight: Flight,
}

impl Record {
    fn show(&self, partition: &Partition) {
        let (name, vcpu) = (partition.name(), self.vcpu);
        if self.cause.is_key() {
            info!("{name}/{vcpu}: {}", self.cause.text());
        } else {
            error!("{name}/{vcpu}: {}", self.cause.text());
        }
        if let Some(place) = self.place {
            info!("{name}/{vcpu}: {place}");
        }
        let (seconds, rest) = (self.uptime_ms / 1000, self.uptime_ms % 1000);
        let life = u64::from(self.life) + 1;
        info!("{name}/{vcpu}: up {seconds}.{rest:03} s in life {life}; last exits:{}", self.flight);
    }
}

/// The records of one partition.
pub struct Faults(SpinMutex<Kept>);

struct Kept {
    record: Option<Record>,
    /// `Ctrl-T f` has shown it.
    is_read: bool,
    /// Records after it that were not kept.
    later: u32,
    count: u32,
}

impl Faults {
    /// None yet.
    pub const fn new() -> Self {
        Self(SpinMutex::new(Kept { record: None, is_read: true, later: 0, count: 0 }))
    }

    /// How many ends there were that neither guest nor keyboard wished.
    pub fn count(&self) -> u32 {
        self.0.hold().count
    }

    /// No core is in the guest: notes and shows what ended the life, unless the guest wished it, and at which tick. A life that
    /// did not begin has no vCPU: what the cores hold is of the one before.
    pub fn note(&self, partition: &'static Partition, cause: Cause, vcpu: VcpuId, life: u32, ended_at: u64) {
        if cause.is_wish() {
            return;
        }
        let began_at = partition.counter_offset.load(Ordering::Relaxed);
        let core = partition.core(vcpu).filter(|_| cause.is_of_life());
        let ticks = core.map_or(0, |_| ended_at.saturating_sub(began_at));
        let record = Record {
            cause,
            vcpu,
            place: core.and_then(|core| *core.place.hold()),
            life,
            uptime_ms: ticks / timer::ticks(1).max(1),
            flight: core.map_or(Flight::default(), |core| core.recorder.newest()),
        };
        record.show(partition);
        if core.is_some() {
            show_siblings(partition, vcpu);
        }
        let mut kept = self.0.hold();
        kept.count += u32::from(!cause.is_key());
        if kept.is_read {
            (kept.record, kept.is_read, kept.later) = (Some(record), cause.is_key(), 0);
        } else {
            kept.later += 1;
        }
    }
}

fn show_siblings(partition: &'static Partition, vcpu: VcpuId) {
    for (n, sibling) in (0u16..).map(VcpuId::new).zip(partition.cores()).filter(|(n, _)| *n != vcpu) {
        if let Some(place) = *sibling.place.hold() {
            info!("{}/{n}: {place}", partition.name());
        }
    }
}

/// Notes where `core`'s vCPU was when it left; `None`: it was off.
pub fn note_place(core: &Core, place: Option<Place>) {
    *core.place.hold() = place;
}

/// `Ctrl-T f`: shows the kept records of all partitions. From here on new ones may take their places.
pub fn show_all() {
    let mut is_any = false;
    for partition in partition::all() {
        let mut kept = partition.faults().0.hold();
        let Some(record) = kept.record else { continue };
        is_any = true;
        record.show(partition);
        if kept.later != 0 {
            info!("{}: {} more since then", partition.name(), u64::from(kept.later));
        }
        kept.is_read = true;
    }
    if !is_any {
        info!("no partition has a fault record");
    }
}
