//! Requests on their way: from a guest's ring to the generator or a disk, and back.

use super::{Backend, CAP, Device, ENTROPY_CAP};
use crate::disk::{Disk, Full, Guest, Ticket, Work};
use crate::entropy::Entropy;
use crate::{hooks, timer};
use virtio::blk::{Kind, MAX_RANGES, Range, Ranges, Request, Status};
use virtio::{Broken, Chain, Data, Head, entropy};

/// What becomes of a request.
enum Step<'c> {
    /// It is answered now; so many bytes of data were written.
    Answer(Status, u32),
    /// A disk is to do this with this data.
    Disk(Work<'c>, Option<Data<'c>>, u32),
}

impl Device {
    /// Takes up to [`CAP`] or [`ENTROPY_CAP`] requests. Whether there were any.
    #[inline(never)]
    pub(super) fn serve(
        &mut self,
        number: usize,
        disks: &mut [Disk],
        generator: &mut Option<Entropy>,
        chain: &mut Chain,
    ) -> Result<bool, Broken> {
        if self.link.is_parked() && !self.has_turn(number, disks) {
            return Ok(false);
        }
        let mut has_worked = false;
        let cap = if matches!(self.backend, Backend::Entropy) { ENTROPY_CAP } else { CAP };
        for _ in 0..cap {
            if self.has_used_up() {
                break;
            }
            let Some(head) = self.link.next(&self.ram, chain)? else { break };
            match (&self.backend, generator.as_mut()) {
                (Backend::Entropy, Some(generator)) => {
                    let written = entropy::fill(&self.ram, chain, |bytes| generator.fill(bytes))?;
                    self.give_back(head, written)?;
                }
                // It is offered only where there is a generator, which stays.
                (Backend::Entropy, None) => self.link.park(head),
                // Their queues are not looked at here.
                (Backend::Lost | Backend::Nic(_) | Backend::Sockets(_) | Backend::Console(_), _) => {
                    self.link.park(head)
                }
                (Backend::Disk { .. }, _) => {
                    let others_wait = self.begin(number, disks, chain, head)?;
                    if others_wait && !self.link.is_parked() {
                        return Ok(true);
                    }
                }
            }
            if self.link.is_parked() {
                break;
            }
            has_worked = true;
        }
        Ok(has_worked)
    }

    /// Whether the next request is one too many for now; if not, it is counted.
    fn has_used_up(&mut self) -> bool {
        let Backend::Disk { limit: Some(limit), .. } = &mut self.backend else { return false };
        // One that found no room was counted before.
        if self.link.is_parked() || !self.link.has_work(&self.ram) {
            return false;
        }
        self.resumes_at = limit.take(1, timer::now()).err().map(|wait| wait.until_ticks);
        self.resumes_at.is_some()
    }

    /// Whether a chain that found no room may try again.
    fn has_turn(&self, number: usize, disks: &[Disk]) -> bool {
        let Backend::Disk { volume, .. } = &self.backend else { return true };
        let Some(disk) = disks.get(volume.disk) else { return true };
        disk.may_try(number)
    }

