//! The system calls that the program needs (arm64 Linux), and its entry. Nothing of a C library.

use core::arch::{asm, global_asm};
use core::ffi::{CStr, c_char};

const READ: u64 = 63;
const WRITE: u64 = 64;
const PPOLL: u64 = 73;
const EXIT_GROUP: u64 = 94;
const GETPID: u64 = 172;
const SOCKET: u64 = 198;
const CONNECT: u64 = 203;
const SENDTO: u64 = 206;

/// AF_VSOCK and SOCK_STREAM.
const VSOCK: u64 = 40;
const STREAM: u64 = 1;
/// MSG_NOSIGNAL.
const NO_SIGNAL: u64 = 0x4000;
/// POLLIN.
const INPUT: u16 = 1;

/// An error number of Linux's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub u64);

impl Errno {
    /// ECONNRESET.
    pub const CONNECTION_RESET: Self = Self(104);
    /// ECONNREFUSED.
    pub const CONNECTION_REFUSED: Self = Self(111);
}

/// An open file.
#[derive(Clone, Copy, Debug)]
pub struct File(u64);

/// Standard output and standard error.
pub const OUTPUT: File = File(1);
pub const ERRORS: File = File(2);

// The stack holds the number of arguments, their addresses and a 0 when a program starts (arm64 Linux).
global_asm!(
    r#"
    .global _start
_start:
    mov     x29, #0
    mov     x30, #0
    mov     x0, sp
    bl      ctl_main
    brk     #0
"#
);

/// # Safety
/// What the arguments refer to is as the call wants it.
unsafe fn call(number: u64, arguments: [u64; 5]) -> Result<u64, Errno> {
    let [a, b, c, d, e] = arguments;
    let result: i64;
    // SAFETY: the caller's promise; the kernel keeps all registers but x0.
    unsafe {
        asm!("svc #0", in("x8") number, inout("x0") a => result, in("x1") b, in("x2") c, in("x3") d, in("x4") e,
            options(nostack))
    };
    if result < 0 { Err(Errno(result.unsigned_abs())) } else { Ok(result as u64) }
}

/// `sockaddr_vm`: family, port and context id.
#[repr(C)]
struct Address {
    family: u16,
    reserved: u16,
    port: u32,
    cid: u32,
    flags: [u8; 4],
}

impl File {
    /// A connection to a port of the host's.
    pub fn connect(port: u32) -> Result<Self, Errno> {
        const HOST: u32 = 2;
        // SAFETY: numbers only.
        let socket = unsafe { call(SOCKET, [VSOCK, STREAM, 0, 0, 0]) }?;
        let address = Address { family: VSOCK as u16, reserved: 0, port, cid: HOST, flags: [0; 4] };
        let bytes = size_of::<Address>() as u64;
        // SAFETY: the address lives, and the kernel reads as many bytes.
        unsafe { call(CONNECT, [socket, &raw const address as u64, bytes, 0, 0]) }?;
        Ok(Self(socket))
    }

    /// Sends all of it by a connection. One that the other side has reset is an error: since Linux 6.12 a write to it is a signal
    /// (SIGPIPE), which would end the program without a word.
    pub fn send(self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            // SAFETY: the kernel reads as many bytes of the slice. The last argument is an address to send to, and without one
            // its length, the sixth, is not looked at.
            let count = unsafe { call(SENDTO, [self.0, bytes.as_ptr() as u64, bytes.len() as u64, NO_SIGNAL, 0]) }?;
            bytes = bytes.get(count as usize..).unwrap_or_default();
        }
        Ok(())
    }

    /// Writes all of it.
    pub fn write(self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            // SAFETY: the kernel reads as many bytes of the slice.
            let count = unsafe { call(WRITE, [self.0, bytes.as_ptr() as u64, bytes.len() as u64, 0, 0]) }?;
            bytes = bytes.get(count as usize..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads what there is within so many seconds. `None`: nothing came.
    pub fn read(self, into: &mut [u8], seconds: i64) -> Result<Option<usize>, Errno> {
        /// `struct pollfd`.
        #[repr(C)]
        struct Poll {
            file: i32,
            events: u16,
            came: u16,
        }
        let mut poll = Poll { file: self.0 as i32, events: INPUT, came: 0 };
        let patience = [seconds, 0_i64];
        // SAFETY: one structure, which lives, and a time that is two words.
        let ready = unsafe { call(PPOLL, [&raw mut poll as u64, 1, patience.as_ptr() as u64, 0, 0]) }?;
        if ready == 0 {
            return Ok(None);
        }
        // SAFETY: the kernel writes at most as many bytes as the slice has.
        let count = unsafe { call(READ, [self.0, into.as_mut_ptr() as u64, into.len() as u64, 0, 0]) }?;
        Ok(Some(count as usize))
    }
}

/// This process's number.
pub fn process() -> u64 {
    // SAFETY: no arguments.
    unsafe { call(GETPID, [0; 5]) }.unwrap_or(0)
}

/// Ends the program.
pub fn exit(status: u64) -> ! {
    // SAFETY: a number only.
    let _ = unsafe { call(EXIT_GROUP, [status, 0, 0, 0, 0]) };
    loop {
        core::hint::spin_loop();
    }
}

/// The program's arguments behind its name.
///
/// # Safety
/// `stack` is the stack pointer that the kernel started the program with, and nothing has been changed there.
pub unsafe fn arguments(stack: *const u64) -> impl Iterator<Item = &'static str> {
    // SAFETY: the caller's promise: the first word counts the arguments.
    let count = unsafe { stack.read() } as usize;
    (2..=count).map_while(move |n| {
        // SAFETY: behind the count are as many addresses of texts that end with a 0 and live as long as the program.
        let text = unsafe { stack.wrapping_add(n).read() } as *const c_char;
        // SAFETY: as above.
        unsafe { CStr::from_ptr(text) }.to_str().ok()
    })
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    let _ = ERRORS.write(b"ctl: a bug of its own\n");
    exit(3)
}
