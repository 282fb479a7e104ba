//! `attack`: everything a guest can do wrong, from a seed, so that a failure can be repeated.
//!
//! A sweep over the address space, then random system registers, calls, and accesses of the emulated devices. What
//! must come out: the guest lives, foreign addresses fault (`leaks=0`), and the other partitions notice nothing. Left
//! out is only what would end this guest by its own hand: registers that hold its stack, vectors and translation,
//! CPU_OFF, suspend and the SYSTEM calls, and CPU_ON of its own vCPUs.

use crate::access::{Kind, touch};
use crate::arch;
use crate::reply::{Arguments, Reply};
use crate::selftest::is_own_ram;
use crate::sysreg::{Encoding, execute};
use crate::vcpus::{Conduit, call};
use blocks::Random;
use rt::arch::access::*;
use rt::arch::insn;
use rt::board::board;
use rt::timer::{self, Timer};
use rt::trap::Fault;
use rt::{console, gic, machine, println};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Where the guest machine has devices: the sweep leaves them out, `devices` does not.
const DEVICES: core::ops::Range<u64> = 0x0800_0000..0x0a10_0000;
/// The guest machine's empty flash banks.
const FLASH: core::ops::Range<u64> = machine::FLASH.as_u64()..machine::FLASH.as_u64() + machine::FLASH_SIZE;
/// Pending interrupts to acknowledge at the end: as many as INTIDs, twice.
const DRAIN: u32 = 2048;
const LOADS: [Leaf; 4] = [rt_load8, rt_load16, rt_load32, rt_load64];
const STORES: [Leaf; 4] = [rt_store8, rt_store16, rt_store32, rt_store64];

/// What came of it.
#[derive(Default)]
struct Outcome {
    aborts: u64,
    undefs: u64,
    leaks: u64,
    first_leak: u64,
}

impl Outcome {
    fn note<T>(&mut self, result: Result<T, Fault>) {
        match result.map_err(|fault| fault.ec()) {
            Err(0x20 | 0x21 | 0x24 | 0x25 | 0x2f) => self.aborts += 1,
            Err(_) => self.undefs += 1,
            Ok(_) => {}
        }
    }

    fn leak(&mut self, address: u64) {
        if self.leaks == 0 {
            self.first_leak = address;
        }
        self.leaks += 1;
    }

    /// An access that must fault.
    fn must_abort(&mut self, address: u64, result: Result<u64, Fault>) -> bool {
        let is_leak = !matches!(result.map_err(|fault| fault.ec()), Err(0x20 | 0x21 | 0x24 | 0x25 | 0x2f));
        if is_leak {
            self.leak(address);
        }
        self.note(result);
        is_leak
    }
}

/// `attack`
pub fn run(arguments: &mut Arguments) -> Reply {
    let (seed, rounds) = (arguments.number()?, arguments.optional()?.unwrap_or(2000));
    let mut random = Random::new(seed);
    let mut outcome = Outcome::default();
    let frequency = timer::frequency();
    insn::mask_irq();
    sweep(&mut random, &mut outcome);
    for _ in 0..rounds {
        system_register(&mut random, &mut outcome);
        smccc(&mut random, &mut outcome);
        device(&mut random, &mut outcome);
    }
    recover(frequency);
    insn::unmask_irq();
    let Outcome { aborts, undefs, leaks, first_leak } = outcome;
    println!(
        "ok attack done seed={seed} aborts={aborts} undefs={undefs} leaks={leaks} first=0x{first_leak:x} survived"
    );
    Ok(())
}

/// Loads, stores and jumps outside own RAM: every MiB up to 8 GiB, every GiB up to 1 TiB, some beyond.
fn sweep(random: &mut Random, outcome: &mut Outcome) {
    let low = (0..8 * GIB).step_by(MIB as usize);
    let middle = (8 * GIB..1024 * GIB).step_by(GIB as usize);
    let far = core::iter::repeat_with(|| random.next() & ((1 << 48) - 1) & !7).take(64);
    for address in low.chain(middle).chain(far) {
        if is_own_ram(address) || DEVICES.contains(&address) {
            continue;
        }
        if FLASH.contains(&address) {
            empty_flash(address, outcome);
            continue;
        }
        if outcome.must_abort(address, touch(rt_load32, address, 0, Kind::Data)) {
            continue;
        }
        outcome.must_abort(address, touch(rt_store32, address, 0xdead_dead, Kind::Data));
        outcome.must_abort(address, touch(rt_jump, address, 0, Kind::Code));
    }
}

/// Loads give 0 also after a store, and no code runs there.
fn empty_flash(address: u64, outcome: &mut Outcome) {
    outcome.note(touch(rt_store32, address, 0xdead_dead, Kind::Data));
    if !matches!(touch(rt_load32, address, 0, Kind::Data), Ok(0)) {
        outcome.leak(address);
    }
    outcome.must_abort(address, touch(rt_jump, address, 0, Kind::Code));
}

/// One MRS, MSR or SYS with a random encoding.
fn system_register(random: &mut Random, outcome: &mut Outcome) {
    let op0 = random.pick(&[1, 2, 3, 3, 3]);
    let op1 = random.pick(&[0, 0, 0, 1, 2, 3, 3, 4, 5, 6, 7]);
    let mut field = |bound| random.below(bound) as u8;
    let register = Encoding(op0, op1, field(16), field(16), field(8));
    let (is_write, value) = (op0 == 1 || random.below(2) == 0, random.value());
    let is_harmful = if is_write { harms_by_write(register) } else { harms_by_read(register) };
    if !is_harmful {
        outcome.note(execute(if is_write { register.msr() } else { register.mrs() }, value, 0));
    }
}

