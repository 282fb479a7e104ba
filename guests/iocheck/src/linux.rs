//! What the program asks of Linux, by the kernel's own numbers for arm64 (include/uapi/asm-generic/unistd.h).

use crate::arch::{get, put, system_call};
use core::ffi::CStr;
use core::fmt::{self, Write};

const IO_SETUP: u64 = 0;
const IO_SUBMIT: u64 = 2;
const IO_GETEVENTS: u64 = 4;
const OPENAT: u64 = 56;
const LSEEK: u64 = 62;
const WRITE: u64 = 64;
const EXIT_GROUP: u64 = 94;
const MMAP: u64 = 222;

/// A negative result.
#[derive(Clone, Copy, Debug)]
pub struct Errno(pub i64);

fn result(value: i64) -> Result<u64, Errno> {
    u64::try_from(value).map_err(|_| Errno(-value))
}

/// The words of the command line.
pub struct Arguments {
    count: u64,
    first: *const u64,
}

impl Arguments {
    /// As the kernel leaves them on the stack.
    ///
    /// # Safety
    /// `stack` is the stack pointer at the program's entry.
    pub unsafe fn at(stack: *const u64) -> Self {
        // SAFETY: the caller's promise: the number of arguments is there.
        let count = unsafe { stack.read() };
        Self { count, first: stack.wrapping_add(1) }
    }

    /// Word `n`; 0 is the program's name.
    pub fn get(&self, n: usize) -> Option<&CStr> {
        if n as u64 >= self.count {
            return None;
        }
        // SAFETY: so many addresses follow, by the kernel's promise.
        let address = unsafe { self.first.wrapping_add(n).read() };
        // SAFETY: each is of a string that ends in a zero byte and lives as long as the process.
        Some(unsafe { CStr::from_ptr(address as *const core::ffi::c_char) })
    }

    /// Word `n` as a decimal number.
    pub fn number(&self, n: usize) -> Option<u64> {
        self.get(n)?.to_str().ok()?.parse().ok()
    }
}

/// Ends the process.
pub fn exit(status: u64) -> ! {
    loop {
        // SAFETY: it takes a number.
        unsafe { system_call(EXIT_GROUP, [status, 0, 0, 0, 0, 0]) };
    }
}

struct Output;

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: the kernel reads the text's bytes.
        let written = unsafe { system_call(WRITE, [1, text.as_ptr() as u64, text.len() as u64, 0, 0, 0]) };
        if written == text.len() as i64 { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Prints. Where nobody listens there is nobody to tell.
pub fn print(text: fmt::Arguments) {
    let _ = Output.write_fmt(text);
}

/// Zeroed memory of the program's own, on a page boundary.
pub fn map(bytes: u64) -> Result<u64, Errno> {
    const READ_WRITE: u64 = 3;
    /// MAP_PRIVATE | MAP_ANONYMOUS.
    const ANONYMOUS: u64 = 0x22;
    // SAFETY: a new mapping at a place of the kernel's choice, of no file (-1).
    result(unsafe { system_call(MMAP, [0, bytes, READ_WRITE, ANONYMOUS, u64::MAX, 0]) })
}

/// An open block device.
pub struct Device {
    file: u64,
    /// Its bytes.
    pub bytes: u64,
}

impl Device {
    /// Opens it, past the page cache.
    pub fn open(path: &CStr, is_writable: bool) -> Result<Self, Errno> {
        const HERE: u64 = -100_i64 as u64;
        /// O_DIRECT of arm64.
        const DIRECT: u64 = 0x1_0000;
        const SEEK_END: u64 = 2;
        let flags = DIRECT | if is_writable { 2 } else { 0 };
        // SAFETY: the path ends in a zero byte.
        let file = result(unsafe { system_call(OPENAT, [HERE, path.as_ptr() as u64, flags, 0, 0, 0]) })?;
        // SAFETY: it takes numbers.
        let bytes = result(unsafe { system_call(LSEEK, [file, 0, SEEK_END, 0, 0, 0]) })?;
        Ok(Self { file, bytes })
    }
}

/// What the kernel is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// IOCB_CMD_PREAD
    Read = 0,
    /// IOCB_CMD_PWRITE
    Write = 1,
    /// IOCB_CMD_FDSYNC
    Sync = 3,
}

/// A context of asynchronous requests (linux/aio_abi.h), each with a tag below its depth.
pub struct Requests {
    context: u64,
    /// A control block for each tag, then the addresses to submit, then room for events.
    memory: u64,
    depth: u64,
    waiting: u64,
}

impl Requests {
    const BLOCK: u64 = 64;
    const EVENT: u64 = 32;

    /// A context of at most `depth` requests.
    pub fn new(depth: u64) -> Result<Self, Errno> {
        let memory = map(depth * (Self::BLOCK + 8 + Self::EVENT) + 8)?;
        // SAFETY: the kernel writes the context's number to the zeroed first word.
        result(unsafe { system_call(IO_SETUP, [depth, memory, 0, 0, 0, 0]) })?;
        let context = get(memory);
        put(memory, 0);
        Ok(Self { context, memory, depth, waiting: 0 })
    }

    fn addresses(&self) -> u64 {
        self.memory + self.depth * Self::BLOCK
    }

    /// Prepares a request; `at` is memory that nobody else uses until it is done.
    pub fn prepare(&mut self, tag: u64, device: &Device, operation: Operation, at: u64, bytes: u64, offset: u64) {
        let block = self.memory + tag * Self::BLOCK;
        // data; key and flags; opcode, priority, file; buffer; bytes; offset; nothing more.
        let fields = [tag, 0, operation as u64 | device.file << 32, at, bytes, offset, 0, 0];
        (0..).zip(fields).for_each(|(n, field)| put(block + 8 * n, field));
        put(self.addresses() + 8 * self.waiting, block);
        self.waiting += 1;
    }

    /// Hands all prepared requests to the kernel.
    pub fn submit(&mut self) -> Result<(), Errno> {
        while self.waiting != 0 {
            let addresses = [self.context, self.waiting, self.addresses(), 0, 0, 0];
            // SAFETY: so many addresses of control blocks lie there, each with memory of its own for its data.
            let taken = result(unsafe { system_call(IO_SUBMIT, addresses) })?;
            (taken..self.waiting).for_each(|n| put(self.addresses() + 8 * (n - taken), get(self.addresses() + 8 * n)));
            self.waiting -= taken;
        }
        Ok(())
    }

    /// Waits for at least one request to be done; tag and result of each that is.
    pub fn wait(&mut self) -> Result<impl Iterator<Item = (u64, Result<u64, Errno>)> + use<>, Errno> {
        let events = self.addresses() + self.depth * 8;
        // SAFETY: there is room for so many events.
        let count = result(unsafe { system_call(IO_GETEVENTS, [self.context, 1, self.depth, events, 0, 0]) })?;
        let event = move |n| (get(events + n * Self::EVENT), result(get(events + n * Self::EVENT + 16) as i64));
        Ok((0..count).map(event))
    }
}
