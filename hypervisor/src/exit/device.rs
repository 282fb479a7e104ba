//! Data aborts: accesses to the emulated devices of the guest machine. Everything else is an external abort for the
//! guest, as on a board where nothing answers.

use super::Verdict;
use crate::arch::guest::GuestFrame;
use crate::console;
use crate::core_local::{Assignment, Core};
use crate::gic::{self, Gic};
use crate::interrupt;
use crate::partition::Partition;
use abi::{VcpuId, machine};
use addr::Ipa;
use trap::{Abort, Injection};
use vgic::{Effects, Version, Vgic};
use watchdog::Frame;

/// The redistributor's second frame.
const SGI_FRAME: u64 = 0x1_0000;
/// ISPENDR0 and ICPENDR0.
const PENDING: [u64; 2] = [0x200, 0x280];
/// GICv2's software-generated interrupt register.
const GICD_SGIR: u64 = 0xf00;

/// An emulated device.
#[derive(Clone, Copy)]
enum Device {
    Distributor,
    Redistributor(VcpuId),
    Uart,
    /// The PL061 with the power key.
    Gpio,
    Clock,
    WatchdogControl,
    WatchdogRefresh,
    /// The flash banks of QEMU's `virt`: empty, for guests that look for their settings there (U-Boot).
    Flash,
}

/// The device at `ipa` and the place in it.
#[inline(always)]
fn device_at(ipa: Ipa, version: Version, vcpus: u16) -> Option<(Device, u64)> {
    let within = |start: Ipa, size: u64| {
        let offset = ipa.as_u64().wrapping_sub(start.as_u64());
        (offset < size).then_some(offset)
    };
    if let Some(offset) = within(machine::GICD, machine::GICD_SIZE) {
        return Some((Device::Distributor, offset));
    }
    if let Some(offset) = within(machine::UART, machine::UART_SIZE) {
        return Some((Device::Uart, offset));
    }
    if let Some(offset) = within(machine::GICR, u64::from(vcpus) * machine::GICR_STRIDE)
        && version == Version::V3
    {
        let vcpu = VcpuId::new((offset / machine::GICR_STRIDE) as u16);
        return Some((Device::Redistributor(vcpu), offset % machine::GICR_STRIDE));
    }
    rare_device_at(ipa)
}

/// Devices whose accesses nobody counts.
#[inline(never)]
fn rare_device_at(ipa: Ipa) -> Option<(Device, u64)> {
    let devices = [
        (Device::Gpio, machine::GPIO, machine::GPIO_SIZE),
        (Device::Clock, machine::RTC, machine::RTC_SIZE),
        (Device::WatchdogControl, machine::WATCHDOG, machine::WATCHDOG_SIZE),
        (Device::WatchdogRefresh, machine::WATCHDOG_REFRESH, machine::WATCHDOG_SIZE),
        (Device::Flash, machine::FLASH, machine::FLASH_SIZE),
    ];
    devices.into_iter().find_map(|(device, start, size)| {
        let offset = ipa.as_u64().wrapping_sub(start.as_u64());
        (offset < size).then_some((device, offset))
    })
}

/// Decides about one data abort at `ipa`.
#[inline(always)]
pub fn access<G: Gic>(core: &'static Core, frame: &mut GuestFrame, abort: Abort, ipa: Ipa) -> Verdict {
    let refused = || {
        core.counters.aborts.count();
        Verdict::Inject(Injection::DataAbort(abort))
    };
    let Some(Assignment { partition, vcpu }) = core.assignment else { return refused() };
    let Some((device, offset)) = device_at(ipa, G::VERSION, partition.vcpus()) else { return refused() };
    let exists = match device {
        Device::WatchdogControl | Device::WatchdogRefresh => partition.devices.has_watchdog(),
        Device::Clock => partition.devices.has_clock(),
        _ => true,
    };
    if !exists {
        return refused();
    }
    if abort.is_cache_maintenance() {
        return Verdict::Skip;
    }
    let Some(access) = abort.access() else { return Verdict::Decode(abort) };
    let at = Place { core, partition, vcpu, device, offset, bytes: access.bytes() as u8 };
    let register = access.register() as u8;
    if access.is_write() {
        let value = access.truncate(frame.register(register));
        if G::VERSION == Version::V2
            && access.bytes() == 4
            && offset == GICD_SGIR
            && matches!(device, Device::Distributor)
        {
            let targets = vgic::sgir_targets(value as u32, vcpu, partition.vcpus());
            interrupt::send_sgi::<G>(core, partition, vcpu, targets);
        } else {
            at.write(value);
        }
    } else {
        let value = match at.constant::<G>() {
            Some(value) => value,
            None => at.read(),
        };
        frame.set_register(register, access.extend(value));
    }
    Verdict::Skip
}

