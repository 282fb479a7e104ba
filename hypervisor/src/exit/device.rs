//! Data aborts: accesses to the emulated devices of the guest machine. Everything else is an external abort for the
//! guest, as on a board where nothing answers.

use super::Verdict;
use crate::arch::guest::GuestFrame;
use crate::console;
use crate::core_local::{Assignment, Core};
use crate::gic::Gic;
use crate::interrupt;
use abi::{VcpuId, machine};
use addr::{Address, Ipa};
use trap::{Abort, Access, Injection};
use vgic::{Version, Vgic};

/// An emulated device and the place in it.
enum Device {
    Distributor(u64),
    Redistributor(VcpuId, u64),
    Uart(u64),
}

#[inline(always)]
fn device_at(ipa: Ipa, version: Version, vcpus: u16) -> Option<Device> {
    let within = |start: Ipa, size: u64| ipa.offset_from(start).filter(|offset| *offset < size);
    if let Some(offset) = within(machine::GICD, machine::GICD_SIZE) {
        return Some(Device::Distributor(offset));
    }
    if let Some(offset) = within(machine::UART, machine::UART_SIZE) {
        return Some(Device::Uart(offset));
    }
    let offset = within(machine::GICR, u64::from(vcpus) * machine::GICR_STRIDE).filter(|_| version == Version::V3)?;
    let vcpu = VcpuId::new((offset / machine::GICR_STRIDE) as u16);
    Some(Device::Redistributor(vcpu, offset % machine::GICR_STRIDE))
}

/// Decides about one data abort at `ipa`.
#[inline(always)]
pub fn access<G: Gic>(core: &'static Core, frame: &mut GuestFrame, abort: Abort, ipa: Ipa) -> Verdict {
    let refused = || {
        core.counters.aborts.count();
        Verdict::Inject(Injection::DataAbort(abort))
    };
    let Some(Assignment { partition, .. }) = core.assignment else { return refused() };
    let Some(device) = device_at(ipa, G::VERSION, partition.vcpus()) else { return refused() };
    if abort.is_cache_maintenance() {
        return Verdict::Skip;
    }
    // Without a syndrome (ISV = 0) the instruction would have to be decoded: no guest accesses devices so.
    let Some(access) = abort.access() else { return refused() };
    let register = access.register() as u8;
    let bytes = access.bytes() as u8;
    if access.is_write() {
        let value = access.truncate(frame.register(register));
        match device {
            Device::Uart(offset) => console::guest_write::<G>(core, partition, offset, bytes, value as u32),
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
    } else {
        let value = match device {
            Device::Uart(offset) => u64::from(console::guest_read::<G>(core, partition, offset, bytes)),
            Device::Distributor(offset) => {
                core.counters.vgic.count();
                read_vgic::<G>(core, Vgic::distributor_read_needs_sync(offset), |vgic, vcpu| {
                    vgic.distributor_read(vcpu, offset, bytes)
                })
            }
            Device::Redistributor(target, offset) => {
                core.counters.vgic.count();
                read_vgic::<G>(core, Vgic::redistributor_read_needs_sync(offset), |vgic, _| {
                    vgic.redistributor_read(target, offset, bytes)
                })
            }
        };
        load(frame, register, access, value);
    }
    Verdict::Skip
}

#[inline(always)]
fn load(frame: &mut GuestFrame, register: u8, access: Access, value: u64) {
    frame.set_register(register, access.extend(value));
}

/// Reads the model; only pending and active states need the list registers folded in first.
#[inline(always)]
fn read_vgic<G: Gic>(
    core: &'static Core,
    needs_sync: bool,
    read: impl FnOnce(&mut Vgic<'static>, VcpuId) -> u64,
) -> u64 {
    if needs_sync {
        return interrupt::with_vgic::<G, _>(core, |vgic, vcpu, _| read(vgic, vcpu));
    }
    let Some(Assignment { partition, vcpu }) = core.assignment else { return 0 };
    read(&mut partition.vgic.lock(), vcpu)
}
