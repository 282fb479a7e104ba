//! A service partition that has nothing good in mind: it makes every hypercall with arguments that are foreign, out of
//! range or of another state, and compares the answers with those that the manual promises.
//!
//! Loaded in the real one's place, with its entry code. It never touches a page or a device: what it knows it asks for.
//! Its one device is an entropy device that serves nothing; the test drives it, so that it meets each of its phases.
//! Each half ends in a line `badservice: HALF done, refused=N wrong=N`, N counting from the beginning.
#![no_std]
#![no_main]

mod arch;
#[path = "../../service/src/hypercall.rs"]
#[expect(dead_code, reason = "the service's own: a few of its calls are enough here")]
mod hypercall;
#[path = "../../service/src/say.rs"]
mod say;

use abi::service::{CONSOLE_EL2, Call, Command, FIRST_FUNCTION, Phase, Status, TEXT, VERSION};
use abi::{PartitionId, VirtioId};
use arch::insn::hvc;
use core::panic::PanicInfo;

/// The device that there is, the one that is absent, and numbers that name none.
const DEVICE: u64 = 0;
const ABSENT: u64 = 1;
const NO_DEVICES: [u64; 5] = [2, 63, 64, 1 << 32, u64::MAX];
/// Numbers that name no partition.
const NO_PARTITIONS: [u64; 4] = [3, 16, 1 << 8, u64::MAX];
/// VIRTIO_F_VERSION_1.
const VERSION_1: u64 = 1 << 32;
/// VIRTIO_CONFIG_S_DRIVER_OK and all before it; with DEVICE_NEEDS_RESET.
const READY: u8 = 15;
const BROKEN: u8 = 79;

/// Answers so far.
#[derive(Default)]
struct Trial {
    refused: u32,
    wrong: u32,
}

impl Trial {
    /// Makes a call that must be answered so; what is not comes on the console, where there is one.
    fn must(&mut self, call: Call, arguments: &[u64], expected: Status) {
        self.must_answer(call.function(), arguments, expected);
        self.refused += u32::from(expected != Status::Ok);
    }

    fn must_answer(&mut self, function: u32, arguments: &[u64], expected: Status) {
        let status = call(function, arguments);
        if status != expected as i64 {
            self.wrong += 1;
            say!("badservice: 0x{function:x}{arguments:x?} answered {status}, not {}", expected as i64);
        }
    }

    fn done(&self, half: &str) {
        say!("badservice: {half} done, refused={} wrong={}", self.refused, self.wrong);
    }
}

/// A call; the number of its status.
fn call(function: u32, arguments: &[u64]) -> i64 {
    let mut x = [0; 11];
    x[0] = function.into();
    x[1..].iter_mut().zip(arguments).for_each(|(register, argument)| *register = *argument);
    hvc(x)[0] as i64
}

/// The device's epoch and what it waits for.
fn state() -> (u64, Phase, u8) {
    hypercall::device_state(VirtioId::new(DEVICE as u8)).map_or((0, Phase::Idle, 0), |s| (s.epoch, s.phase, s.status))
}

/// Waits until the device waits for this, and its driver says so.
fn wait_for(wanted: Phase, status: u8) -> u64 {
    loop {
        let (epoch, phase, now) = state();
        if phase == wanted && now == status {
            return epoch;
        }
        core::hint::spin_loop();
    }
}

/// Called by the service's entry code.
#[unsafe(no_mangle)]
extern "C" fn service_main(_plan: u64) -> ! {
    let mut trial = Trial::default();
    before_hello(&mut trial);
    if hypercall::hello().is_err() {
        arch::crash();
    }
    out_of_range(&mut trial);
    nobodys(&mut trial);
    idle(&mut trial);
    trial.done("idle");
    active(&mut trial);
    trial.done("active");
    quieting(&mut trial);
    trial.done("quieting");
    console(&mut trial);
    trial.done("console");
    loop {
        arch::insn::wfi();
    }
}

