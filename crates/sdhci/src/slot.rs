//! [`Slot`]: a started card, and the one order that it is carrying out.
//!
//! Nothing here waits: each [`Slot::poll`] looks once, moves a few blocks if the buffer has or wants them, and comes back.
//! An order that fails is stopped and begun again from its first block, so whoever gives it must be able to repeat its data.
//! What a card could not program it tells in the answer to a command behind the write, once (SD physical layer specification,
//! 4.10.1), so a write has ended only when the card was asked.

use crate::card::Status;
use crate::command::{Command, Direction};
use crate::host::COMMAND_US;
use crate::register::{self, Registers, present, status};
use crate::{BLOCK, Card, Fault, Host};

/// Blocks that one poll moves.
const BLOCKS_PER_POLL: u32 = 8;
/// How long a card may be busy with a block, or with what was written before: twice what SDXC cards may take.
const BUSY_US: u64 = 1_000_000;
/// How often an order is begun.
const TRIES: u8 = 3;

/// What a card is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Read so many sectors from this one on.
    Read(u64, u16),
    /// Write so many sectors from this one on.
    Write(u64, u16),
    /// Finish what was written: the card is no longer busy.
    Flush,
}

/// Where an order's data is.
pub trait Blocks {
    /// Takes block `number` of the order, which was read.
    fn put(&mut self, number: u32, bytes: &[u8; BLOCK]);
    /// Gives block `number` of the order, which is written.
    fn give(&mut self, number: u32, bytes: &mut [u8; BLOCK]);
}

/// What a look at the card came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Nothing has happened; an interrupt says when something has.
    Waiting,
    /// Look again: something has happened, or no interrupt will say when it does.
    Moving,
    /// The order has ended.
    Done(Result<(), Fault>),
}

/// Where the order stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Its command waits for the lines.
    Ready,
    /// Its command has no answer yet.
    Sent,
    /// Blocks move.
    Moving,
    /// All have moved, and the card is busy with them.
    Finishing,
    /// All were written: the card is to be asked whether they are kept.
    Doubting,
    /// The card was asked.
    Asked,
    /// It failed for this reason: the card is to be told to stop.
    Failed(Fault),
    /// The card was told to stop.
    Stopping(Fault),
    /// The card may still be busy.
    Releasing(Fault),
}

#[derive(Debug)]
struct Work {
    order: Order,
    state: State,
    /// Blocks that have moved.
    moved: u32,
    /// When its state lasts too long, in microseconds.
    until_us: u64,
    tries: u8,
}

/// A card and its controller.
#[derive(Debug)]
pub struct Slot<R> {
    host: Host<R>,
    card: Card,
    work: Option<Work>,
}

impl<R: Registers> Slot<R> {
    pub(crate) fn new(host: Host<R>, card: Card) -> Self {
        Self { host, card, work: None }
    }

    /// The card.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// Whether it carries out an order.
    pub fn is_busy(&self) -> bool {
        self.work.is_some()
    }

    /// Whether what happens interrupts.
    pub fn listen(&mut self, is_wanted: bool) {
        self.host.listen(is_wanted);
    }

    /// The controller alone, to reset it.
    pub fn into_host(self) -> Host<R> {
        self.host
    }

    /// Begins an order; the one before has ended.
    pub fn begin(&mut self, order: Order, now_us: u64) {
        let until_us = now_us.saturating_add(BUSY_US);
        self.work = Some(Work { order, state: State::Ready, moved: 0, until_us, tries: 1 });
    }

    /// Carries the order on. `blocks` is its data.
    pub fn poll(&mut self, now_us: u64, blocks: &mut dyn Blocks) -> Progress {
        let Some(mut work) = self.work.take() else { return Progress::Waiting };
        let progress = self.step(&mut work, now_us, blocks);
        if !matches!(progress, Progress::Done(_)) {
            self.work = Some(work);
        }
        progress
    }

    fn step(&mut self, work: &mut Work, now_us: u64, blocks: &mut dyn Blocks) -> Progress {
        let is_late = now_us >= work.until_us;
        match work.state {
            State::Ready | State::Doubting | State::Failed(_) => self.send(work, now_us, is_late),
            State::Sent | State::Asked | State::Stopping(_) => self.hear(work, now_us, is_late),
            State::Moving | State::Finishing => {
                let errors = self.host.read(register::STATUS);
                // Complete outweighs a timeout of the data lines (host controller specification, section 2.2.17).
                let is_complete = errors & status::TRANSFER_COMPLETE != 0 && work.state == State::Finishing;
                if errors & status::ERROR != 0 && !is_complete {
                    return self.fail(work, Fault::Data((errors >> 16) as u16), now_us);
                }
                if is_complete {
                    self.host.write(register::STATUS, status::TRANSFER_COMPLETE);
                    return self.finish(work, now_us);
                }
                if work.state == State::Moving && self.shift(work, now_us, blocks) {
                    return Progress::Moving;
                }
                if is_late { self.fail(work, Fault::Stuck, now_us) } else { Progress::Waiting }
            }
            State::Releasing(fault) => {
                let is_free = self.host.read(register::PRESENT) & present::DAT0 != 0;
                if !is_free && !is_late {
                    return Progress::Moving;
                }
                // What a flush was told is not told again, and nobody here can repeat the write that it was about.
                let is_lost = matches!((work.order, fault), (Order::Flush, Fault::Card(_)));
                if work.tries >= TRIES || is_lost {
                    return Progress::Done(Err(fault));
                }
                *work =
                    Work { state: State::Ready, moved: 0, until_us: now_us + BUSY_US, tries: work.tries + 1, ..*work };
                Progress::Moving
            }
        }
    }

