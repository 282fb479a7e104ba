//! A controller and a card, as far as the driver uses them. Each load takes a microsecond.

use sdhci::{BLOCK, Blocks, Host, Registers};
use std::cell::RefCell;
use std::rc::Rc;

/// Status bits.
const COMMAND_COMPLETE: u32 = 1;
const TRANSFER_COMPLETE: u32 = 2;
const WRITE_READY: u32 = 1 << 4;
const READ_READY: u32 = 1 << 5;
const COMMAND_TIMEOUT: u32 = 1 << 16 | 1 << 15;
pub const DATA_CRC: u32 = 1 << 21 | 1 << 15;
/// A card's status: it could not correct what it has stored.
pub const NOT_KEPT: u32 = 1 << 21;
/// [`Card::state`]: transfer, sending data, receiving data.
const TRANSFER: u32 = 4;
const SENDING: u32 = 5;
const RECEIVING: u32 = 6;

pub struct Card {
    pub sectors: Vec<[u8; BLOCK]>,
    pub counts_sectors: bool,
    /// It describes itself as one of 8 GiB that counts in sectors.
    pub lies: bool,
    pub knows_switch: bool,
    pub state: u32,
    /// Loads of the present state until it is not busy.
    pub busy: u32,
    /// How often it answers that it has not started.
    pub starting: u32,
}

#[derive(Default)]
pub struct Controller {
    pub card: Option<Card>,
    pub now_us: u64,
    /// Commands, and their arguments.
    pub log: Vec<(u8, u32)>,
    pub clock: u32,
    pub control: u32,
    pub signal: u32,
    /// Writes that the card takes and cannot keep: it says so once, behind them.
    pub forgets: u32,
    /// It says so to the command with which the controller ends several blocks.
    pub tells_controller: bool,
    untold: u32,
    /// Errors that the next data blocks end with.
    pub errors: u32,
    /// Commands that get no end.
    pub is_mute: bool,
    /// Does not become reset.
    pub is_stuck: bool,
    /// Registers stored to since the last pause.
    stored: Vec<u32>,
    /// A register was stored to twice in too short a time.
    pub has_lost: bool,
    words: [u32; 3],
    response: [u32; 4],
    status: u32,
    buffer: Vec<u8>,
    at: u64,
    left: u32,
    is_application: bool,
    is_switching: bool,
}

#[derive(Clone)]
pub struct Fake(pub Rc<RefCell<Controller>>);

impl Card {
    pub fn new(sectors: usize, counts_sectors: bool) -> Self {
        Self {
            sectors: vec![[0; BLOCK]; sectors],
            counts_sectors,
            lies: false,
            knows_switch: true,
            state: TRANSFER,
            busy: 0,
            starting: 2,
        }
    }

    /// The card's description without its lowest byte.
    fn description(&self) -> [u32; 4] {
        let sectors = self.sectors.len() as u128;
        let classes = if self.knows_switch { 0x400u128 << 84 } else { 0 };
        let all = match self.counts_sectors {
            false if self.lies => 1 << 126 | ((1u128 << 14) - 1) << 48,
            true => 1 << 126 | (sectors / 1024 - 1) << 48,
            // Blocks of 512 bytes, four of them a unit.
            false => 9 << 80 | (sectors / 4 - 1) << 62,
        } | classes;
        long(all)
    }
}

/// A register of 128 bits as a controller keeps it: without its lowest byte.
fn long(all: u128) -> [u32; 4] {
    [8, 40, 72, 104].map(|at| (all >> at) as u32)
}

impl Fake {
    pub fn new(card: Option<Card>) -> Self {
        Self(Rc::new(RefCell::new(Controller { card, ..Controller::default() })))
    }
    pub fn time(&self) -> impl FnMut() -> u64 + use<> {
        let shared = Rc::clone(&self.0);
        move || shared.borrow().now_us
    }
    pub fn host(&self) -> Host<Self> {
        Host::new(self.clone(), 100_000_000)
    }
}

