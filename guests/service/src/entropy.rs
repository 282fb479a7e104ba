//! Randomness for the guests: ChaCha20, seeded from the board's entropy device: virtio (section 5.4) or [`rng200`].
//!
//! Guests get the generator's output and never a byte of a seed. Each mebibyte a new seed is asked for, and mixed with the
//! generator's own output, so that neither alone decides what follows. Without a first seed there is no generator.

mod rng200;

use crate::dma::{self, Arena};
use crate::{say, timer, transports};
use abi::plan::{Plan, Transports};
use alloc::boxed::Box;
use core::ptr::NonNull;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use rng200::Rng200;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::{DeviceType, Transport as _};

/// Elements of the device's queue.
const QUEUE: usize = 8;
/// The only queue.
const REQUESTS: u16 = 0;
/// Bytes of a seed.
const SEED: usize = 32;
/// Bytes of output between two seeds.
const BETWEEN_SEEDS: u64 = 1 << 20;
/// How long the first seed may take.
const PATIENCE_MS: u64 = 2000;

/// A seed, as far as it has come.
struct Seed {
    bytes: [u8; SEED],
    len: usize,
}

/// The board's source of entropy.
enum Source {
    Virtio(Box<Device>),
    Rng200(Rng200, Seed),
}

/// A virtio entropy device.
struct Device {
    transport: MmioTransport<'static>,
    queue: VirtQueue<Arena, QUEUE>,
    buffer: NonNull<u8>,
    /// The request under way.
    token: Option<u16>,
    seed: Seed,
}

/// The generator.
pub struct Entropy {
    source: Source,
    generator: ChaCha20Rng,
    /// Bytes until a new seed is asked for.
    left: u64,
}

impl Source {
    fn open(plan: &Plan) -> Option<Self> {
        if let Some(device) = Device::open(plan.transports) {
            return Some(Self::Virtio(Box::new(device)));
        }
        let soc = plan.soc.as_ref()?;
        Some(Self::Rng200(Rng200::open(soc)?, Seed { bytes: [0; SEED], len: 0 }))
    }

    /// The seed, once it is complete; asks for what is missing.
    fn poll(&mut self) -> Option<[u8; SEED]> {
        let (source, Seed { bytes, len }) = match self {
            Self::Virtio(device) => return device.poll(),
            Self::Rng200(source, seed) => (source, seed),
        };
        while let Some(place) = bytes.get_mut(*len..).and_then(|free| free.first_chunk_mut()) {
            *place = source.take()?.to_le_bytes();
            *len += place.len();
        }
        *len = 0;
        Some(core::mem::replace(bytes, [0; SEED]))
    }
}

impl Device {
    fn open(row: Option<Transports>) -> Option<Self> {
        let (place, mut transport) = transports::devices(row, DeviceType::EntropySource).next()?;
        let started = transports::negotiate(&mut transport, 0).and_then(|_| {
            let queue = VirtQueue::new(&mut transport, REQUESTS, false, false).ok()?;
            Some((queue, dma::allocate(1)?))
        });
        let Some((mut queue, buffer)) = started else {
            say!("error: the entropy device at transport {} is not used: it cannot be set up", place.number);
            return None;
        };
        transport.finish_init();
        queue.set_dev_notify(false);
        let seed = Seed { bytes: [0; SEED], len: 0 };
        Some(Self { transport, queue, buffer, token: None, seed })
    }

    /// The part of the buffer that the device is asked to fill.
    fn wanted(&self) -> &'static mut [u8] {
        let wanted = (SEED - self.seed.len).max(1);
        // SAFETY: the buffer is a page of the arena. The slice brings its address to the queue, which does not look into it;
        // each call's slice is gone before the next.
        unsafe { core::slice::from_raw_parts_mut(self.buffer.as_ptr(), wanted) }
    }

    fn ask(&mut self) {
        let mut outputs = [self.wanted()];
        // SAFETY: the buffer stays, and is not looked into until the request is complete.
        self.token = unsafe { self.queue.add(&[], &mut outputs) }.ok();
        crate::arch::insn::dmb_ish();
        self.transport.notify(REQUESTS);
    }

    /// The seed, once it is complete; asks for what is missing.
    fn poll(&mut self) -> Option<[u8; SEED]> {
        let Some(token) = self.token else {
            self.ask();
            return None;
        };
        if self.queue.peek_used() != Some(token) {
            return None;
        }
        let mut outputs = [self.wanted()];
        // SAFETY: the buffer that was added with this token.
        let count = unsafe { self.queue.pop_used(token, &[], &mut outputs) }.unwrap_or(0) as usize;
        self.token = None;
        let Seed { bytes, len } = &mut self.seed;
        let free = bytes.get_mut(*len..).unwrap_or_default();
        let count = count.min(free.len());
        for (offset, place) in free.iter_mut().take(count).enumerate() {
            // SAFETY: inside the page; no request is under way.
            let byte = unsafe { self.buffer.add(offset) };
            // SAFETY: as above.
            *place = unsafe { byte.read_volatile() };
            // SAFETY: as above. The seed stays nowhere else.
            unsafe { byte.write_volatile(0) };
        }
        *len += count;
        if *len < SEED {
            return None;
        }
        *len = 0;
        Some(core::mem::replace(bytes, [0; SEED]))
    }
}

impl Entropy {
    /// Waits for the first seed. `None`: there is no device, or it gives none.
    pub fn start(plan: &Plan) -> Option<Self> {
        let mut source = Source::open(plan)?;
        let until = timer::now() + timer::ticks(PATIENCE_MS);
        while timer::now() < until {
            if let Some(seed) = source.poll() {
                return Some(Self { source, generator: ChaCha20Rng::from_seed(seed), left: BETWEEN_SEEDS });
            }
        }
        say!("error: the board's entropy device gives no seed");
        None
    }

    /// Fills with random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.generator.fill_bytes(bytes);
        self.left = self.left.saturating_sub(bytes.len() as u64);
    }

    /// Seeds anew when it is time; never waits.
    #[inline]
    pub fn turn(&mut self) {
        if self.left == 0 {
            self.seed();
        }
    }

    #[cold]
    fn seed(&mut self) {
        if let Some(fresh) = self.source.poll() {
            let mut seed = [0; SEED];
            self.generator.fill_bytes(&mut seed);
            seed.iter_mut().zip(fresh).for_each(|(byte, fresh)| *byte ^= fresh);
            self.generator = ChaCha20Rng::from_seed(seed);
            self.left = BETWEEN_SEEDS;
        }
    }
}
