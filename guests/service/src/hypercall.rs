//! The hypercalls of [`abi::service`], typed. Nothing here waits, and nothing here prints.

use crate::arch::insn::{Registers, hvc};
use abi::channel::RING_DOORBELL;
use abi::service::{CONSOLE_EL2, Call, Command, Phase, Status, TEXT, VERSION};
use abi::{PartitionId, VirtioId};
use addr::Ipa;

/// What [`hello`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Hello {
    /// Lives of the service before this one.
    pub restarts: u64,
    /// Where [`abi::service::EventPage`] is.
    pub events: Ipa,
    /// Where [`abi::service::DevicePage`] is.
    pub devices: Ipa,
    /// Where [`abi::service::ServicePage`] is.
    pub service: Ipa,
    /// A number of this boot.
    pub boot: u64,
}

/// A virtio device's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceState {
    /// Raised by EL2 at each reset; calls for the device carry it.
    pub epoch: u64,
    /// The Status register as the driver wrote it.
    pub status: u8,
    /// What the device waits for.
    pub phase: Phase,
    /// Features that the driver accepted.
    pub features: u64,
}

/// A queue as its driver set it up. All numbers are the guest's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceQueue {
    /// Elements; 0 while it is not ready.
    pub size: u64,
    /// The descriptor table.
    pub descriptors: Ipa,
    /// The available ring.
    pub driver: Ipa,
    /// The used ring.
    pub device: Ipa,
}

/// Who is asked for output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// A partition.
    Partition(PartitionId),
    /// EL2's own lines.
    El2,
}

/// A console of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Port {
    /// Its PL011.
    Uart,
    /// Its virtio console.
    Virtio,
}

/// A piece of a source's output.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    bytes: [u8; TEXT],
    len: usize,
    /// Lines dropped behind it.
    pub dropped: u32,
}

impl Output {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}

fn call(call: Call, arguments: &[u64]) -> Result<Registers, Status> {
    let mut x: Registers = [0; 11];
    x[0] = call.function().into();
    for (register, argument) in x[1..].iter_mut().zip(arguments) {
        *register = *argument;
    }
    let x = hvc(x);
    match Status::from_number(x[0]) {
        Status::Ok => Ok(x),
        refused => Err(refused),
    }
}

fn number(device: VirtioId) -> u64 {
    device.number().into()
}

/// [`Call::Hello`].
pub fn hello() -> Result<Hello, Status> {
    let x = call(Call::Hello, &[VERSION])?;
    let [events, devices, service] = [2, 3, 4].map(|n: usize| Ipa::new(x[n]));
    Ok(Hello { restarts: x[1], events, devices, service, boot: x[5] })
}

/// Rings the doorbell of a channel's other end ([`RING_DOORBELL`]).
pub fn ring_doorbell(number: u8) -> Result<(), Status> {
    let mut x: Registers = [0; 11];
    (x[0], x[1]) = (RING_DOORBELL.into(), number.into());
    match Status::from_number(hvc(x)[0]) {
        Status::Ok => Ok(()),
        refused => Err(refused),
    }
}

/// [`Call::DeviceState`].
pub fn device_state(device: VirtioId) -> Result<DeviceState, Status> {
    let x = call(Call::DeviceState, &[number(device)])?;
    let phase = match x[2] >> 8 {
        1 => Phase::Active,
        2 => Phase::Quieting,
        _ => Phase::Idle,
    };
    Ok(DeviceState { epoch: x[1], status: x[2] as u8, phase, features: x[3] })
}

/// [`Call::DeviceQueue`].
pub fn device_queue(device: VirtioId, epoch: u64, queue: u64) -> Result<DeviceQueue, Status> {
    let x = call(Call::DeviceQueue, &[number(device), epoch, queue])?;
    Ok(DeviceQueue { size: x[1], descriptors: Ipa::new(x[2]), driver: Ipa::new(x[3]), device: Ipa::new(x[4]) })
}