/// One access to an emulated device.
struct Place {
    core: &'static Core,
    partition: &'static Partition,
    vcpu: VcpuId,
    device: Device,
    offset: u64,
    bytes: u8,
}

impl Place {
    /// What can be read without the list registers: everything but pending and active states.
    #[inline(always)]
    fn constant<G: Gic>(&self) -> Option<u64> {
        let offset = self.offset;
        let value = match self.device {
            Device::Distributor if !Vgic::distributor_read_needs_sync(offset) => {
                match Vgic::distributor_constant(G::VERSION, self.partition.vcpus(), offset, self.bytes) {
                    Some(value) => value,
                    None => self.partition.vgic.lock().distributor_read(self.vcpu, offset, self.bytes),
                }
            }
            Device::Redistributor(target) if !Vgic::redistributor_read_needs_sync(offset) => {
                self.partition.vgic.lock().redistributor_read(target, offset, self.bytes)
            }
            _ => return None,
        };
        self.core.counters.vgic.count();
        Some(value)
    }

    #[inline(never)]
    fn read(&self) -> u64 {
        let (core, offset, bytes) = (self.core, self.offset, self.bytes);
        match self.device {
            Device::Flash => 0,
            Device::Gpio => self.partition.gpio_read(offset, bytes),
            Device::Clock => self.partition.clock_read(offset),
            Device::WatchdogControl => self.partition.watchdog_read(Frame::Control, offset, bytes),
            Device::WatchdogRefresh => self.partition.watchdog_read(Frame::Refresh, offset, bytes),
            Device::Uart => u64::from(console::guest_read(core, self.partition, offset, bytes)),
            Device::Distributor => self.change(|vgic, vcpu, _| {
                let value = vgic.distributor_read(vcpu, offset, bytes);
                value | physically_pending(core, vgic, offset, bytes, Version::V2)
            }),
            Device::Redistributor(target) => self.change(|vgic, vcpu, _| {
                let value = vgic.redistributor_read(target, offset, bytes);
                if target != vcpu {
                    return value;
                }
                value | physically_pending(core, vgic, offset.wrapping_sub(SGI_FRAME), bytes, Version::V3)
            }),
        }
    }

    #[inline(never)]
    fn write(&self, value: u64) {
        let (core, offset, bytes) = (self.core, self.offset, self.bytes);
        match self.device {
            Device::Flash => {}
            Device::Gpio => self.partition.gpio_write(core, offset, bytes, value),
            Device::Clock => self.partition.clock_write(offset, value),
            Device::WatchdogControl => self.partition.watchdog_write(core, Frame::Control, offset, bytes, value),
            Device::WatchdogRefresh => self.partition.watchdog_write(core, Frame::Refresh, offset, bytes, value),
            Device::Uart => console::guest_write(core, self.partition, offset, bytes, value as u32),
            Device::Distributor => {
                self.change(|vgic, vcpu, edge| {
                    vgic.distributor_write(vcpu, offset, bytes, value, edge);
                    0
                });
            }
            Device::Redistributor(target) => {
                self.change(|vgic, _, edge| {
                    vgic.redistributor_write(target, offset, bytes, value, edge);
                    0
                });
            }
        }
    }

    /// An access to the vGIC that needs the list registers' state or changes it.
    fn change(&self, mut change: impl FnMut(&mut Vgic<'static>, VcpuId, &mut dyn Effects) -> u64) -> u64 {
        self.core.counters.vgic.count();
        let mut result = 0;
        interrupt::with_vgic_any(self.core, &mut |vgic, vcpu, edge| result = change(vgic, vcpu, edge));
        result
    }
}

/// What a read of this vCPU's pending bits shows beyond the model: the lines of its forwarded PPIs while they are
/// disabled, which only the hardware sees. `home` is the GIC version whose registers `offset` is in.
#[inline(always)]
fn physically_pending(core: &'static Core, vgic: &Vgic<'_>, offset: u64, bytes: u8, home: Version) -> u64 {
    if gic::version() != home || !PENDING.contains(&offset) || bytes != 4 {
        return 0;
    }
    u64::from(gic::pending_private(core) & vgic.forwarded_private())
}
