//! The test subject: does what its console tells it to and answers with one line, so that a test orders many
//! operations within one boot.
//!
//! After the prompt `probe> ` a line is read, repeated on the console, and answered by one line that begins with
//! - `ok` and what the command says about itself,
//! - `fault ec=0x25 dfsc=0x10 far=0x30000000 esr=0x96000010` when the operation took an exception, or
//! - `error` and why the command was refused or what check failed.
//!
//! Numbers are decimal or `0x` hexadecimal; an underscore may group digits. The table [`COMMANDS`] is the protocol.
//! Input is polled; between looks the vCPU sleeps up to 2 ms on its physical timer (PPI 14), which is therefore the
//! interrupt that `irqs` always counts.
#![no_std]
#![no_main]

mod access;
mod arch;
mod assigned;
mod attack;
mod channel;
mod disk;
mod entropy;
mod hostile;
mod interrupts;
mod lives;
mod net;
mod reply;
mod selftest;
mod shared;
mod socket;
mod sysreg;
mod vcpus;
mod virtio;

use reply::{Arguments, Refusal, Reply};
use rt::arch::insn;
use rt::timer::{self, Timer};
use rt::{board, console, gic, print, println, psci};

/// Longest command line.
const LINE: usize = 400;
/// Looks at the console per second while nothing is typed.
const LOOKS_HZ: u64 = 500;

/// Name, arguments and meaning, code.
type Command = (&'static str, &'static str, fn(&mut Arguments) -> Reply);