impl Registers for Fake {
    fn read(&mut self, offset: u32) -> u32 {
        self.0.borrow_mut().read(offset)
    }
    fn write(&mut self, offset: u32, value: u32) {
        self.0.borrow_mut().write(offset, value);
    }
    fn pause(&mut self, microseconds: u32) {
        let mut controller = self.0.borrow_mut();
        controller.now_us += u64::from(microseconds);
        controller.stored.clear();
    }
}

impl Controller {
    /// The next answer of the card has these bits of its status.
    pub fn tell(&mut self, status: u32) {
        self.untold = status;
    }

    fn read(&mut self, offset: u32) -> u32 {
        self.now_us += 1;
        match offset {
            0x10..0x20 => self.response[(offset as usize - 0x10) / 4],
            0x20 => self.take(),
            0x24 => self.present(),
            0x28 => self.control,
            0x2c => self.clock,
            0x30 => self.status,
            0x38 => self.signal,
            _ => 0,
        }
    }

    fn present(&mut self) -> u32 {
        let Some(card) = &mut self.card else { return 1 << 20 };
        card.busy = card.busy.saturating_sub(1);
        let is_busy = card.busy > 0;
        let can_read = card.state == SENDING && !self.buffer.is_empty();
        let can_write = card.state == RECEIVING && self.left > 0 && !is_busy;
        let moves = self.left > 0;
        u32::from(!is_busy) << 20
            | u32::from(is_busy || moves) << 1
            | u32::from(can_write) << 10
            | u32::from(can_read) << 11
    }

    fn write(&mut self, offset: u32, value: u32) {
        let is_slow = self.clock & 4 == 0 || (self.clock >> 8 & 0xff) > 100;
        if is_slow && self.stored.contains(&offset) {
            self.has_lost = true;
        }
        self.stored.push(offset);
        match offset {
            0x04 => self.words[0] = value,
            0x08 => self.words[1] = value,
            0x0c => self.command(value),
            0x20 => self.put(value),
            0x28 => self.control = value,
            0x2c => self.set_clock(value),
            0x30 => self.status &= !value,
            0x38 => self.signal = value,
            _ => {}
        }
    }

    fn set_clock(&mut self, value: u32) {
        if value & 1 << 24 != 0 {
            (self.control, self.signal, self.left) = (0, 0, 0);
            self.clock = if self.is_stuck { value } else { 0 };
            return;
        }
        if value & 0b110 << 24 != 0 {
            self.left = 0;
            self.buffer.clear();
        }
        self.clock = value & 0xff_ffff | (value & 1) << 1;
    }

