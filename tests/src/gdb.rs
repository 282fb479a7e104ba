//! QEMU's GDB stub, for what the monitor cannot do: writing physical memory and devices (GDB Remote Serial Protocol).
//!
//! The machine stands still while the stub is attached.

use anyhow::{Context, Result, bail, ensure};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Longest wait for an answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// An attached stub.
pub struct Gdb {
    stream: UnixStream,
}

impl Gdb {
    /// Attaches; addresses are physical from here on.
    pub fn attach(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
        let mut gdb = Self { stream };
        gdb.must_be_ok("Qqemu.PhyMemMode:1")?;
        Ok(gdb)
    }

    /// Writes `bytes` at `address`: as one access, if they are a register's.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.must_be_ok(&format!("M{address:x},{:x}:{digits}", bytes.len()))
    }

    /// Detaches: the machine goes on.
    pub fn detach(mut self) -> Result<()> {
        self.must_be_ok("D")
    }

    fn must_be_ok(&mut self, packet: &str) -> Result<()> {
        let sum = packet.bytes().fold(0_u8, u8::wrapping_add);
        self.stream.write_all(format!("${packet}#{sum:02x}").as_bytes())?;
        let answer = self.packet().with_context(|| format!("QEMU's stub and `{packet}`"))?;
        ensure!(answer == "OK", "QEMU's stub answered `{packet}` with {answer:?}");
        Ok(())
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
            ensure!(text.len() < 4096, "a packet without an end");
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