/// The protocol.
const COMMANDS: &[Command] = &[
    ("help", "lists the commands (several lines, then ok)", help),
    ("machine", "gic=3 vcpus=2 ram=BASE+BYTES free=FIRST dtb=ADDRESS", machine),
    ("read8", "ADDRESS: ok VALUE", access::read8),
    ("read16", "ADDRESS", access::read16),
    ("read32", "ADDRESS", access::read32),
    ("read64", "ADDRESS", access::read64),
    ("write8", "ADDRESS VALUE: ok", access::write8),
    ("write16", "ADDRESS VALUE", access::write16),
    ("write32", "ADDRESS VALUE", access::write32),
    ("write64", "ADDRESS VALUE", access::write64),
    ("exec", "ADDRESS: calls it; write 0xd65f03c0 (ret) there first for ok", access::exec),
    ("stray", "loads from an address that no guest owns", access::stray),
    ("canary", "fill|check ADDRESS BYTES: a pattern that depends on the address, in own RAM", access::canary),
    ("undef", "executes an undefined instruction", sysreg::undef),
    ("insn", "WORD [X0 [X1]]: executes one instruction with these registers; ok x0=..", sysreg::insn),
    ("sysreg", "NAME or OP0 OP1 CRN CRM OP2: ok VALUE", sysreg::read),
    ("sysregw", "VALUE NAME or VALUE OP0 OP1 CRN CRM OP2: ok", sysreg::write),
    ("hvc", "FUNCTION [X1 [X2 [X3]]]: ok x0=.. x1=.. x2=.. x3=..", vcpus::hvc),
    ("smc", "FUNCTION [X1 [X2 [X3]]]", vcpus::smc),
    ("cpu_on", "MPIDR: ok CODE; an own vCPU then counts interrupts in WFI", vcpus::cpu_on),
    ("cpu_off", "INDEX: asks that vCPU to call CPU_OFF; ok when AFFINITY_INFO says so", vcpus::cpu_off),
    ("affinity", "MPIDR [LEVEL]: ok CODE", vcpus::affinity),
    ("senders", "vCPU 1 and this one send it the same SGI; ok senders=BITS as the GIC tells them", vcpus::senders),
    ("sgi", "LIST [ID]: SGI to own vCPUs by bit list; ok", interrupts::sgi),
    ("sgi1r", "VALUE: writes ICC_SGI1R_EL1 (GICv3) or GICD_SGIR (GICv2); ok", interrupts::sgi_raw),
    ("irqs", "ok v0:30=17 v1:1=3 ... interrupts taken by each vCPU", interrupts::counts),
    ("gic", "order|storm|state|disabled|spurious|split|mask: self-test; ok", interrupts::self_test),
    (
        "irq",
        "INTID ADDRESS VALUE: writes that register, which raises the interrupt; its handler writes 0 there; ok taken=..",
        assigned::irq,
    ),
    ("timer", "self-test of both timers; ok vct=.. pct=.. late ticks", selftest::timers),
    (
        "setway",
        "cleans and invalidates every cache by set and way; ok lines=.. when memory is unchanged",
        selftest::set_way,
    ),
    ("regs", "ok and every register that was not at its first value at entry", lives::registers),
    (
        "poison",
        "fills every register that regs shows and the runtime can spare, for a restart to clear; ok",
        lives::poison,
    ),
    ("poisoncrash", "fills the rest too and faults for ever: never ends", lives::poison_and_crash),
    (
        "second",
        "regs|poison|crash: the same on vCPU 1, which is off before and, but for crash, afterwards",
        lives::second,
    ),
    ("ram", "fill|find VALUE: all free RAM in words of 64 bits; ok words=.. found=.. first=..", lives::ram),
    ("park", "count|wfi|spin|loop|hold|off|reset: starts vCPU 1, which does that; ok when it does", lives::park),
    ("here", "count|wfi|spin|loop|hold|off|reset: the same on vCPU 0, after ok pc=.. (of spin)", lives::here),
    ("race", "TICKS: starts vCPU 1 and resets so many ticks later", lives::race),
    ("rx", "asks for a byte; ok when it came with an interrupt", lives::receive_interrupt),
    ("abortloop", "ok pc=..; vectors that load from nowhere, and a fault: never ends", lives::abort_loop),
    ("uart", "PL011 accesses of 8, 16, 32 bits; ok abc fr=..", selftest::uart),
    ("dbg", "hardware breakpoint and cycle counter; ok breakpoint=hit cycles=..", selftest::debug),
    ("spin", "MILLISECONDS: busy; ok", spin),
    ("flood", "LINES: prints so many; ok", flood),
    ("attack", "SEED [ROUNDS]: ok attack done seed=.. aborts=.. undefs=.. leaks=.. survived", attack::run),
    ("disks", "ok SLOT:disk,SECTORS,rw|ro SLOT:entropy ...: every virtio device", disk::list),
    (
        "open",
        "SLOT [plain]: resets that disk and makes its driver ready, plain: no event indices, no tables",
        disk::open,
    ),
    ("io", "SEED COUNT DEPTH BYTES WRITES%: random reads and writes of the open disk, each checked; ok", disk::io),
    ("last", "what the last `io` answered, which a console may have lost", disk::last),
    ("scan", "reads and checks all of it; ok blocks=.. written=.. sum=..", disk::scan),
    ("request", "KIND SECTOR BYTES [WORD]: one request, sound or not; ok status=.. first=..", disk::request),
    ("aim", "KIND SECTOR ADDRESS: one request of 4096 bytes whose data is there; ok status=.. written=..", disk::aim),
    ("whole", "0|1 WORD: reads or writes all of the open disk; ok requests=.. others=WORDS_THAT_DIFFER", disk::whole),
    ("rebind", "ROUNDS SEED: resets the open disk with requests in flight, and watches memory; ok", hostile::rebind),
    ("flyingreset", "SLOT SEED: SYSTEM_RESET with requests of that disk in flight", hostile::flying_reset),
    ("vread", "SLOT ROUNDS: loads every offset of the transport, in every size; ok", hostile::read_all),
    (
        "vattack",
        "SLOT SEED ROUNDS: nonsense in registers and rings; ok faults=.. broken=.. received=..",
        hostile::attack,
    ),
    ("nopen", "SLOT IP: makes the driver of that network device ready, with that own address; ok mac=..", net::open),
    (
        "nping",
        "MAC IP BYTES COUNT WINDOW [AGAIN_MS]: checked frames to another probe's `necho`; ok ticks=..",
        net::ping,
    ),
    ("necho", "answers checked frames until their sender says that it is done; ok answered=.. others=..", net::echo),
    ("nsend", "HEX BYTES [COUNT]: sends that frame, padded with zeros; ok when the device has taken it", net::send),
    (
        "nflood",
        "HEX BYTES MILLISECONDS [AT]: that frame again and again, from that `uptime` on; ok frames=.. ticks=..",
        net::flood,
    ),
    ("uptime", "ok MILLISECONDS that the board is up", net::uptime),
    ("nsink", "MILLISECONDS: what comes in that time, from the first frame on; ok frames=.. bytes=..", net::sink),
    (
        "nattack",
        "SLOT SEED ROUNDS MAC IP MAC IP: what no driver sends, to these two; ok broken=..",
        net::hostile::attack,
    ),
    ("sconnect", "SLOT PORT [CID]: asks that socket device for a connection; ok cid=OWN operation=..", socket::connect),
    ("sattack", "SLOT SEED ROUNDS PORT: packets that no driver sends; ok answers=.. resets=..", socket::attack),
    ("copen", "NAME: its end of that channel; ok channel=NUMBER capacity=BYTES", channel::open),
    ("cstate", "ok anew=.. peer=.. available=.. free=.. rung=..: of the open channel", channel::state),
    ("cring", "rings the other end; ok", channel::ring),
    ("clie", "ROUNDS SEED: stores to any word, and rings after each; ok lies=..", channel::lie),
    ("cwatch", "COUNT: sleeps until it was rung more often than that; ok anew=.. rung=..", channel::watch),
    ("csay", "BYTES SEED: writes so many and rings; ok said=.. sleeps=..", channel::say),
    ("chear", "BYTES SEED: reads and checks what `csay` writes; ok heard=.. sleeps=..", channel::hear),
    ("entropy", "SLOT BYTES: ok bytes=.. HEX", entropy::entropy),
    ("crash", "an undefined instruction that nobody expects: panics and powers off", crash),
    ("faultloop", "points the vectors nowhere and faults: never ends", sysreg::fault_loop),
    ("hang", "masks interrupts and spins: never ends", hang),
    ("off", "SYSTEM_OFF", |_| psci::system_off()),
    ("reset", "SYSTEM_RESET", |_| psci::system_reset()),
];

