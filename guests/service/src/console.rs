//! The console: all partitions' output to the one UART, and the keyboard to the partition that has it.
//!
//! EL2 keeps a ring of output for each partition and one of its own; [`console::Mux`] decides who writes next. Questions
//! and commands are EL2's: the service only says which key was pressed. A partition's virtio console is the service's alone:
//! `devices/terminal.rs` moves its text here, and takes what is typed for it.

mod input;
mod output;

use crate::devices::Devices;
use crate::hypercall;
use crate::say;
use crate::timer;
use crate::uart::Uart;
use abi::PartitionId;
use abi::plan::Plan;
use console::Mode;
use input::Input;
use output::Output;

/// The console, and whether the UART is the service's now.
pub struct Console {
    uart: Uart,
    output: Output,
    input: Input,
    is_taken: bool,
    /// UART or EL2 may have something new.
    has_news: bool,
    /// When to look again although nothing may be new.
    deadline: Option<u64>,
    /// All other partitions have stopped for good: the console is EL2's.
    is_over: bool,
}

/// How soon the console is asked for again while EL2 has something to write yet.
const ASK_AGAIN_MS: u64 = 1;

impl Console {
    /// Takes the console from EL2. The keyboard goes to the partition that has it there.
    pub fn take(plan: &'static Plan) -> Self {
        let mode = if plan.is_tagged { Mode::Tagged } else { Mode::Interactive };
        let mut console = Self {
            uart: Uart::new(plan.uart),
            output: Output::new(plan, mode),
            input: Input::new(plan),
            is_taken: false,
            has_news: true,
            deadline: None,
            is_over: false,
        };
        console.open();
        console
    }

    fn open(&mut self) {
        match hypercall::console_take() {
            Ok((focus, port)) => {
                self.uart.open();
                self.input.focus_on(focus, port, &mut self.output);
                self.is_taken = true;
                self.notice();
            }
            // EL2's output is still on its way to the UART, or it keeps the console for its last words.
            Err(_) => self.deadline = Some(timer::now() + timer::ticks(ASK_AGAIN_MS)),
        }
    }

    /// The UART.
    pub fn uart(&self) -> Uart {
        self.uart
    }

    /// Something may be new: the UART has interrupted, or EL2's console words have changed.
    pub fn notice(&mut self) {
        self.has_news = true;
        self.output.notice();
    }

    /// Whoever was typed for and took nothing may take it now.
    pub fn retry(&mut self) {
        self.has_news |= self.input.is_paused();
    }

    /// How much text of a partition's virtio console can be taken; none while EL2 has the console.
    pub fn room(&self, partition: PartitionId) -> usize {
        if self.is_taken { self.output.room(partition) } else { 0 }
    }

    /// Text of a partition's virtio console, as much as there is room for.
    pub fn show(&mut self, partition: PartitionId, text: &[u8]) {
        self.output.show(partition, text);
        self.has_news = true;
    }

    /// A new driver uses the virtio console.
    pub fn end_line(&mut self, partition: PartitionId) {
        self.output.end_line(partition);
        self.has_news = true;
    }

    /// Whether Ctrl-T s was pressed since the last call: the service says its part behind EL2's.
    pub fn take_status(&mut self) -> bool {
        core::mem::take(&mut self.input.wants_status)
    }

    /// Until when the service may sleep.
    pub fn deadline(&self) -> Option<u64> {
        self.deadline
    }

    /// All other partitions have stopped for good, or one is there again.
    pub fn set_over(&mut self, is_over: bool) {
        let was_over = core::mem::replace(&mut self.is_over, is_over);
        if is_over && self.is_taken {
            self.output.finish(&self.uart);
            self.uart.close();
            self.is_taken = false;
            self.deadline = None;
            if let Err(status) = hypercall::console_give_back() {
                say!("error: EL2 does not take the console back: {status:?}");
            }
        } else if was_over && !is_over {
            self.open();
        }
    }

    /// Moves what can be moved. Whether it is worth to come back at once.
    #[inline]
    pub fn pump(&mut self, now: u64, devices: &mut Devices) -> bool {
        let is_due = self.deadline.is_some_and(|deadline| now >= deadline);
        if self.has_news || is_due { self.move_on(now, is_due, devices) } else { false }
    }

    #[inline(never)]
    fn move_on(&mut self, now: u64, is_due: bool, devices: &mut Devices) -> bool {
        if !self.is_taken && is_due && !self.is_over {
            self.deadline = None;
            self.open();
        }
        if !self.is_taken || !(self.has_news || is_due) {
            return false;
        }
        self.has_news = false;
        self.deadline = None;
        let input_deadline = self.input.pump(&self.uart, &mut self.output, devices, now);
        let turn = self.output.pump(&self.uart);
        self.has_news = turn.has_more;
        self.deadline = match (input_deadline, turn.deadline) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.has_news
    }
}