    fn command(&mut self, word: u32) {
        let (index, argument) = ((word >> 24) as u8 & 0x3f, self.words[1]);
        assert!(self.clock & 0b111 == 0b111 && self.control & 0xf00 == 0xf00, "CMD{index} without clock or power");
        self.log.push((index, argument));
        self.status = 0;
        if self.is_mute {
            return;
        }
        self.status |= COMMAND_COMPLETE;
        let is_application = std::mem::take(&mut self.is_application);
        let (size, count) = (self.words[0] & 0xfff, self.words[0] >> 16);
        let Some(card) = &mut self.card else {
            self.status |= if index == 0 { 0 } else { COMMAND_TIMEOUT };
            return;
        };
        let untold = std::mem::take(&mut self.untold);
        self.response = [untold | card.state << 9 | u32::from(card.busy == 0) << 8, 0, 0, 0];
        match (index, is_application) {
            (0, _) => card.state = 0,
            (2, _) => self.response = long(0x51_454d_5530 << 64 | 0xcafe_babe << 24),
            (3, _) => self.response[0] = 0x4567_0500,
            (6, true) | (16, _) => {}
            (6, false) if card.knows_switch => {
                assert_eq!((size, count, argument), (64, 1, 0x80ff_fff1));
                (card.state, self.is_switching) = (SENDING, true);
                self.buffer = vec![0; 64];
                self.buffer[16] = 1;
                self.left = 1;
                self.status |= READ_READY;
            }
            (7, _) => card.state = TRANSFER,
            (8, _) if card.counts_sectors => self.response[0] = argument,
            (9, _) => self.response = card.description(),
            (12, _) if card.state != TRANSFER => card.state = TRANSFER,
            (13, _) => card.busy = card.busy.saturating_sub(1),
            (17 | 18 | 24 | 25, _) => {
                assert_eq!(size as usize, BLOCK);
                assert_eq!(index & 1 == 0 || index == 25, (count > 1) || index == 24, "CMD{index} of {count} blocks");
                let unit = if card.counts_sectors { 1 } else { BLOCK as u32 };
                assert!(argument.is_multiple_of(unit), "CMD{index} at {argument}");
                (self.at, self.left) = (u64::from(argument / unit), count);
                card.state = if index < 24 { SENDING } else { RECEIVING };
                if index < 24 { self.fetch() } else { self.status |= WRITE_READY }
            }
            (41, true) => {
                card.starting = card.starting.saturating_sub(1);
                let has_started = u32::from(card.starting == 0) << 31;
                self.response[0] = has_started | u32::from(card.counts_sectors) << 30 | 0x00ff_8000;
            }
            (55, _) => self.is_application = true,
            _ => self.status |= COMMAND_TIMEOUT,
        }
    }

    /// The next block to read.
    fn fetch(&mut self) {
        if self.errors & 0xffff_0000 != 0 {
            self.status |= std::mem::take(&mut self.errors);
            return;
        }
        let card = self.card.as_ref().expect("it was asked");
        self.buffer = card.sectors[self.at as usize].to_vec();
        self.status |= READ_READY;
    }

    fn take(&mut self) -> u32 {
        let word: Vec<u8> = self.buffer.drain(..4).collect();
        if self.buffer.is_empty() {
            (self.at, self.left) = (self.at + 1, self.left - 1);
            if self.left == 0 {
                self.end();
            } else {
                self.fetch();
            }
        }
        u32::from_le_bytes(word.try_into().expect("four bytes"))
    }

    fn put(&mut self, value: u32) {
        self.buffer.extend(value.to_le_bytes());
        if self.buffer.len() < BLOCK {
            return;
        }
        let block = std::mem::take(&mut self.buffer);
        if self.errors & 0xffff_0000 != 0 {
            self.status |= std::mem::take(&mut self.errors);
            return;
        }
        let card = self.card.as_mut().expect("it was asked");
        card.sectors[self.at as usize].copy_from_slice(&block);
        (self.at, self.left) = (self.at + 1, self.left - 1);
        if self.left > 0 {
            self.status |= WRITE_READY;
            return;
        }
        self.end();
        if self.forgets > 0 {
            self.forgets -= 1;
            let place = if self.tells_controller { &mut self.response[3] } else { &mut self.untold };
            *place = NOT_KEPT;
        }
    }

    fn end(&mut self) {
        self.status |= TRANSFER_COMPLETE;
        self.is_switching = false;
        if let Some(card) = &mut self.card {
            card.state = TRANSFER;
        }
    }
}

/// An order's data.
#[derive(Default)]
pub struct Data {
    pub blocks: Vec<[u8; BLOCK]>,
    /// Blocks that moved, in order.
    pub moved: Vec<u32>,
}

impl Blocks for Data {
    fn put(&mut self, number: u32, bytes: &[u8; BLOCK]) {
        self.moved.push(number);
        self.blocks[number as usize] = *bytes;
    }
    fn give(&mut self, number: u32, bytes: &mut [u8; BLOCK]) {
        self.moved.push(number);
        *bytes = self.blocks[number as usize];
    }
}
