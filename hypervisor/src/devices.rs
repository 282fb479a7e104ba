//! A partition's emulated devices beside console and GIC: the PL061 with power key and plain lines, the clock, and the
//! watchdog.
//!
//! The models are pure (`vgpio`, `watchdog`); here their registers meet the guest's accesses, their lines the vGIC, and
//! the watchdog's deadlines EL2's timer on vCPU 0's core. Locks are taken like a terminal's: one device, then the vGIC.

use crate::core_local::{Core, Doorbell};
use crate::gic;
use crate::interrupt;
use crate::lock::Lock;
use crate::partition::Partition;
use crate::service;
use crate::timer::{self, Slot};
use abi::service::{Driven, Status};
use abi::{IntId, VcpuId, machine};
use core::sync::atomic::Ordering;
use manifest::Board;
use spin::mutex::SpinMutex;
use vgpio::Pl061;
use vrtc::Pl031;
use watchdog::{Expiry, Frame, Watchdog};

/// The devices.
pub struct Devices {
    gpio: SpinMutex<Gpio>,
    clock: SpinMutex<Pl031>,
    watchdog: SpinMutex<Line<Watchdog>>,
    /// WOR at the start of a life, in ticks: half of the system file's time, as the second expiry ends the life.
    wor: u64,
    has_watchdog: bool,
    has_gpio: bool,
    has_clock: bool,
}

/// A model and the interrupt line it drove last.
struct Line<M> {
    model: M,
    level: bool,
}

/// The PL061, and what the service partition was told of it.
struct Gpio {
    line: Line<Pl061>,
    told: Driven,
}

impl<M> Line<M> {
    const fn new(model: M) -> Self {
        Self { model, level: false }
    }

    /// Carries a change of the interrupt line to the vGIC.
    fn drive(&mut self, core: &'static Core, partition: &'static Partition, intid: IntId, level: bool) {
        if core::mem::replace(&mut self.level, level) != level {
            interrupt::set_line(core, partition, intid, level);
        }
    }
}

impl Devices {
    /// What `partition` has on `board`. `has_service`: somebody knows the time of day.
    pub fn new(partition: &manifest::Partition, board: &Board, has_service: bool) -> Self {
        let wor = timer::ticks(partition.watchdog_ms) / 2;
        Self {
            gpio: SpinMutex::new(Gpio { line: Line::new(Pl061::new()), told: Driven::default() }),
            clock: SpinMutex::new(Pl031::new()),
            watchdog: SpinMutex::new(Line::new(Watchdog::new(wor))),
            wor,
            has_watchdog: partition.watchdog_ms != 0,
            has_gpio: partition.has_power_key(board),
            has_clock: has_service
                && partition.has_room_for(board, machine::RTC, machine::RTC_SIZE, machine::RTC_INTID),
        }
    }

    /// As at power-on, for a new life.
    pub fn reset(&self) {
        let line = &mut self.gpio.hold().line;
        line.model.set_pin(machine::POWER_KEY_PIN, false);
        line.model.reset();
        line.level = false;
        *self.clock.hold() = Pl031::new();
        *self.watchdog.hold() = Line::new(Watchdog::new(self.wor));
    }

    /// Whether there is a clock.
    pub const fn has_clock(&self) -> bool {
        self.has_clock
    }
    /// Whether there is a watchdog.
    pub const fn has_watchdog(&self) -> bool {
        self.has_watchdog
    }
}

impl Partition {
    /// Whether there is a power key to press.
    pub fn has_power_key(&self) -> bool {
        self.devices.has_gpio
    }

    /// Presses the power key or lets it go; from any core, `core` being this one.
    pub fn set_power_key(&'static self, core: &'static Core, is_down: bool) {
        let mut gpio = self.devices.gpio.hold();
        gpio.line.model.set_pin(machine::POWER_KEY_PIN, is_down);
        self.follow(core, &mut gpio);
    }