/// Reads with an effect: they acknowledge an interrupt.
fn harms_by_read(Encoding(op0, op1, crn, crm, op2): Encoding) -> bool {
    (op0, op1, crn, crm, op2) == (3, 0, 12, 12, 0) || (op0, op1, crn, crm, op2) == (3, 0, 12, 8, 0)
}

/// Writes that take this guest's own floor away: control and translation (CRn 1, 2, 10), stack, mask and return state
/// (CRn 4), vectors and interrupt interface (CRn 12), vCPU index (CRn 13).
fn harms_by_write(Encoding(op0, op1, crn, crm, _): Encoding) -> bool {
    match (op0, op1) {
        // SYS: CRn 7 and 8 are cache, address-translation and TLB operations; the rest, and a context-synchronising
        // or zeroing one at a random address of our own, is not worth losing the guest for.
        (1, _) => !matches!(crn, 7 | 8) || crm == 4,
        (3, 0 | 3) => matches!(crn, 1 | 2 | 4 | 10 | 12 | 13),
        _ => false,
    }
}

/// One HVC or SMC: any number, or one of the ranges that somebody serves.
fn smccc(random: &mut Random, outcome: &mut Outcome) {
    let function = match random.below(3) {
        0 => random.next() & 0xffff_ffff,
        1 => random.pick(&[0x8400_0000, 0xc400_0000]) | random.below(32),
        _ => {
            random.pick(&[0x8000_0000, 0xc600_0000, 0x8600_0000, 0x8400_0050, 0xc300_0000, 0xbf00_ff01])
                + random.below(8)
        }
    };
    // PSCI: CPU_SUSPEND, CPU_OFF, SYSTEM_OFF, SYSTEM_RESET, CPU_FREEZE, CPU_DEFAULT_SUSPEND, SYSTEM_SUSPEND, SYSTEM_RESET2.
    let is_psci = function & 0xbfff_ffe0 == 0x8400_0000;
    if is_psci && matches!(function & 0x1f, 1 | 2 | 8 | 9 | 0xb | 0xc | 0xe | 0x12) {
        return;
    }
    let mut words = [function, random.value(), random.value(), random.value()];
    if is_psci && function & 0x1f == 3 && board().mpidr.contains(&(words[1] & 0xff_00ff_ffff)) {
        words[1] |= 0xff_ff00;
    }
    let conduit = random.pick(&[Conduit::Hvc, Conduit::Smc]);
    outcome.note(call(conduit, words));
}

/// One access of any size, anywhere in the emulated devices; now and then by a pair or with write-back, which the
/// syndrome does not describe.
fn device(random: &mut Random, outcome: &mut Outcome) {
    /// LDP X2, X3, [X0] and LDR W2, [X0], #4 and DC CVAC, X0.
    const WITHOUT_SYNDROME: [u32; 3] = [0xa940_0c02, 0xb840_4402, 0xd50b_7a20];
    let blocks = [
        (machine::GICD.as_u64(), machine::GICD_SIZE),
        (machine::GICD.as_u64(), 0x1000),
        (machine::GICR.as_u64(), machine::GICR_STRIDE * board().vcpus as u64),
        (machine::GICR.as_u64(), machine::GICR_STRIDE * 64),
        (machine::UART.as_u64(), machine::UART_SIZE),
    ];
    let (base, bytes) = random.pick(&blocks);
    let mut address = base + random.below(bytes);
    let size = random.below(4) as usize;
    if random.below(4) != 0 {
        address &= !((1 << size) - 1);
    }
    if (machine::UART.as_u64()..machine::UART.as_u64() + 4).contains(&address) {
        return; // the data register: the test reads this console
    }
    outcome.note(match random.below(8) {
        0 => execute(random.pick(&WITHOUT_SYNDROME), address, 0),
        1..=3 => touch(STORES[size], address, random.value(), Kind::Data),
        _ => touch(LOADS[size], address, 0, Kind::Data),
    });
}

/// Sets up again what the attack may have changed.
fn recover(frequency: u64) {
    const CNTFRQ: Encoding = Encoding(3, 3, 14, 0, 0);
    if timer::frequency() != frequency {
        // Only the highest exception level can have changed it: there is no hypervisor, and this cannot fault.
        let _ = execute(CNTFRQ.msr(), frequency, 0);
    }
    Timer::Virtual.stop();
    Timer::Physical.stop();
    arch::mask_debug(true);
    gic::reset();
    for _ in 0..DRAIN {
        let Some(acknowledged) = gic::acknowledge() else { break };
        gic::end(acknowledged);
    }
    gic::reset();
    console::init();
    // What was typed meanwhile is lost, and QEMU's PL011 takes more only after a read of its data register.
    for _ in 0..32 {
        // A fault would show at the next look at the console.
        let _ = touch(rt_load32, machine::UART.as_u64(), 0, Kind::Data);
    }
    crate::interrupts::enable_sgis();
    gic::enable(Timer::Physical.intid(), gic::PRIORITY);
}