/// [`Call::DeviceConfig`] for each word of a configuration space; what is no multiple of four is filled with zeros.
pub fn device_config(device: VirtioId, config: &[u8]) -> Result<(), Status> {
    for (offset, bytes) in (0u64..).step_by(4).zip(config.chunks(4)) {
        let mut word = [0; 4];
        for (place, byte) in word.iter_mut().zip(bytes) {
            *place = *byte;
        }
        call(Call::DeviceConfig, &[number(device), offset, u32::from_le_bytes(word).into()])?;
    }
    Ok(())
}

/// [`Call::DeviceOffer`].
pub fn device_offer(device: VirtioId, features: u64) -> Result<(), Status> {
    call(Call::DeviceOffer, &[number(device), features]).map(drop)
}

/// [`Call::DeviceAbsent`].
pub fn device_absent(device: VirtioId) -> Result<(), Status> {
    call(Call::DeviceAbsent, &[number(device)]).map(drop)
}

/// [`Call::DeviceQuiet`].
pub fn device_quiet(device: VirtioId, epoch: u64) -> Result<(), Status> {
    call(Call::DeviceQuiet, &[number(device), epoch]).map(drop)
}

/// [`Call::DeviceRaise`] for used buffers.
pub fn device_raise(device: VirtioId, epoch: u64) -> Result<(), Status> {
    const USED_BUFFER: u64 = 1;
    call(Call::DeviceRaise, &[number(device), epoch, USED_BUFFER]).map(drop)
}

/// [`Call::DeviceBreak`].
pub fn device_break(device: VirtioId, epoch: u64) -> Result<(), Status> {
    call(Call::DeviceBreak, &[number(device), epoch]).map(drop)
}

/// [`Call::ConsoleTake`]. Whose the keyboard is, and at which console of his.
pub fn console_take() -> Result<(PartitionId, Port), Status> {
    let x = call(Call::ConsoleTake, &[1])?;
    Ok((PartitionId::new(x[1] as u8), if x[2] == 0 { Port::Uart } else { Port::Virtio }))
}

/// [`Call::ConsoleTake`], to give it back.
pub fn console_give_back() -> Result<(), Status> {
    call(Call::ConsoleTake, &[0]).map(drop)
}

/// [`Call::ConsoleRead`].
pub fn console_read(source: Source) -> Result<Output, Status> {
    let source = match source {
        Source::Partition(id) => id.number().into(),
        Source::El2 => CONSOLE_EL2,
    };
    let x = call(Call::ConsoleRead, &[source])?;
    let mut output = Output { bytes: [0; TEXT], len: (x[1] as usize).min(TEXT), dropped: x[2] as u32 };
    for (bytes, word) in output.bytes.chunks_mut(8).zip(&x[3..]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    Ok(output)
}

/// [`Call::ConsoleType`].
pub fn console_type(partition: PartitionId, byte: u8) -> Result<(), Status> {
    call(Call::ConsoleType, &[partition.number().into(), byte.into()]).map(drop)
}

/// [`Call::Command`]; `argument` is X2, `wanted` X3.
pub fn command(command: Command, argument: u64, wanted: u64) -> Result<(), Status> {
    call(Call::Command, &[command as u64, argument, wanted]).map(drop)
}

/// [`Call::Log`]: at most [`TEXT`] bytes; what is longer loses its end.
pub fn log(text: &[u8]) -> Result<(), Status> {
    let text = text.get(..TEXT).unwrap_or(text);
    let mut arguments = [0; 9];
    arguments[0] = text.len() as u64;
    for (word, bytes) in arguments[1..].iter_mut().zip(text.chunks(8)) {
        let mut place = [0; 8];
        for (to, from) in place.iter_mut().zip(bytes) {
            *to = *from;
        }
        *word = u64::from_le_bytes(place);
    }
    call(Call::Log, &arguments).map(drop)
}

/// [`Call::SetLines`].
pub fn set_lines(partition: PartitionId, mask: u8, levels: u8) -> Result<(), Status> {
    call(Call::SetLines, &[partition.number().into(), mask.into(), levels.into()]).map(drop)
}

/// [`Call::SetClock`].
pub fn set_clock(seconds: u64) -> Result<(), Status> {
    call(Call::SetClock, &[seconds]).map(drop)
}