rt::guest!(main = main, interrupt = interrupts::taken);

fn main() -> ! {
    access::open_window();
    gic::enable(Timer::Physical.intid(), gic::PRIORITY);
    interrupts::enable_sgis();
    insn::unmask_irq();
    println!("probe: ready, {} commands, try help", COMMANDS.len());
    let mut line = [0; LINE];
    loop {
        print!("probe> ");
        let length = read_line(&mut line);
        let text = line.get(..length).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or("");
        println!("{text}");
        if let Err(refusal) = obey(text) {
            println!("{refusal}");
        }
    }
}

fn obey(line: &str) -> Reply {
    let mut arguments = Arguments::new(line);
    let Some(name) = arguments.next() else { return Ok(()) };
    let command = COMMANDS.iter().find(|(known, ..)| *known == name);
    let (.., run) = command.ok_or(Refusal::Error("no such command, try help"))?;
    run(&mut arguments)
}

/// Bytes up to the end of the line; what does not fit is dropped.
fn read_line(line: &mut [u8; LINE]) -> usize {
    let mut length = 0;
    loop {
        match next_byte() {
            b'\r' | b'\n' if length == 0 => {}
            b'\r' | b'\n' => return length,
            0x08 | 0x7f => length = length.saturating_sub(1),
            byte => {
                if let Some(slot) = line.get_mut(length) {
                    *slot = byte;
                    length += 1;
                }
            }
        }
    }
}

fn next_byte() -> u8 {
    loop {
        if let Some(byte) = console::receive() {
            return byte;
        }
        Timer::Physical.set_deadline(Timer::Physical.count() + timer::frequency() / LOOKS_HZ);
        // Masked, or an interrupt before the WFI would leave nothing to end it.
        insn::mask_irq();
        Timer::Physical.enable();
        insn::wfi();
        insn::unmask_irq();
        // The WFI may have ended for another reason.
        Timer::Physical.stop();
    }
}

fn help(_: &mut Arguments) -> Reply {
    for (name, meaning, _) in COMMANDS {
        println!("{name:10} {meaning}");
    }
    println!("ok");
    Ok(())
}

fn machine(_: &mut Arguments) -> Reply {
    let board = board::board();
    println!(
        "ok gic={} vcpus={} ram=0x{:x}+0x{:x} free=0x{:x} dtb=0x{:x}",
        if gic::is_v3() { 3 } else { 2 },
        board.vcpus,
        board.ram.0,
        board.ram.1,
        rt::arch::free_ram(),
        board.device_tree.unwrap_or(0)
    );
    Ok(())
}

fn spin(arguments: &mut Arguments) -> Reply {
    let end = timer::now() + arguments.number()? * timer::frequency() / 1000;
    while timer::now() < end {}
    println!("ok");
    Ok(())
}

fn flood(arguments: &mut Arguments) -> Reply {
    for n in 0..arguments.number()? {
        println!("flood {n:08} abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstu");
    }
    println!("ok");
    Ok(())
}

fn crash(_: &mut Arguments) -> Reply {
    insn::undefined();
    Err(Refusal::Error("the undefined instruction executed"))
}

fn hang(_: &mut Arguments) -> Reply {
    insn::mask_irq();
    loop {
        core::hint::spin_loop();
    }
}