/// Nothing works before hello, and a wrong hello is none. What is wrong here is counted and cannot be said yet.
fn before_hello(trial: &mut Trial) {
    for function in FIRST_FUNCTION + 1..FIRST_FUNCTION + Call::COUNT {
        if let Some(call) = Call::from_function(function) {
            trial.must(call, &[0, 0, 0], Status::WrongState);
        }
    }
    for version in [0, VERSION + 1, VERSION << 32, u64::MAX] {
        trial.must(Call::Hello, &[version], Status::Invalid);
    }
}

/// Arguments that name nothing.
fn out_of_range(trial: &mut Trial) {
    let about_devices = [
        Call::DeviceState,
        Call::DeviceQueue,
        Call::DeviceConfig,
        Call::DeviceOffer,
        Call::DeviceAbsent,
        Call::DeviceQuiet,
        Call::DeviceRaise,
        Call::DeviceBreak,
    ];
    for (call, device) in about_devices.into_iter().flat_map(|call| NO_DEVICES.map(|device| (call, device))) {
        trial.must(call, &[device, 0, 1], Status::Invalid);
    }
    for offset in [1, 2, 3, 0xeff, 0xf00, 1 << 32, u64::MAX, u64::MAX - 3] {
        trial.must(Call::DeviceConfig, &[DEVICE, offset, 0], Status::Invalid);
    }
    for bytes in [TEXT as u64 + 1, 1 << 32, u64::MAX] {
        trial.must(Call::Log, &[bytes], Status::Invalid);
    }
    for partition in [16, 1 << 8, 1 << 32, u64::MAX] {
        trial.must(Call::SetLines, &[partition, 1, 1], Status::Invalid);
    }
    // Every line that there can be; the power key is none.
    trial.must(Call::SetLines, &[0, 0xff, u64::MAX], Status::Ok);
    for mask in [1 << 8, 1 << 32, u64::MAX] {
        trial.must(Call::SetLines, &[0, mask, 1], Status::Invalid);
    }
    for source in [0xfe, 1 << 8, CONSOLE_EL2 + (1 << 8), u64::MAX] {
        trial.must(Call::ConsoleRead, &[source], Status::Invalid);
    }
}

/// Functions that do not exist, and what only who has the console can do.
fn nobodys(trial: &mut Trial) {
    for function in
        [FIRST_FUNCTION - 1, FIRST_FUNCTION + Call::COUNT, FIRST_FUNCTION + 0x1000, FIRST_FUNCTION & !(1 << 30)]
    {
        trial.must_answer(function, &[0, 0, 0], Status::NotSupported);
    }
    for source in [0, 1, 2, CONSOLE_EL2] {
        trial.must(Call::ConsoleRead, &[source], Status::WrongState);
    }
    trial.must(Call::ConsoleType, &[1, b'x'.into()], Status::Invalid);
    trial.must(Call::Command, &[Command::Restart as u64, 1, 0], Status::WrongState);
}

/// The device has no driver: it can be offered otherwise, and nothing can be raised.
fn idle(trial: &mut Trial) {
    let (epoch, ..) = state();
    out_of_phase(trial, epoch);
    trial.must(Call::DeviceQuiet, &[DEVICE, epoch], Status::WrongState);
    trial.must(Call::DeviceOffer, &[DEVICE, VERSION_1], Status::Ok);
    trial.must(Call::DeviceOffer, &[DEVICE, VERSION_1 | 1], Status::Ok);
    trial.must(Call::DeviceOffer, &[DEVICE, 0], Status::Ok);
    trial.must(Call::DeviceOffer, &[DEVICE, VERSION_1], Status::Ok);
    trial.must(Call::DeviceAbsent, &[ABSENT], Status::Ok);
    out_of_phase(trial, epoch);
}

/// What needs a driver that is ready.
fn out_of_phase(trial: &mut Trial, epoch: u64) {
    stale(trial, epoch);
    trial.must(Call::DeviceRaise, &[DEVICE, epoch, 1], Status::WrongState);
    trial.must(Call::DeviceBreak, &[DEVICE, epoch], Status::WrongState);
}

