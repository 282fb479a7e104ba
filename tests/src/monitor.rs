//! QEMU's own view of the machine: its monitor, for what no guest can be trusted to say.
//!
//! QEMU connects to a socket that is listened on before it starts, so there is nothing to wait or poll for.

use crate::conversation::Conversation;
use crate::gdb::Gdb;
use crate::run::Run;
use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Seconds from QEMU's start to its connection.
const CONNECTS_WITHIN: i64 = 20;
/// Seconds for a snapshot, which has all pages of RAM that are not zero.
const SNAPSHOT: u64 = 60;

/// A socket that waits for a QEMU.
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

/// A socket's path has at most 107 bytes, which a checkout's own path may exceed.
static NEXT: AtomicU32 = AtomicU32::new(0);

impl Socket {
    /// A new socket for one machine.
    pub fn new() -> Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("bulkhead-{}-{number}", std::process::id()));
        let listener = UnixListener::bind(&path).with_context(|| format!("cannot listen at {}", path.display()))?;
        Ok(Self { listener, path })
    }

    /// QEMU's arguments for it.
    pub fn arguments(&self) -> [String; 4] {
        let chardev = format!("socket,id=monitor,path={}", self.path.display());
        ["-chardev".into(), chardev, "-mon".into(), "chardev=monitor,mode=readline".into()]
    }

    fn connection(&self) -> Result<UnixStream> {
        let mut waiting = [PollFd::new(&self.listener, PollFlags::IN)];
        let ready = poll(&mut waiting, Some(&Timespec { tv_sec: CONNECTS_WITHIN, tv_nsec: 0 }))?;
        ensure!(ready == 1, "QEMU did not connect to {}: did it start?", self.path.display());
        Ok(self.listener.accept()?.0)
    }

    /// The monitor of the QEMU that was started with the arguments.
    pub fn accept(self, run: &Run) -> Result<Monitor> {
        let stream = self.connection()?;
        let mut prompt = Conversation::new(stream.try_clone()?, stream, run.deadline());
        prompt.expect("(qemu) ", 20)?;
        Ok(Monitor { prompt })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A file in the temporary directory is all that would be left.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What reached a disk, in operations since QEMU's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Flushes to the medium.
    pub flushes: u64,
}

impl Traffic {
    fn parse(counts: &str) -> Option<Self> {
        let count = |name| counts.split_whitespace().find_map(|word| word.strip_prefix(name)?.parse().ok());
        Some(Self {
            reads: count("rd_operations=")?,
            writes: count("wr_operations=")?,
            flushes: count("flush_operations=")?,
        })
    }
}

/// The monitor of a running QEMU.
pub struct Monitor {
    prompt: Conversation,
}

impl Monitor {
    /// Ends QEMU as the machine's power button would not: at once, but in order, so that plugins report.
    pub fn quit(mut self) -> Result<()> {
        self.prompt.send("quit\n")
    }

    /// `bytes` of physical memory from `address` on.
    pub fn memory(&mut self, address: u64, bytes: usize, file: &Path) -> Result<Vec<u8>> {
        self.prompt.send(format!("pmemsave {address:#x} {bytes} \"{}\"\n", file.display()))?;
        self.prompt.expect("(qemu) ", 20)?;
        std::fs::read(file).context("QEMU wrote no memory")
    }

    /// `count` words of 32 bits from the physical `address` on; a device's registers are read one by one.
    pub fn words(&mut self, address: u64, count: u64) -> Result<Vec<u32>> {
        self.prompt.send(format!("xp /{count}xw {address:#x}\n"))?;
        let said = self.prompt.expect("\n(qemu) ", 20)?;
        // `0000000008000100: 0x0000ffff 0x00000000`, below the echo of the order.
        let lines = said.lines().filter_map(|line| line.split_once(": ")).map(|(_, words)| words);
        let words = lines.flat_map(str::split_whitespace).map_while(|word| word.strip_prefix("0x"));
        let words: Vec<u32> = words.map_while(|digits| u32::from_str_radix(digits, 16).ok()).collect();
        ensure!(words.len() as u64 == count, "QEMU showed {} words of {count} at {address:#x}: {said:?}", words.len());
        Ok(words)
    }

    /// Gives an order in one line; what QEMU says to it.
    pub fn command(&mut self, order: &str) -> Result<String> {
        self.prompt.send(format!("{order}\n"))?;
        self.prompt.expect("\n(qemu) ", 20)
    }

    /// What the machine has asked of the disk with this serial number.
    pub fn disk_traffic(&mut self, serial: &str) -> Result<Traffic> {
        self.prompt.send("info blockstats\n")?;
        let said = self.prompt.expect("\n(qemu) ", 20)?;
        let lines = said.lines().filter_map(|line| line.trim().split_once(": "));
        let traffic = lines.filter(|(name, _)| *name == serial).find_map(|(_, counts)| Traffic::parse(counts));
        traffic.with_context(|| format!("QEMU said nothing of the disk {serial}: {said:?}"))
    }

    /// Stops the machine for a debugger, until [`Self::leave`].
    pub fn debug(&mut self) -> Result<Gdb> {
        let socket = Socket::new()?;
        self.prompt.send(format!("gdbserver unix:{}\n", socket.path.display()))?;
        let gdb = Gdb::attach(socket.connection()?)?;
        self.prompt.expect("(qemu) ", 20)?;
        Ok(gdb)
    }

    /// One byte of physical memory or of a device's register.
    pub fn byte(&mut self, address: u64) -> Result<u8> {
        self.prompt.send(format!("xp /1xb {address:#x}\n"))?;
        let answer = self.prompt.expect("(qemu) ", 20)?;
        let digits = answer.rsplit(": 0x").next().map(str::trim);
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        byte.with_context(|| format!("QEMU says {answer:?} of {address:#x}"))
    }

    /// Stops the machine for a debugger that does `work`, and lets it go on.
    pub fn stopped<R>(&mut self, work: impl FnOnce(&mut Gdb) -> Result<R>) -> Result<R> {
        let mut gdb = self.debug()?;
        let result = work(&mut gdb)?;
        self.leave(gdb)?;
        Ok(result)
    }

    /// Ends what [`Self::debug`] began; the machine, which stands still, goes on.
    pub fn leave(&mut self, gdb: Gdb) -> Result<()> {
        gdb.detach()?;
        // The next one may not have the same name as this.
        self.prompt.send("gdbserver none\n")?;
        self.prompt.expect("(qemu) ", 20).map(drop)
    }

    /// Writes `bytes` to physical memory, or to a device's register, at `address`; the machine stands still meanwhile.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        self.stopped(|gdb| gdb.write_physical(address, bytes))
    }

    /// The machine with all its devices, as QEMU would send it elsewhere.
    pub fn snapshot(&mut self, file: &Path) -> Result<Vec<u8>> {
        self.prompt.send(format!("migrate \"file:{}\"\n", file.display()))?;
        self.prompt.expect("\n(qemu) ", SNAPSHOT)?;
        // It stopped when all was sent.
        self.prompt.send("cont\n")?;
        self.prompt.expect("\n(qemu) ", 20)?;
        let snapshot = std::fs::read(file).context("QEMU wrote no snapshot")?;
        // A later one that is shorter would keep its end.
        std::fs::remove_file(file)?;
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_read() {
        let counts = "rd_bytes=4096 wr_bytes=512 rd_operations=1 wr_operations=2 flush_operations=3 wr_total_time_ns=4";
        assert_eq!(Traffic::parse(counts), Some(Traffic { reads: 1, writes: 2, flushes: 3 }));
    }
}