    /// Begins a request, or parks it. Whether other devices wait for the disk: then this one's turn is over.
    fn begin(&mut self, number: usize, disks: &mut [Disk], chain: &Chain, head: Head) -> Result<bool, Broken> {
        let Backend::Disk { volume, shown, serial, has_flush, .. } = &self.backend else { return Ok(false) };
        let Some(disk) = disks.get_mut(volume.disk) else { return Ok(false) };
        let request = Request::parse(&self.ram, chain, shown)?;
        let mut ranges = [Range::default(); MAX_RANGES];
        let first = volume.extent.sector;
        let step = match request.kind {
            Kind::In { sector, data } => Step::Disk(Work::Read(first + sector), Some(data), data.bytes()),
            Kind::Out { sector, data } => Step::Disk(Work::Write(first + sector), Some(data), 0),
            Kind::Flush if *has_flush => Step::Disk(Work::Flush, None, 0),
            // Without a cache every completed write is on the medium.
            Kind::Flush => Step::Answer(Status::Ok, 0),
            Kind::GetId { data } => Step::Answer(Status::Ok, data.write(&self.ram, serial)?),
            Kind::Discard(asked) => match self.rebased(asked, first, &mut ranges) {
                Ok([]) => Step::Answer(Status::Ok, 0),
                Ok(ranges) => Step::Disk(Work::Discard(ranges), None, 0),
                Err(status) => Step::Answer(status, 0),
            },
            Kind::WriteZeroes(asked) => match self.rebased(asked, first, &mut ranges) {
                Ok([]) => Step::Answer(Status::Ok, 0),
                Ok(ranges) => Step::Disk(Work::Fill(ranges), None, 0),
                Err(status) => Step::Answer(status, 0),
            },
            Kind::Refused(status) => Step::Answer(status, 0),
        };
        let (work, data, written) = match step {
            Step::Answer(status, written) => {
                let written = request.reply.finish(&self.ram, status, written)?;
                return self.give_back(head, written).map(|()| false);
            }
            Step::Disk(work, data, written) => (work, data, written),
        };
        let pieces_wanted = data.map_or(1, |data| data.pieces().count());
        if disk.facts().seg_max != 0 && pieces_wanted > disk.facts().seg_max as usize {
            // More than was offered.
            let written = request.reply.finish(&self.ram, Status::IoError, 0)?;
            return self.give_back(head, written).map(|()| false);
        }
        if !disk.is_turn(number, pieces_wanted) {
            disk.wait(number, pieces_wanted);
            self.link.park(head);
            return Ok(true);
        }
        let others_wait = disk.take_turn(number);
        let changes = matches!(work, Work::Write(_) | Work::Discard(_) | Work::Fill(_));
        let is_last = !(changes && *has_flush && virtio::blk::is_write_through(self.link.accepted));
        let guest = Guest { device: number, head, reply: request.reply, written, is_last };
        let banks = self.ram.banks();
        let pieces = data.into_iter().flat_map(|data| banks.pieces(data));
        // SAFETY: the pieces are the guest's RAM, which it keeps until the device is quiet: that waits for this request.
        match unsafe { disk.submit(work, pieces, Ticket::Guest(guest)) } {
            Ok(()) => {
                self.link.begin();
                hooks::submitted(disk.outstanding());
            }
            Err(Full(Ticket::Guest(guest))) => {
                disk.wait(number, pieces_wanted);
                self.link.park(guest.head);
            }
            Err(Full(Ticket::Own)) => {}
        }
        Ok(others_wait)
    }

    /// The ranges of a request, copied, checked, and as the disk counts sectors.
    fn rebased<'r>(
        &self,
        asked: Ranges<'_>,
        first: u64,
        into: &'r mut [Range; MAX_RANGES],
    ) -> Result<&'r [Range], Status> {
        let count = asked.read(&self.ram, into)?;
        let ranges = into.get_mut(..count).unwrap_or_default();
        for range in &mut *ranges {
            range.sector += first;
        }
        Ok(ranges)
    }

    /// A disk has completed a request of this device.
    pub(super) fn complete(&mut self, disk: &mut Disk, guest: Guest, status: Status) -> Result<(), Broken> {
        self.link.end();
        if self.link.queue().is_none() {
            // The device was reset, or its driver broke it: nobody waits for this any more.
            return Ok(());
        }
        if guest.is_last || status != Status::Ok {
            return self.answer(guest, status);
        }
        let ticket = Ticket::Guest(Guest { is_last: true, ..guest });
        // SAFETY: no pieces.
        match unsafe { disk.submit(Work::Flush, core::iter::empty(), ticket) } {
            Ok(()) => {
                self.link.begin();
                Ok(())
            }
            // The request that has just completed has left more room than a flush takes; should that ever be wrong, the
            // guest hears that its write may not be on the medium.
            Err(Full(Ticket::Guest(guest))) => self.answer(guest, Status::IoError),
            Err(Full(Ticket::Own)) => Ok(()),
        }
    }

    fn answer(&mut self, guest: Guest, status: Status) -> Result<(), Broken> {
        let written = if status == Status::Ok { guest.written } else { 0 };
        let written = guest.reply.finish(&self.ram, status, written)?;
        self.give_back(guest.head, written)
    }

    fn give_back(&mut self, head: Head, written: u32) -> Result<(), Broken> {
        self.link.give_back(&self.ram, head, written)
    }
}