    /// All blocks have moved. Those that were written may not be kept yet.
    fn finish(&mut self, work: &mut Work, now_us: u64) -> Progress {
        let Order::Write(_, count) = work.order else { return Progress::Done(Ok(())) };
        // Several blocks end with a command of the controller's own, whose answer it keeps (host controller specification, 1.15).
        let own = if count > 1 { self.host.read(register::RESPONSE + 12) } else { 0 };
        if let Err(fault) = Status(own).check() {
            return self.fail(work, fault, now_us);
        }
        (work.state, work.until_us) = (State::Doubting, now_us + BUSY_US);
        Progress::Moving
    }

    /// The command of the work's state.
    fn command(&self, work: &Work) -> Command {
        let at = |sector: u64| {
            // In bytes such a card has less than 2^32.
            let at = if self.card.counts_sectors { sector } else { sector.saturating_mul(BLOCK as u64) };
            at as u32
        };
        match (work.state, work.order) {
            (State::Failed(_) | State::Stopping(_), _) => Command::STOP,
            (State::Doubting | State::Asked, _) => Command::status(self.card.address),
            (_, Order::Read(sector, count)) => Command::transfer(Direction::Read, at(sector), count),
            (_, Order::Write(sector, count)) => Command::transfer(Direction::Write, at(sector), count),
            (_, Order::Flush) => Command::status(self.card.address),
        }
    }

    /// Sends the state's command once its lines are free.
    fn send(&mut self, work: &mut Work, now_us: u64, is_late: bool) -> Progress {
        let command = self.command(work);
        if !self.host.is_free(&command) {
            return match work.state {
                State::Ready | State::Doubting if is_late => self.fail(work, Fault::Stuck, now_us),
                State::Failed(fault) if is_late => Progress::Done(Err(fault)),
                _ => Progress::Moving,
            };
        }
        self.host.send(&command);
        work.state = match work.state {
            State::Failed(fault) => State::Stopping(fault),
            State::Doubting => State::Asked,
            _ => State::Sent,
        };
        // Questions go on until the card has been busy for too long.
        let is_question = work.state == State::Asked || work.state == State::Sent && work.order == Order::Flush;
        if !is_question {
            work.until_us = now_us + COMMAND_US;
        }
        self.hear(work, now_us, false)
    }

    /// Listens for the answer to the state's command.
    fn hear(&mut self, work: &mut Work, now_us: u64, is_late: bool) -> Progress {
        let command = self.command(work);
        let answer = match self.host.answer(&command) {
            None if is_late => {
                self.host.reset_lines();
                Err(Fault::Silent(command.index))
            }
            None => return Progress::Waiting,
            Some(answer) => answer,
        };
        if let State::Stopping(fault) = work.state {
            // A card that was not transferring refuses; either way it takes the next command.
            work.state = State::Releasing(fault);
            work.until_us = now_us + BUSY_US;
            return Progress::Moving;
        }
        let status = match answer.map(|[answer, ..]| Status(answer)).and_then(|status| status.check().map(|()| status))
        {
            Ok(status) => status,
            Err(fault) => return self.fail(work, fault, now_us),
        };
        let again = match (work.state, work.order) {
            (State::Asked, _) => State::Doubting,
            (_, Order::Flush) => State::Ready,
            (_, Order::Read(..) | Order::Write(..)) => {
                work.state = State::Moving;
                work.until_us = now_us + BUSY_US;
                return Progress::Moving;
            }
        };
        if status.is_ready() {
            return Progress::Done(Ok(()));
        }
        if now_us >= work.until_us {
            return self.fail(work, Fault::Stuck, now_us);
        }
        work.state = again;
        Progress::Moving
    }

    /// Moves blocks that the buffer has or wants. Whether there were any.
    fn shift(&mut self, work: &mut Work, now_us: u64, blocks: &mut dyn Blocks) -> bool {
        let (count, is_read) = match work.order {
            Order::Read(_, count) => (u32::from(count), true),
            Order::Write(_, count) => (u32::from(count), false),
            Order::Flush => return false,
        };
        let (ready, event) = match is_read {
            true => (present::READ_ENABLE, status::READ_READY),
            false => (present::WRITE_ENABLE, status::WRITE_READY),
        };
        let first = work.moved;
        while work.moved < count.min(first + BLOCKS_PER_POLL) && self.host.read(register::PRESENT) & ready != 0 {
            // Before the block moves: the next one is announced while it does.
            self.host.write(register::STATUS, event);
            let mut block = [0; BLOCK];
            let (words, _) = block.as_chunks_mut::<4>();
            if is_read {
                words.iter_mut().for_each(|word| *word = self.host.read(register::BUFFER).to_le_bytes());
                blocks.put(work.moved, &block);
            } else {
                blocks.give(work.moved, &mut block);
                let (words, _) = block.as_chunks::<4>();
                words.iter().for_each(|word| self.host.write(register::BUFFER, u32::from_le_bytes(*word)));
            }
            work.moved += 1;
        }
        if work.moved == first {
            return false;
        }
        work.until_us = now_us + BUSY_US;
        if work.moved == count {
            work.state = State::Finishing;
        }
        true
    }

    /// Gives up this try: the lines forget what was under way, and the card is told to stop.
    fn fail(&mut self, work: &mut Work, fault: Fault, now_us: u64) -> Progress {
        self.host.reset_lines();
        work.state = State::Failed(fault);
        work.until_us = now_us + COMMAND_US;
        Progress::Moving
    }
}
