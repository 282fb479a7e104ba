//! System registers and single instructions, assembled at run time into a buffer.

use crate::reply::{Arguments, Refusal, Reply, parse};
use crate::{access, arch};
use rt::println;
use rt::trap::{Fault, attempt};

/// op0, op1, CRn, CRm, op2 (Arm ARM, "System register encoding").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding(pub u8, pub u8, pub u8, pub u8, pub u8);

impl Encoding {
    /// MRS X0, this.
    pub const fn mrs(self) -> u32 {
        0xd520_0000 | self.fields()
    }
    /// MSR this, X0; op0 = 1 makes it a SYS instruction.
    pub const fn msr(self) -> u32 {
        0xd500_0000 | self.fields()
    }
    const fn fields(self) -> u32 {
        let Self(op0, op1, crn, crm, op2) = self;
        (op0 as u32 & 3) << 19
            | (op1 as u32 & 7) << 16
            | (crn as u32 & 15) << 12
            | (crm as u32 & 15) << 8
            | (op2 as u32 & 7) << 5
    }
}

/// Registers that tests name.
pub const NAMES: &[(&str, Encoding)] = &[
    ("MIDR", Encoding(3, 0, 0, 0, 0)),
    ("MPIDR", Encoding(3, 0, 0, 0, 5)),
    ("REVIDR", Encoding(3, 0, 0, 0, 6)),
    ("ID_PFR0", Encoding(3, 0, 0, 1, 0)),
    ("ID_DFR0", Encoding(3, 0, 0, 1, 2)),
    ("ID_AA64PFR0", Encoding(3, 0, 0, 4, 0)),
    ("ID_AA64PFR1", Encoding(3, 0, 0, 4, 1)),
    ("ID_AA64ZFR0", Encoding(3, 0, 0, 4, 4)),
    ("ID_AA64SMFR0", Encoding(3, 0, 0, 4, 5)),
    ("ID_AA64DFR0", Encoding(3, 0, 0, 5, 0)),
    ("ID_AA64DFR1", Encoding(3, 0, 0, 5, 1)),
    ("ID_AA64ISAR0", Encoding(3, 0, 0, 6, 0)),
    ("ID_AA64ISAR1", Encoding(3, 0, 0, 6, 1)),
    ("ID_AA64ISAR2", Encoding(3, 0, 0, 6, 2)),
    ("ID_AA64MMFR0", Encoding(3, 0, 0, 7, 0)),
    ("ID_AA64MMFR1", Encoding(3, 0, 0, 7, 1)),
    ("ID_AA64MMFR2", Encoding(3, 0, 0, 7, 2)),
    ("ID_AA64MMFR3", Encoding(3, 0, 0, 7, 3)),
    ("SCTLR", Encoding(3, 0, 1, 0, 0)),
    ("ACTLR", Encoding(3, 0, 1, 0, 1)),
    ("CPACR", Encoding(3, 0, 1, 0, 2)),
    ("TTBR0", Encoding(3, 0, 2, 0, 0)),
    ("TTBR1", Encoding(3, 0, 2, 0, 1)),
    ("TCR", Encoding(3, 0, 2, 0, 2)),
    ("APIAKEYLO", Encoding(3, 0, 2, 1, 0)),
    ("APIAKEYHI", Encoding(3, 0, 2, 1, 1)),
    ("APIBKEYLO", Encoding(3, 0, 2, 1, 2)),
    ("APIBKEYHI", Encoding(3, 0, 2, 1, 3)),
    ("APDAKEYLO", Encoding(3, 0, 2, 2, 0)),
    ("APDAKEYHI", Encoding(3, 0, 2, 2, 1)),
    ("APDBKEYLO", Encoding(3, 0, 2, 2, 2)),
    ("APDBKEYHI", Encoding(3, 0, 2, 2, 3)),
    ("APGAKEYLO", Encoding(3, 0, 2, 3, 0)),
    ("APGAKEYHI", Encoding(3, 0, 2, 3, 1)),
    ("SP_EL0", Encoding(3, 0, 4, 1, 0)),
    ("ICC_PMR", Encoding(3, 0, 4, 6, 0)),
    ("AFSR0", Encoding(3, 0, 5, 1, 0)),
    ("AFSR1", Encoding(3, 0, 5, 1, 1)),
    ("ERRIDR", Encoding(3, 0, 5, 3, 0)),
    ("PAR", Encoding(3, 0, 7, 4, 0)),
    ("PMINTENSET", Encoding(3, 0, 9, 14, 1)),
    ("MAIR", Encoding(3, 0, 10, 2, 0)),
    ("AMAIR", Encoding(3, 0, 10, 3, 0)),
    ("LORC", Encoding(3, 0, 10, 4, 3)),
    ("L2CTLR", Encoding(3, 1, 11, 0, 2)),
    ("CPUECTLR", Encoding(3, 1, 15, 2, 1)),
    ("VBAR", Encoding(3, 0, 12, 0, 0)),
    ("ISR", Encoding(3, 0, 12, 1, 0)),
    ("DISR", Encoding(3, 0, 12, 1, 1)),
    ("ICC_BPR0", Encoding(3, 0, 12, 8, 3)),
    ("ICC_AP1R0", Encoding(3, 0, 12, 9, 0)),
    ("ICC_RPR", Encoding(3, 0, 12, 11, 3)),
    ("ICC_SGI1R", Encoding(3, 0, 12, 11, 5)),
    ("ICC_ASGI1R", Encoding(3, 0, 12, 11, 6)),
    ("ICC_SGI0R", Encoding(3, 0, 12, 11, 7)),
    ("ICC_HPPIR1", Encoding(3, 0, 12, 12, 2)),
    ("ICC_BPR1", Encoding(3, 0, 12, 12, 3)),
    ("ICC_CTLR", Encoding(3, 0, 12, 12, 4)),
    ("ICC_SRE", Encoding(3, 0, 12, 12, 5)),
    ("ICC_IGRPEN0", Encoding(3, 0, 12, 12, 6)),
    ("ICC_IGRPEN1", Encoding(3, 0, 12, 12, 7)),
    ("CONTEXTIDR", Encoding(3, 0, 13, 0, 1)),
    ("TPIDR_EL1", Encoding(3, 0, 13, 0, 4)),
    ("SCXTNUM_EL1", Encoding(3, 0, 13, 0, 7)),
    ("CNTKCTL", Encoding(3, 0, 14, 1, 0)),
    ("CCSIDR", Encoding(3, 1, 0, 0, 0)),
    ("CLIDR", Encoding(3, 1, 0, 0, 1)),
    ("CSSELR", Encoding(3, 2, 0, 0, 0)),
    ("CTR", Encoding(3, 3, 0, 0, 1)),
    ("FPCR", Encoding(3, 3, 4, 4, 0)),
    ("FPSR", Encoding(3, 3, 4, 4, 1)),
    ("PMCR", Encoding(3, 3, 9, 12, 0)),
    ("PMCNTENSET", Encoding(3, 3, 9, 12, 1)),
    ("PMOVSCLR", Encoding(3, 3, 9, 12, 3)),
    ("PMSELR", Encoding(3, 3, 9, 12, 5)),
    ("PMCCNTR", Encoding(3, 3, 9, 13, 0)),
    ("PMUSERENR", Encoding(3, 3, 9, 14, 0)),
    ("PMCCFILTR", Encoding(3, 3, 14, 15, 7)),
    ("TPIDR_EL0", Encoding(3, 3, 13, 0, 2)),
    ("TPIDRRO_EL0", Encoding(3, 3, 13, 0, 3)),
    ("SCXTNUM_EL0", Encoding(3, 3, 13, 0, 7)),
    ("CNTFRQ", Encoding(3, 3, 14, 0, 0)),
    ("CNTPCT", Encoding(3, 3, 14, 0, 1)),
    ("CNTVCT", Encoding(3, 3, 14, 0, 2)),
    ("CNTP_CTL", Encoding(3, 3, 14, 2, 1)),
    ("CNTP_CVAL", Encoding(3, 3, 14, 2, 2)),
    ("CNTV_CTL", Encoding(3, 3, 14, 3, 1)),
    ("CNTV_CVAL", Encoding(3, 3, 14, 3, 2)),
    ("HCR_EL2", Encoding(3, 4, 1, 1, 0)),
    ("VTTBR_EL2", Encoding(3, 4, 2, 1, 0)),
    ("CNTVOFF_EL2", Encoding(3, 4, 14, 0, 3)),
    ("CNTHP_CTL_EL2", Encoding(3, 4, 14, 2, 1)),
    ("OSDTRRX", Encoding(2, 0, 0, 0, 2)),
    ("MDCCINT", Encoding(2, 0, 0, 2, 0)),
    ("MDSCR", Encoding(2, 0, 0, 2, 2)),
    ("OSDTRTX", Encoding(2, 0, 0, 3, 2)),
    ("OSECCR", Encoding(2, 0, 0, 6, 2)),
    ("DBGBVR0", Encoding(2, 0, 0, 0, 4)),
    ("DBGBCR0", Encoding(2, 0, 0, 0, 5)),
    ("DBGWVR0", Encoding(2, 0, 0, 0, 6)),
    ("DBGWCR0", Encoding(2, 0, 0, 0, 7)),
    ("OSLSR", Encoding(2, 0, 1, 1, 4)),
    ("OSLAR", Encoding(2, 0, 1, 0, 4)),
    ("OSDLR", Encoding(2, 0, 1, 3, 4)),
];

