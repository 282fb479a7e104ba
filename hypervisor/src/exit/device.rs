//! Data aborts: accesses to the emulated devices of the guest machine. Everything else is an external abort for the
//! guest, as on a board where nothing answers.

use super::Verdict;
use crate::arch::guest::GuestFrame;
use crate::console;
use crate::core_local::{Assignment, Core};
use crate::gic::Gic;
use crate::interrupt;
use crate::partition::Partition;
use abi::{VcpuId, machine};
use addr::Ipa;
use trap::{Abort, Injection};
use vgic::{Version, Vgic};

/// The redistributor's second frame.
const SGI_FRAME: u64 = 0x1_0000;
/// ISPENDR0 and ICPENDR0.
const PENDING: [u64; 2] = [0x200, 0x280];
/// GICv2's software-generated interrupt register.
const GICD_SGIR: u64 = 0xf00;

/// An emulated device and the place in it.
enum Device {
    Distributor(u64),
    Redistributor(VcpuId, u64),
    Uart(u64),
    /// The flash banks of QEMU's `virt`: empty, for guests that look for their settings there (U-Boot).
    Flash,
}

#[inline(always)]
fn device_at(ipa: Ipa, version: Version, vcpus: u16) -> Option<Device> {
    let within = |start: Ipa, size: u64| {
        let offset = ipa.as_u64().wrapping_sub(start.as_u64());
        (offset < size).then_some(offset)
    };
    if let Some(offset) = within(machine::GICD, machine::GICD_SIZE) {
        return Some(Device::Distributor(offset));
    }
    if let Some(offset) = within(machine::UART, machine::UART_SIZE) {
        return Some(Device::Uart(offset));
    }
    if let Some(offset) = within(machine::GICR, u64::from(vcpus) * machine::GICR_STRIDE)
        && version == Version::V3
    {
        let vcpu = VcpuId::new((offset / machine::GICR_STRIDE) as u16);
        return Some(Device::Redistributor(vcpu, offset % machine::GICR_STRIDE));
    }
    within(machine::FLASH, machine::FLASH_SIZE).map(|_| Device::Flash)
}

/// Decides about one data abort at `ipa`.
#[inline(always)]
pub fn access<G: Gic>(core: &'static Core, frame: &mut GuestFrame, abort: Abort, ipa: Ipa) -> Verdict {
    let refused = || {
        core.counters.aborts.count();
        Verdict::Inject(Injection::DataAbort(abort))
    };
    let Some(Assignment { partition, vcpu }) = core.assignment else { return refused() };
    let Some(device) = device_at(ipa, G::VERSION, partition.vcpus()) else { return refused() };
    if abort.is_cache_maintenance() {
        return Verdict::Skip;
    }
    // Without a syndrome (ISV = 0) the instruction would have to be decoded: no guest accesses devices so.
    let Some(access) = abort.access() else { return refused() };
    let at = Place { core, partition, vcpu, device, bytes: access.bytes() as u8 };
    let register = access.register() as u8;
    if access.is_write() {
        at.write::<G>(access.truncate(frame.register(register)));
    } else {
        let value = match at.constant::<G>() {
            Some(value) => value,
            None => at.read::<G>(),
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
    bytes: u8,
}

impl Place {
    /// What can be read without the list registers: everything but pending and active states.
    #[inline(always)]
    fn constant<G: Gic>(&self) -> Option<u64> {
        let value = match self.device {
            Device::Distributor(offset) if !Vgic::distributor_read_needs_sync(offset) => {
                self.partition.vgic.lock().distributor_read(self.vcpu, offset, self.bytes)
            }
            Device::Redistributor(target, offset) if !Vgic::redistributor_read_needs_sync(offset) => {
                self.partition.vgic.lock().redistributor_read(target, offset, self.bytes)
            }
            _ => return None,
        };
        self.core.counters.vgic.count();
        Some(value)
    }

    #[inline(never)]
    fn read<G: Gic>(&self) -> u64 {
        let (core, bytes) = (self.core, self.bytes);
        match self.device {
            Device::Flash => 0,
            Device::Uart(offset) => u64::from(console::guest_read::<G>(core, self.partition, offset, bytes)),
            Device::Distributor(offset) => {
                core.counters.vgic.count();
                interrupt::with_vgic::<G, _>(core, |vgic, vcpu, _| {
                    let value = vgic.distributor_read(vcpu, offset, bytes);
                    value | physically_pending::<G>(core, vgic, offset, bytes, Version::V2)
                })
            }
            Device::Redistributor(target, offset) => {
                core.counters.vgic.count();
                interrupt::with_vgic::<G, _>(core, |vgic, vcpu, _| {
                    let value = vgic.redistributor_read(target, offset, bytes);
                    if target != vcpu {
                        return value;
                    }
                    value | physically_pending::<G>(core, vgic, offset.wrapping_sub(SGI_FRAME), bytes, Version::V3)
                })
            }
        }
    }

    #[inline(never)]
    fn write<G: Gic>(&self, value: u64) {
        let (core, bytes) = (self.core, self.bytes);
        match self.device {
            Device::Flash => {}
            Device::Uart(offset) => console::guest_write::<G>(core, self.partition, offset, bytes, value as u32),
            Device::Distributor(GICD_SGIR) if G::VERSION == Version::V2 && bytes == 4 => {
                let targets = vgic::sgir_targets(value as u32, self.vcpu, self.partition.vcpus());
                interrupt::send_sgi::<G>(core, self.partition, self.vcpu, targets);
            }
            Device::Distributor(offset) => {
                core.counters.vgic.count();
                interrupt::with_vgic::<G, _>(core, |vgic, vcpu, edge| {
                    vgic.distributor_write(vcpu, offset, bytes, value, edge);
                });
            }
            Device::Redistributor(target, offset) => {
                core.counters.vgic.count();
                interrupt::with_vgic::<G, _>(core, |vgic, _, edge| {
                    vgic.redistributor_write(target, offset, bytes, value, edge);
                });
            }
        }
    }
}

/// What a read of this vCPU's pending bits shows beyond the model: the lines of its forwarded PPIs while they are
/// disabled, which only the hardware sees. `home` is the GIC version whose registers `offset` is in.
#[inline(always)]
fn physically_pending<G: Gic>(core: &'static Core, vgic: &Vgic<'_>, offset: u64, bytes: u8, home: Version) -> u64 {
    if G::VERSION != home || !PENDING.contains(&offset) || bytes != 4 {
        return 0;
    }
    u64::from(G::pending_private(core) & vgic.forwarded_private())
}
