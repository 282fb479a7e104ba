//! PSCI and SMCCC calls by HVC or SMC (Arm DEN0022, DEN0028). No guest call reaches the firmware: only the fixed
//! workaround functions are issued, by EL2 itself.

use super::Verdict;
use crate::arch::barrier;
use crate::arch::firmware::smc;
use crate::arch::guest::GuestFrame;
use crate::channel;
use crate::core_local::{Assignment, Core, Doorbell};
use crate::fault::Cause;
use crate::gic;
use crate::partition::{Partition, State};
use crate::service;
use crate::vcpu;
use abi::channel::RING_DOORBELL;
use core::sync::atomic::{AtomicI32, Ordering};
use psci::{Call, Error, SUCCESS, Topology, Workaround, Workarounds, function};

/// Answers PSCI_VERSION, which callers use as the shortest call there is. Whether it was that.
#[inline(always)]
pub fn is_version_call(frame: &mut GuestFrame) -> bool {
    let is_version = frame.register(0) as u32 == function::PSCI_VERSION;
    if is_version {
        frame.set_register(0, psci::VERSION);
    }
    is_version
}

/// Handles any other call in the guest's registers; the answer goes to x0.
pub fn call(core: &'static Core, frame: &mut GuestFrame) -> Verdict {
    let id = frame.register(0) as u32;
    let Some(Assignment { partition, .. }) = core.assignment else { return Verdict::Resume };
    if let Some(call) = service::call_of(core, id) {
        let status = service::call(core, partition, call, frame);
        frame.set_register(0, status);
        return Verdict::Resume;
    }
    if id == RING_DOORBELL {
        frame.set_register(0, channel::ring_doorbell(core, partition, frame.register(1)).number());
        return Verdict::Resume;
    }
    let call = Call::decode(id, [frame.register(1), frame.register(2), frame.register(3)]);
    let answer = match call {
        Call::CpuOn { target, entry, context } => code(cpu_on(partition, target, entry, context)),
        Call::CpuOff => cpu_off(core),
        Call::CpuSuspend { power_state, .. } => code(psci::check_power_state(power_state).map(|()| suspend())),
        Call::AffinityInfo { target, level } => match affinity_info(partition, target, level) {
            Ok(state) => state,
            Err(error) => error.code(),
        },
        Call::SystemOff => return Verdict::Stop(Cause::SystemOff),
        Call::SystemReset => return Verdict::Stop(Cause::SystemReset),
        Call::ArchFeatures(id) => workarounds().arch_features(id),
        Call::Workaround(workaround) if workarounds().has(workaround) => {
            issue(workaround);
            SUCCESS
        }
        Call::Workaround(_) => Error::NotSupported.code(),
        other => other.fixed_answer().unwrap_or(Error::NotSupported.code()),
    };
    frame.set_register(0, answer);
    Verdict::Resume
}

fn code(result: Result<(), Error>) -> u64 {
    result.map_or_else(Error::code, |()| SUCCESS)
}

fn topology(partition: &Partition) -> Topology {
    Topology::new(partition.vcpus(), vcpu::per_cluster(gic::version()))
}

fn cpu_on(partition: &'static Partition, target: u64, entry: addr::Ipa, context: u64) -> Result<(), Error> {
    let vcpu = topology(partition).vcpu(target)?;
    let entry = psci::entry_point(entry, |ipa| partition.owns(ipa))?;
    let core = partition.core(vcpu).ok_or(Error::InvalidParameters)?;
    core.power.cpu_on(entry.as_u64(), context)?;
    core.ask(Doorbell::Start, gic::ring);
    Ok(())
}

/// On the core that CPU_ON, or a new life, named: enters the guest.
pub fn start_here(core: &'static Core) {
    let Some(Assignment { partition, .. }) = core.assignment else { return };
    // In another state the CPU_ON came from a sibling that had not noticed the end yet: this core has left that life. What
    // is pending then is of no life, and the next one begins with this vCPU off (`Core::begin_life`).
    if partition.state() == State::Running
        && let Some([entry, context]) = core.power.started()
    {
        vcpu::enter(core, entry, context);
    }
}

fn cpu_off(core: &'static Core) -> ! {
    vcpu::quiet(core);
    vcpu::leave(core)
}

/// Standby: WFI at EL2 wakes for the same physical interrupts as at EL1, and they are taken on return.
/// A virtual interrupt does not wake EL2: where one waits already, there is nothing to wait for.
fn suspend() {
    if gic::holds_interrupts() {
        return;
    }
    barrier::dsb_sy();
    barrier::wait_for_interrupt();
}

fn affinity_info(partition: &Partition, target: u64, level: u32) -> Result<u64, Error> {
    psci::affinity_level(level)?;
    let vcpu = topology(partition).vcpu(target)?;
    let core = partition.core(vcpu).ok_or(Error::InvalidParameters)?;
    Ok(core.power.state().affinity_info())
}

static ANSWERS: [AtomicI32; 3] = [const { AtomicI32::new(-1) }; 3];

/// Asks the firmware once which workarounds it has; only where calls go to it by SMC.
pub fn find_workarounds() {
    let features = |id| smc(function::SMCCC_ARCH_FEATURES, [u64::from(id), 0, 0]) as i32;
    if (smc(function::PSCI_FEATURES, [u64::from(function::SMCCC_VERSION), 0, 0]) as i32) < 0 {
        return;
    }
    let ids = [function::SMCCC_ARCH_WORKAROUND_1, function::SMCCC_ARCH_WORKAROUND_2, function::SMCCC_ARCH_WORKAROUND_3];
    for (answer, id) in ANSWERS.iter().zip(ids) {
        answer.store(features(id), Ordering::Relaxed);
    }
}

/// This core's firmware mitigations as a vCPU that starts expects them.
pub fn reset_workarounds() {
    if let Some(workaround) = workarounds().at_start() {
        issue(workaround);
    }
}

fn issue(workaround: Workaround) {
    smc(workaround.function(), [workaround.argument().into(), 0, 0]);
}

fn workarounds() -> Workarounds {
    let [branch_predictor, store_bypass, branch_history] = [0, 1, 2].map(|n: usize| ANSWERS[n].load(Ordering::Relaxed));
    Workarounds { branch_predictor, store_bypass, branch_history }
}
