//! Orders about a virtio disk whose every block is known ([`driver`]). One disk is open at a time.

mod driver;
mod table;

pub use driver::Disk;

use crate::arch::{get, put};
use crate::net;
use crate::reply::{Arguments, Refusal, Reply, check};
use crate::shared::memory;
use crate::virtio::{self, ring::Completion};
use blocks::{BYTES as BLOCK, Random};
use driver::{IN, MAX_REQUEST, OUT, RO, SECTOR};
use rt::virtio::{DISK, EVENT_IDX, INDIRECT_DESC, VERSION_1, register};
use rt::{print, println, timer};
use spin::mutex::SpinMutex;

/// VIRTIO_BLK_T_GET_ID.
const GET_ID: u32 = 8;
/// Virtio device ID.
const ENTROPY: u32 = 4;

/// What `io` did.
struct Work {
    count: u64,
    ticks: u64,
    kicks: u64,
    interrupts: u64,
    lost: u64,
}

static OPEN: SpinMutex<Option<Disk>> = SpinMutex::new(None);
/// Of the last `io`, if it did not fail.
static LAST: SpinMutex<Option<Work>> = SpinMutex::new(None);

/// `disks`: each transport with a device: its slot, what it is, and a disk's sectors and mode.
pub fn list(_: &mut Arguments) -> Reply {
    // To agree on features is to reset.
    close();
    net::close();
    print!("ok");
    for (slot, transport) in virtio::all().flatten().enumerate() {
        match transport.read(register::DEVICE_ID) {
            0 => {}
            DISK => {
                let features = virtio::begin(transport, VERSION_1 | RO)?;
                let mode = if features & RO != 0 { "ro" } else { "rw" };
                print!(" {slot}:disk,{},{mode}", transport.config64(0));
                transport.reset();
            }
            ENTROPY => print!(" {slot}:entropy"),
            other => print!(" {slot}:device{other}"),
        }
    }
    println!();
    Ok(())
}

/// `open`
pub fn open(arguments: &mut Arguments) -> Reply {
    let (slot, is_plain) = (arguments.number()?, arguments.next() == Some("plain"));
    net::close();
    let disk = Disk::open(slot, if is_plain { 0 } else { EVENT_IDX | INDIRECT_DESC })?;
    let Disk { transport, capacity, features, data, .. } = &disk;
    println!(
        "ok at=0x{:x} sectors={capacity} features=0x{features:x} depth={} memory=0x{:x} end=0x{:x}",
        transport.base(),
        disk.depth(),
        memory(),
        data.1
    );
    *OPEN.lock() = Some(disk);
    Ok(())
}

/// Runs `body` on the open disk.
pub fn with_disk(body: impl FnOnce(&mut Disk) -> Reply) -> Reply {
    body(OPEN.lock().as_mut().ok_or(Refusal::Error("no disk is open"))?)
}

/// Forgets the open disk: its memory is wanted for something else.
pub fn close() {
    *OPEN.lock() = None;
}

/// `io`
pub fn io(arguments: &mut Arguments) -> Reply {
    let (seed, count) = (arguments.number()?, arguments.number()?);
    let (depth, bytes) = (arguments.number()?, arguments.number()?);
    let writes = arguments.number()?;
    check(bytes.is_multiple_of(BLOCK) && (BLOCK..=MAX_REQUEST).contains(&bytes), "4096 to 131072 bytes, whole blocks")?;
    with_disk(|disk| {
        let depth = depth.clamp(1, disk.depth());
        let (kicks, interrupts) = (disk.ring.kicks(), virtio::interrupts());
        let workload = disk.workload(bytes / BLOCK, writes);
        let begin = timer::now();
        *LAST.lock() = None;
        disk.random_io(&mut Random::new(seed), count, depth, workload)?;
        *LAST.lock() = Some(Work {
            count,
            ticks: timer::now() - begin,
            kicks: disk.ring.kicks() - kicks,
            interrupts: virtio::interrupts() - interrupts,
            lost: disk.lost,
        });
        last(arguments)
    })
}

/// `last`
pub fn last(_: &mut Arguments) -> Reply {
    let Some(Work { count, ticks, kicks, interrupts, lost }) = *LAST.lock() else {
        return Err(Refusal::Error("no work has been done, or the last failed"));
    };
    let hz = timer::frequency();
    println!("ok ios={count} ticks={ticks} hz={hz} kicks={kicks} interrupts={interrupts} lost={lost}");
    Ok(())
}

/// `scan`
pub fn scan(_: &mut Arguments) -> Reply {
    with_disk(|disk| {
        disk.scan()?;
        let (written, sum) = disk.table.summary();
        println!("ok blocks={} written={written} sum=0x{sum:x}", disk.table.count());
        Ok(())
    })
}

/// `request`
pub fn request(arguments: &mut Arguments) -> Reply {
    let (kind, sector) = (arguments.number()? as u32, arguments.number()?);
    let (bytes, fill) = (arguments.number()?, arguments.optional()?.unwrap_or(0));
    check(bytes <= MAX_REQUEST, "at most 131072 bytes")?;
    with_disk(|disk| {
        let at = disk.data.0;
        let words = bytes.next_multiple_of(8);
        (at..at + words).step_by(8).for_each(|at| put(at, fill));
        let is_input = matches!(kind, IN | GET_ID);
        let Completion { status, written, .. } = disk.raw(kind, sector, bytes, is_input)?;
        let words = || (at..at + words).step_by(8).map(get::<u64>);
        let (first, last) = (words().next().unwrap_or(0), words().last().unwrap_or(0));
        let others = words().filter(|&word| word != first).count();
        println!("ok status={status} written={written} first=0x{first:x} last=0x{last:x} others={others}");
        Ok(())
    })
}

/// `aim`
pub fn aim(arguments: &mut Arguments) -> Reply {
    let (kind, sector, at) = (arguments.number()? as u32, arguments.number()?, arguments.number()?);
    with_disk(|disk| {
        let Completion { status, written, .. } = disk.raw_at(kind, sector, at, BLOCK, kind == IN)?;
        println!("ok status={status} written={written}");
        Ok(())
    })
}

/// `whole`
pub fn whole(arguments: &mut Arguments) -> Reply {
    let (kind, word) = (arguments.number()? as u32, arguments.number()?);
    check(matches!(kind, IN | OUT), "0 reads and 1 writes")?;
    with_disk(|disk| {
        let at = disk.data.0;
        let words = || (at..at + MAX_REQUEST).step_by(8);
        words().for_each(|at| put(at, word));
        let (mut requests, mut others) = (0_u64, 0);
        for sector in (0..disk.capacity).step_by((MAX_REQUEST / SECTOR) as usize) {
            let bytes = MAX_REQUEST.min((disk.capacity - sector) * SECTOR);
            if kind == IN {
                words().for_each(|at| put(at, !word));
            }
            let Completion { status, .. } = disk.raw(kind, sector, bytes, kind == IN)?;
            if status != 0 {
                return Err(Refusal::Wrong("I/O error: sector, status", sector, status.into()));
            }
            requests += 1;
            others += (at..at + bytes).step_by(8).filter(|&at| get::<u64>(at) != word).count();
        }
        println!("ok requests={requests} others={others}");
        Ok(())
    })
}