    /// Applies the board's levels to the lines of `mask`; from the service's core.
    ///
    /// # Errors
    /// There is no PL061, or a line beyond it.
    pub fn set_lines(&'static self, core: &'static Core, mask: u64, levels: u64) -> Result<(), Status> {
        if !self.devices.has_gpio {
            return Err(Status::WrongState);
        }
        let mask = u8::try_from(mask).map_err(|_| Status::Invalid)? & !(1 << machine::POWER_KEY_PIN);
        let mut gpio = self.devices.gpio.hold();
        gpio.line.model.set_pins(mask, levels as u8);
        self.follow(core, &mut gpio);
        Ok(())
    }

    /// A life has ended: it drives nothing any more. On the last core to leave it.
    pub fn release_lines(&'static self, core: &'static Core) {
        let mut gpio = self.devices.gpio.hold();
        gpio.line.model.reset();
        self.follow(core, &mut gpio);
    }

    /// Tells the vGIC and the service partition what follows from a change of the PL061. Under its lock: the newest stays.
    fn follow(&'static self, core: &'static Core, gpio: &mut Gpio) {
        let level = gpio.line.model.irq_level();
        gpio.line.drive(core, self, machine::GPIO_INTID, level);
        let (outputs, high) = gpio.line.model.driven();
        let driven = Driven { outputs, high };
        if core::mem::replace(&mut gpio.told, driven) != driven {
            service::tell_lines(core, self.id, driven);
        }
    }

    /// A guest reads the PL061.
    pub fn gpio_read(&'static self, offset: u64, bytes: u8) -> u64 {
        u64::from(self.devices.gpio.hold().line.model.read(offset, u32::from(bytes)))
    }

    /// A guest writes the PL061.
    pub fn gpio_write(&'static self, core: &'static Core, offset: u64, bytes: u8, value: u64) {
        let mut gpio = self.devices.gpio.hold();
        gpio.line.model.write(offset, u32::from(bytes), value as u32);
        self.follow(core, &mut gpio);
    }

    /// A guest reads its clock.
    pub fn clock_read(&self, offset: u64) -> u64 {
        u64::from(self.devices.clock.hold().read(offset, service::seconds()))
    }

    /// A guest writes its clock.
    pub fn clock_write(&self, offset: u64, value: u64) {
        self.devices.clock.hold().write(offset, value as u32, service::seconds());
    }

    /// A guest reads its watchdog.
    pub fn watchdog_read(&'static self, frame: Frame, offset: u64, bytes: u8) -> u64 {
        self.devices.watchdog.hold().model.read(frame, offset, u32::from(bytes), self.virtual_now())
    }

    /// A guest writes its watchdog, on its own core.
    pub fn watchdog_write(&'static self, core: &'static Core, frame: Frame, offset: u64, bytes: u8, value: u64) {
        let mut line = self.devices.watchdog.hold();
        line.model.write(frame, offset, u32::from(bytes), value, self.virtual_now());
        let level = line.model.irq_level();
        line.drive(core, self, machine::WATCHDOG_INTID, level);
        drop(line);
        match self.core(VcpuId::new(0)) {
            Some(first) if core::ptr::eq(first, core) => self.arm_watchdog(core),
            Some(first) => first.ask(Doorbell::Timer, gic::ring),
            None => {}
        }
    }

    /// Sets the timer of this core, vCPU 0's, for the watchdog.
    pub fn arm_watchdog(&self, core: &'static Core) {
        match self.devices.watchdog.hold().model.deadline() {
            Some(at) => {
                timer::set(core, Slot::Watchdog, at.saturating_add(self.counter_offset.load(Ordering::Relaxed)))
            }
            None => timer::clear(core, Slot::Watchdog),
        }
    }

    /// On vCPU 0's core, whose timer rang for the watchdog. `true`: it starved, the life is over.
    pub fn watchdog_expired(&'static self, core: &'static Core) -> bool {
        let mut line = self.devices.watchdog.hold();
        let expiry = line.model.expire(self.virtual_now());
        let level = line.model.irq_level();
        line.drive(core, self, machine::WATCHDOG_INTID, level);
        drop(line);
        if expiry == Expiry::Second {
            return true;
        }
        self.arm_watchdog(core);
        false
    }

    /// The guest's virtual counter.
    fn virtual_now(&self) -> u64 {
        timer::now().wrapping_sub(self.counter_offset.load(Ordering::Relaxed))
    }
}
