//! A program for the Linux guest, in place of fio: random requests of exact number, size and depth on a block device, each
//! byte checked. Debian's fio needs more libraries than a guest of 64 MiB has room for, and its verification forgets what
//! it wrote when the board is reset; here each block says by itself what it is (crate `blocks`).
//!
//! ```text
//! iocheck io DEVICE SEED COUNT DEPTH BYTES WRITES%   checked requests, then a scan
//! iocheck read DEVICE SEED COUNT DEPTH BYTES         random reads, unchecked: for counting instructions
//! iocheck scan DEVICE                                reads and checks every block
//! ```
//! The last line is `ok ...` with what was done, or `error ...`; the exit status is 0 or 1. Requests go past the page cache
//! (O_DIRECT) by Linux's own asynchronous I/O (io_submit), which needs no memory shared with the kernel but the buffers.
#![no_std]
#![no_main]

mod arch;
mod disk;
mod linux;

use blocks::BYTES;
use core::ffi::CStr;
use core::panic::PanicInfo;
use disk::Disk;
use linux::{Arguments, Errno, print};

/// What ends the program early.
enum Failure {
    /// The program was called wrongly.
    Usage,
    /// The kernel refused something.
    Kernel(&'static str, Errno),
    /// A request failed: its first block, and what the kernel said.
    Request(u64, Errno),
    /// A request moved fewer bytes: its first block, and how many.
    Short(u64, u64),
    /// A block is not what it must be.
    Block(u64, blocks::Flaw),
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Usage => write!(f, "usage: iocheck io|read|scan DEVICE [SEED COUNT DEPTH BYTES [WRITES%]]"),
            Self::Kernel(call, errno) => write!(f, "{call}: errno {}", errno.0),
            Self::Request(block, errno) => write!(f, "I/O error at block {block}: errno {}", errno.0),
            Self::Short(block, bytes) => write!(f, "only {bytes} bytes at block {block}"),
            Self::Block(block, blocks::Flaw::Generation(found)) => {
                write!(f, "block {block} is of generation {found}: a write was lost, or came late")
            }
            Self::Block(block, blocks::Flaw::Word(n)) => write!(f, "block {block} is damaged at word {n}"),
        }
    }
}

/// Called by the first instructions with the arguments as the kernel left them.
fn run(arguments: &Arguments) -> Result<(), Failure> {
    let command = arguments.get(1).map(CStr::to_bytes).ok_or(Failure::Usage)?;
    let device = arguments.get(2).ok_or(Failure::Usage)?;
    let number = |n| arguments.number(n).ok_or(Failure::Usage);
    let (is_write, is_checked) = match command {
        b"io" => (number(7)? != 0, true),
        b"read" => (false, false),
        b"scan" => {
            let mut disk = Disk::open(device, false, 1, disk::SCAN)?;
            return scan(&mut disk);
        }
        _ => return Err(Failure::Usage),
    };
    let (seed, count, depth, bytes) = (number(3)?, number(4)?, number(5)?, number(6)?);
    if bytes == 0 || bytes % BYTES != 0 || depth == 0 || depth > disk::MAX_DEPTH {
        return Err(Failure::Usage);
    }
    let mut disk = Disk::open(device, is_write, depth, bytes.max(disk::SCAN))?;
    let writes = if is_write { number(7)? } else { 0 };
    disk.random_io(seed, count, bytes / BYTES, writes, is_checked)?;
    if is_checked {
        return scan(&mut disk);
    }
    print(format_args!("ok ios={count}\n"));
    Ok(())
}

fn scan(disk: &mut Disk) -> Result<(), Failure> {
    let (written, sum) = disk.scan()?;
    print(format_args!("ok blocks={} written={written} sum=0x{sum:x}\n", disk.blocks()));
    Ok(())
}

/// The first Rust; ends the process.
fn start(arguments: &Arguments) -> ! {
    match run(arguments) {
        Ok(()) => linux::exit(0),
        Err(failure) => {
            print(format_args!("error {failure}\n"));
            linux::exit(1)
        }
    }
}

#[panic_handler]
fn panic(panic: &PanicInfo) -> ! {
    print(format_args!("error {panic}\n"));
    linux::exit(1)
}