/// Executes one instruction with these registers; x0 after it.
///
/// An instruction that writes x2 to x17 or memory at x0 or x1 is the test's own doing; one that changes x18 to x30,
/// the stack or the translation ends the guest.
pub fn execute(instruction: u32, x0: u64, x1: u64) -> Result<u64, Fault> {
    let leaf = arch::leaf(arch::load_code(instruction));
    // SAFETY: two instructions, the second a return; see above for the first.
    unsafe { attempt(leaf, x0, x1) }
}

/// The register's value.
pub fn read_register(encoding: Encoding) -> Result<u64, Fault> {
    execute(encoding.mrs(), 0, 0)
}

/// Writes the register.
pub fn write_register(encoding: Encoding, value: u64) -> Result<u64, Fault> {
    execute(encoding.msr(), value, 0)
}

/// The register with this name; `_EL1` may be left out or added.
pub fn named(name: &str) -> Option<Encoding> {
    let find = |name: &str| NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|&(_, found)| found);
    let (stem, suffix) = name.split_at_checked(name.len().saturating_sub(4))?;
    find(name).or_else(|| if suffix.eq_ignore_ascii_case("_EL1") { find(stem) } else { None })
}

fn encoding(arguments: &mut Arguments) -> Result<Encoding, Refusal> {
    let word = arguments.next().ok_or(Refusal::Error("a register is missing"))?;
    if let Some(encoding) = named(word) {
        return Ok(encoding);
    }
    let op0 = parse(word).ok_or(Refusal::Error("no such register name; OP0 OP1 CRN CRM OP2 works"))?;
    let mut field = || arguments.number().map(|value| value as u8);
    Ok(Encoding(op0 as u8, field()?, field()?, field()?, field()?))
}

/// `sysreg`
pub fn read(arguments: &mut Arguments) -> Reply {
    let value = read_register(encoding(arguments)?)?;
    println!("ok 0x{value:x}");
    Ok(())
}

/// `sysregw`
pub fn write(arguments: &mut Arguments) -> Reply {
    let value = arguments.number()?;
    write_register(encoding(arguments)?, value)?;
    println!("ok");
    Ok(())
}

/// `insn`
pub fn insn(arguments: &mut Arguments) -> Reply {
    let instruction = u32::try_from(arguments.number()?).map_err(|_| Refusal::Error("an instruction has 32 bits"))?;
    let (x0, x1) = (arguments.optional()?.unwrap_or(0), arguments.optional()?.unwrap_or(0));
    let value = execute(instruction, x0, x1)?;
    println!("ok x0=0x{value:x}");
    Ok(())
}

/// `undef`
pub fn undef(_: &mut Arguments) -> Reply {
    execute(0, 0, 0)?;
    Err(Refusal::Error("UDF executed"))
}

/// `faultloop`
pub fn fault_loop(_: &mut Arguments) -> Reply {
    access::unplug_vectors();
    execute(0, 0, 0)?;
    Err(Refusal::Error("UDF executed"))
}
