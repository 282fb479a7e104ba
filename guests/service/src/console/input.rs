//! Input: what is typed goes to the partition with the keyboard, at its PL011 or its virtio console; what follows Ctrl-T goes
//! to EL2.

use super::output::Output;
use crate::devices::Devices;
use crate::hooks;
use crate::hypercall::{self, Port};
use crate::say;
use crate::timer::Patience;
use crate::uart::Uart;
use abi::PartitionId;
use abi::plan::{Kind, Plan};
use abi::service::{Command, Status};
use console::{Key, Keys, Source};

pub(super) struct Input {
    keys: Keys,
    plan: &'static Plan,
    /// The partition with the keyboard, and which console of it.
    focus: (PartitionId, Port),
    /// Whoever has the keyboard takes nothing now. The UART is not read meanwhile: its own flow control paces the sender. The
    /// guest is tried again at each step, should EL2's word of its reading be missed; in the end the keyboard goes on without
    /// it.
    pause: Option<Patience>,
    /// Meanwhile, a byte for a PL011, which says that it takes none only when it is given one. A virtio console is asked before
    /// the UART is: what lies there outlives the service.
    held: Option<u8>,
    /// The partition with the keyboard has shown that it does not read: what is typed for it is lost, commands never are.
    has_given_up: bool,
    /// What EL2 has asked and the keyboard has not answered.
    question: Option<(Command, PartitionId)>,
    /// Ctrl-T s was pressed, and the service has not said its part yet.
    pub(super) wants_status: bool,
}

impl Input {
    pub(super) fn new(plan: &'static Plan) -> Self {
        Self {
            keys: Keys::new(),
            plan,
            focus: (PartitionId::new(0), Port::Uart),
            pause: None,
            held: None,
            has_given_up: false,
            question: None,
            wants_status: false,
        }
    }

    /// Moves the keyboard to a console, if there is one.
    pub(super) fn focus_on(&mut self, id: PartitionId, port: Port, output: &mut Output) {
        let source = match port {
            Port::Uart if id.index() < self.plan.partitions.len() => Source::partition(id),
            Port::Virtio if self.has_virtio(id) => Source::virtio_console(id),
            Port::Uart | Port::Virtio => None,
        };
        if let Some(source) = source {
            self.focus = (id, port);
            self.has_given_up = false;
            // What was typed for another, EL2 may have moved the keyboard, is not for this one.
            self.pause = None;
            output.focus(source);
        }
    }

    /// Whether a partition has a virtio console.
    fn has_virtio(&self, id: PartitionId) -> bool {
        self.plan.devices.iter().any(|device| device.partition == id && device.kind == Kind::Console)
    }

    /// Whether what is typed waits for its partition to take it.
    pub(super) fn is_paused(&self) -> bool {
        self.pause.is_some()
    }

    /// Reads the UART. When to come back although nothing new may have come.
    pub(super) fn pump(&mut self, uart: &Uart, output: &mut Output, devices: &mut Devices, now: u64) -> Option<u64> {
        if let Some(mut patience) = self.pause {
            let is_over = match self.held {
                Some(byte) => self.deliver(byte, devices),
                None => self.has_room(devices),
            };
            if !is_over && !patience.spend(now) {
                self.pause = Some(patience);
                return Some(patience.next());
            }
            self.has_given_up = !is_over;
            self.pause = None;
            uart.enable_receive(true);
        }
        while uart.has_input() {
            if !self.has_given_up && !self.has_room(devices) {
                return Some(self.pause(None, uart, now));
            }
            let Some(byte) = uart.receive() else { break };
            match self.keys.push(byte) {
                Some(Key::Input(byte)) if !self.deliver(byte, devices) && !self.has_given_up => {
                    return Some(self.pause(Some(byte), uart, now));
                }
                Some(Key::Input(_)) | None => {}
                Some(key) => self.obey(key, output),
            }
        }
        None
    }

    /// Reads no more for some time. When to come back.
    fn pause(&mut self, held: Option<u8>, uart: &Uart, now: u64) -> u64 {
        let patience = Patience::begin(now);
        (self.pause, self.held) = (Some(patience), held);
        uart.enable_receive(false);
        patience.next()
    }

    /// Whether the partition with the keyboard takes a byte, as far as it can be asked.
    fn has_room(&self, devices: &mut Devices) -> bool {
        match self.focus {
            (focus, Port::Virtio) => devices.has_room(focus),
            (_, Port::Uart) => true,
        }
    }

    /// Hands a byte to the partition with the keyboard; false: it takes none now.
    fn deliver(&mut self, byte: u8, devices: &mut Devices) -> bool {
        let is_taken = match self.focus {
            // It reads no input of its own.
            (focus, Port::Uart) if focus == self.plan.own => {
                hooks::typed(byte);
                true
            }
            (focus, Port::Uart) => hypercall::console_type(focus, byte) != Err(Status::WrongState),
            (focus, Port::Virtio) => devices.type_byte(focus, byte),
        };
        self.has_given_up &= !is_taken;
        is_taken
    }

    fn obey(&mut self, key: Key, output: &mut Output) {
        match key {
            Key::Focus(id) => self.set_focus(id, Port::Uart, output),
            Key::VirtioConsole => self.focus_virtio(output),
            Key::Help => tell(Command::Help, 0, 0),
            Key::Status => {
                tell(Command::Status, 0, 0);
                self.wants_status = true;
            }
            Key::Faults => tell(Command::Faults, 0, 0),
            Key::Restart => self.ask(Command::Restart),
            Key::Stop => self.ask(Command::Stop),
            Key::Start => self.ask(Command::Start),
            Key::Power => self.ask(Command::PressPower),
            Key::Answer(is_yes) => self.answer(is_yes),
            Key::Unknown(key) => tell(Command::Unknown, key.into(), 0),
            Key::Input(_) => {}
        }
    }

    /// EL2 says that the keyboard has moved, or that there is no such partition.
    fn set_focus(&mut self, id: PartitionId, port: Port, output: &mut Output) {
        self.focus_on(id, port, output);
        tell(Command::Focus, id.number().into(), port as u64);
    }

    /// The keyboard stays with its partition, and moves to the virtio console there.
    fn focus_virtio(&mut self, output: &mut Output) {
        let (id, _) = self.focus;
        if self.has_virtio(id) {
            self.set_focus(id, Port::Virtio, output);
        } else if let Some(partition) = self.plan.partitions.get(id.index()) {
            say!("warn: '{}' has no virtio console: its system file says nothing of `hvc`", partition.name);
        }
    }

    /// EL2 asks the question, in words that no guest can forge, or says why there is nothing to ask.
    fn ask(&mut self, wanted: Command) {
        let (partition, _) = self.focus;
        if hypercall::command(Command::Ask, partition.number().into(), wanted as u64).is_ok() {
            self.question = Some((wanted, partition));
            self.keys.ask();
        }
    }

    fn answer(&mut self, is_yes: bool) {
        let Some((command, partition)) = self.question.take() else { return };
        let command = if is_yes { command } else { Command::Cancel };
        tell(command, partition.number().into(), 0);
    }
}

/// What EL2 says about a command comes through its own source, a refusal too.
fn tell(command: Command, argument: u64, wanted: u64) {
    let _ = hypercall::command(command, argument, wanted);
}
