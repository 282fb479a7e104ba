//! QEMU's GDB stub, for what the monitor cannot do: writing registers, physical memory and devices, and stopping at an
//! instruction (GDB Remote Serial Protocol).
//!
//! The machine stands still while the stub is attached and nothing is let run. QEMU numbers threads from 1: core n is
//! thread n + 1.

use anyhow::{Context, Result, bail, ensure};
use std::io::{Read, Write};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Longest wait for an answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// The byte that stops a machine.
const INTERRUPT: u8 = 3;

/// An attached stub.
pub struct Gdb {
    stream: UnixStream,
}

/// A register of a core, by its number in QEMU's description of AArch64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// X0 to X30.
    X(u8),
    /// The stack pointer of the exception level at which the core is.
    Sp,
    /// The program counter.
    Pc,
    /// PSTATE, 32 bits.
    Pstate,
}

impl Register {
    const fn number(self) -> u8 {
        match self {
            Self::X(n) => n,
            Self::Sp => 31,
            Self::Pc => 32,
            Self::Pstate => 33,
        }
    }
}

impl Gdb {
    /// Attaches.
    pub fn attach(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
        let mut gdb = Self { stream };
        // QEMU gives single registers only to those who have asked for their description.
        gdb.ask("qXfer:features:read:target.xml:0,fff")?;
        Ok(gdb)
    }

    /// What a register of `core` holds.
    pub fn register(&mut self, core: u8, register: Register) -> Result<u64> {
        self.numbered(core, register.number().into())
    }

    /// Changes a register of `core`.
    pub fn set_register(&mut self, core: u8, register: Register, value: u64) -> Result<()> {
        self.must_be_ok(&format!("Hg{:x}", core + 1))?;
        let digits = if register == Register::Pstate { 8 } else { 16 };
        let value = format!("{:016x}", value.swap_bytes());
        self.must_be_ok(&format!("P{:x}={}", register.number(), &value[..digits]))
    }

    /// What the system register of this name holds on each of `cores`.
    pub fn system_registers(&mut self, name: &str, cores: Range<u8>) -> Result<Vec<u64>> {
        const PIECE: usize = 0xfff;
        let mut list = String::new();
        loop {
            let piece = self.ask(&format!("qXfer:features:read:system-registers.xml:{:x},{PIECE:x}", list.len()))?;
            list.push_str(piece.get(1..).context("QEMU lists no system registers")?);
            if !piece.starts_with('m') {
                break;
            }
        }
        // `<reg name="VTTBR_EL2" bitsize="64" regnum="221" .../>`
        let (_, rest) = list.split_once(&format!("<reg name=\"{name}\"")).with_context(|| format!("no {name}"))?;
        let number = rest.split_once("regnum=\"").and_then(|(_, rest)| rest.split_once('"')).map(|(digits, _)| digits);
        let number: u32 = number.with_context(|| format!("{name} has no number"))?.parse()?;
        cores.map(|core| self.numbered(core, number)).collect()
    }

    fn numbered(&mut self, core: u8, number: u32) -> Result<u64> {
        self.must_be_ok(&format!("Hg{:x}", core + 1))?;
        let digits = self.ask(&format!("p{number:x}"))?;
        let swapped =
            u64::from_str_radix(&digits, 16).with_context(|| format!("register {number} reads as {digits:?}"))?;
        // In the machine's byte order, the first byte first.
        Ok(swapped.swap_bytes() >> 64_usize.saturating_sub(digits.len() * 4))
    }

    /// Lets the machine run until `core` is about to execute the instruction at the virtual address `at`.
    pub fn run_to(&mut self, core: u8, at: u64) -> Result<()> {
        loop {
            self.must_be_ok(&format!("Z1,{at:x},4"))?;
            let stopped = self.ask("c")?;
            self.must_be_ok(&format!("z1,{at:x},4"))?;
            let thread = stopped.split_once("thread:").and_then(|(_, rest)| rest.split_once(';')).map(|(id, _)| id);
            let thread = thread.with_context(|| format!("QEMU stopped with {stopped:?}"))?;
            let number = thread.rsplit('.').next().and_then(|id| u8::from_str_radix(id, 16).ok());
            if number == Some(core + 1) {
                return Ok(());
            }
            // Another core: past the instruction, or it would stop there again at once.
            self.ask(&format!("vCont;s:{thread}"))?;
        }
    }

    /// Writes `bytes` at the physical `address`: as one access, if they are a register's.
    pub fn write_physical(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.must_be_ok("Qqemu.PhyMemMode:1")?;
        self.must_be_ok(&format!("M{address:x},{:x}:{digits}", bytes.len()))?;
        self.must_be_ok("Qqemu.PhyMemMode:0")
    }

    /// Lets the machine go on until [`Self::halt`].
    pub fn resume(&mut self) -> Result<()> {
        self.send("c")
    }

    /// Stops the machine, which was let go on.
    pub fn halt(&mut self) -> Result<()> {
        self.stream.write_all(&[INTERRUPT])?;
        let stopped = self.packet().context("QEMU does not stop")?;
        ensure!(stopped.starts_with('T'), "QEMU stopped with {stopped:?}");
        Ok(())
    }

    /// Detaches: the machine goes on.
    pub fn detach(mut self) -> Result<()> {
        self.must_be_ok("D")
    }

    fn must_be_ok(&mut self, packet: &str) -> Result<()> {
        let answer = self.ask(packet)?;
        ensure!(answer == "OK", "QEMU's stub answered `{packet}` with {answer:?}");
        Ok(())
    }

    fn send(&mut self, packet: &str) -> Result<()> {
        let sum = packet.bytes().fold(0_u8, u8::wrapping_add);
        self.stream.write_all(format!("${packet}#{sum:02x}").as_bytes()).context("QEMU's stub takes nothing")
    }

    fn ask(&mut self, packet: &str) -> Result<String> {
        self.send(packet)?;
        self.packet().with_context(|| format!("QEMU's stub and `{packet}`"))
    }

    /// The next packet: what stands between `$` and `#`. Acknowledgements before it are skipped.
    fn packet(&mut self) -> Result<String> {
        while self.byte()? != b'$' {}
        let mut text = String::new();
        loop {
            match self.byte()? {
                b'#' => break,
                byte => text.push(char::from(byte)),
            }
            ensure!(text.len() < 1 << 16, "a packet without an end");
        }
        let _sum = [self.byte()?, self.byte()?];
        self.stream.write_all(b"+")?;
        Ok(text)
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(1) => Ok(byte[0]),
            Ok(_) => bail!("the stub is gone"),
            Err(error) => Err(error).context("no answer"),
        }
    }
}