/// Epochs of before and of never, queues that the device has not, bits that are none.
fn stale(trial: &mut Trial, epoch: u64) {
    for other in [epoch.wrapping_sub(1), epoch + 1, epoch | 1 << 32, u64::MAX] {
        trial.must(Call::DeviceQueue, &[DEVICE, other, 0], Status::Stale);
        trial.must(Call::DeviceQuiet, &[DEVICE, other], Status::Stale);
        trial.must(Call::DeviceRaise, &[DEVICE, other, 1], Status::Stale);
        trial.must(Call::DeviceBreak, &[DEVICE, other], Status::Stale);
    }
    for queue in [1, 4, 64, 1 << 32, u64::MAX] {
        trial.must(Call::DeviceQueue, &[DEVICE, epoch, queue], Status::Invalid);
    }
    for bits in [0, 4, 5, 1 << 32, u64::MAX] {
        trial.must(Call::DeviceRaise, &[DEVICE, epoch, bits], Status::Invalid);
    }
}

/// Its driver is ready: nobody asked for quiet.
fn active(trial: &mut Trial) {
    let epoch = wait_for(Phase::Active, READY);
    stale(trial, epoch);
    trial.must(Call::DeviceQuiet, &[DEVICE, epoch], Status::WrongState);
    trial.must(Call::DeviceAbsent, &[DEVICE], Status::WrongState);
    trial.must(Call::DeviceOffer, &[DEVICE, VERSION_1 | 1], Status::WrongState);
    trial.must(Call::DeviceOffer, &[DEVICE, 0], Status::WrongState);
    trial.must(Call::DeviceRaise, &[DEVICE, epoch, 3], Status::Ok);
    trial.must(Call::DeviceBreak, &[DEVICE, epoch], Status::Ok);
}

/// Its driver waits for the end of its reset: only the right answer lets it go on.
fn quieting(trial: &mut Trial) {
    let epoch = wait_for(Phase::Quieting, BROKEN);
    out_of_phase(trial, epoch);
    trial.must(Call::DeviceOffer, &[DEVICE, VERSION_1], Status::Ok);
    trial.must(Call::DeviceOffer, &[DEVICE, VERSION_1 | 1], Status::WrongState);
    trial.must(Call::DeviceQuiet, &[DEVICE, epoch], Status::Ok);
    trial.must(Call::DeviceQuiet, &[DEVICE, epoch], Status::WrongState);
}

/// With the console in its hands it still names only what there is; without, nothing.
fn console(trial: &mut Trial) {
    // EL2 may have something to write yet, which is one more refusal.
    while call(Call::ConsoleTake.function(), &[1]) != Status::Ok as i64 {
        trial.refused += 1;
        core::hint::spin_loop();
    }
    for partition in NO_PARTITIONS {
        trial.must(Call::ConsoleType, &[partition, b'x'.into()], Status::Invalid);
        trial.must(Call::Command, &[Command::Restart as u64, partition, 0], Status::Invalid);
        trial.must(Call::Command, &[Command::Ask as u64, partition, Command::Stop as u64], Status::Invalid);
    }
    for command in [Command::Unknown as u64 + 1, 1 << 32, u64::MAX] {
        trial.must(Call::Command, &[command, 0, 0], Status::Invalid);
        trial.must(Call::Command, &[Command::Ask as u64, 0, command], Status::Invalid);
    }
    for wanted in [Command::Help, Command::Ask, Command::Cancel, Command::Unknown] {
        trial.must(Call::Command, &[Command::Ask as u64, 0, wanted as u64], Status::Invalid);
    }
    trial.must(Call::ConsoleTake, &[0], Status::Ok);
    trial.must(Call::Command, &[Command::Restart as u64, 1, 0], Status::WrongState);
    trial.must(Call::ConsoleType, &[1, b'x'.into()], Status::Invalid);
    trial.must(Call::ConsoleRead, &[PartitionId::new(0).number().into()], Status::WrongState);
}

/// Called by the vectors.
#[unsafe(no_mangle)]
extern "C" fn service_exception(vector: u64, esr: u64, elr: u64, far: u64, _sp: u64, _caller: u64) -> ! {
    say!("badservice: exception at vector {vector}: ESR 0x{esr:x} ELR 0x{elr:x} FAR 0x{far:x}");
    arch::crash()
}

#[panic_handler]
fn panic(panic: &PanicInfo) -> ! {
    say!("badservice: {panic}");
    arch::crash()
}
