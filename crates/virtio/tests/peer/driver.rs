//! [`Driver`]: a driver's queue with the requests that it waits for, and what they must come to.
//!
//! A request is a few buffers of text and a few to be answered in. The answer depends on the text, so a device that mixes up
//! two requests is found out.

use crate::hal::GuestHal;
use crate::transport::Slot;
use virtio::{Chain, Features, GuestMemory, Rings, Segment};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::DeviceType;

/// What the driver asked for and did not get yet.
struct Pending {
    token: u16,
    inputs: Vec<Vec<u8>>,
    outputs: Vec<Vec<u8>>,
}

/// A driver's queue of `SIZE`.
pub struct Driver<const SIZE: usize> {
    pub queue: VirtQueue<GuestHal, SIZE>,
    pub rings: Rings,
    pending: Vec<Pending>,
    number: u8,
    /// How many requests were answered.
    pub answered: usize,
}

impl<const SIZE: usize> Driver<SIZE> {
    pub fn new(features: Features) -> Self {
        let mut slot = Slot::new(DeviceType::Network, 0, Vec::new(), Box::new(|_, _| {}));
        let queue = VirtQueue::new(&mut slot, 0, features.indirect, features.event_idx).expect("there is RAM");
        let rings = slot.rings[0].expect("it was set up");
        Self { queue, rings, pending: Vec::new(), number: 0, answered: 0 }
    }
    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Offers a request of buffers with these lengths, if the queue has room.
    pub fn add(&mut self, inputs: &[usize], outputs: &[usize]) -> bool {
        self.number = self.number.wrapping_add(1);
        let number = self.number;
        let inputs: Vec<Vec<u8>> = inputs.iter().map(|len| vec![number; *len]).collect();
        let mut outputs: Vec<Vec<u8>> = outputs.iter().map(|len| vec![0; *len]).collect();
        // SAFETY: the buffers live in `pending` until `reap` gets the same token, and only this driver has them. The
        // queue keeps no pointer to the lists of slices.
        let added = unsafe { self.queue.add(&slices(&inputs), &mut slices_mut(&mut outputs)) };
        let Ok(token) = added else { return false };
        assert!(self.pending.iter().all(|pending| pending.token != token));
        self.pending.push(Pending { token, inputs, outputs });
        true
    }

    /// Takes one used element, if there is one, and checks the answer.
    pub fn reap(&mut self) -> bool {
        let Some(token) = self.queue.peek_used() else { return false };
        let place = self.pending.iter().position(|pending| pending.token == token);
        let Pending { inputs, mut outputs, .. } =
            self.pending.swap_remove(place.expect("used once, and only if asked"));
        // SAFETY: these are the buffers that `add` gave the queue for this token.
        let used = unsafe { self.queue.pop_used(token, &slices(&inputs), &mut slices_mut(&mut outputs)) };
        let room: usize = outputs.iter().map(Vec::len).sum();
        assert_eq!(used.expect("there is one") as usize, room);
        let expected = answer(&inputs.concat(), room);
        assert_eq!(outputs.concat(), expected);
        self.answered += 1;
        true
    }
}

/// What a device answers to a text, in so many bytes.
fn answer(text: &[u8], room: usize) -> Vec<u8> {
    let sum = text.iter().fold(text.len() as u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(*byte));
    (0..room).map(|index| sum.wrapping_add(index as u8)).collect()
}

/// Answers a chain; how many bytes were written.
pub fn carry_out(memory: &impl GuestMemory, chain: &Chain) -> u32 {
    let text: Vec<u8> = chain.readable().iter().flat_map(|segment| text_of(memory, segment)).collect();
    let answer = answer(&text, chain.writable_bytes() as usize);
    let mut rest = answer.as_slice();
    for segment in chain.writable() {
        let (part, behind) = rest.split_at(segment.bytes as usize);
        memory.write(segment.at, part).expect("it was found in RAM");
        rest = behind;
    }
    chain.writable_bytes()
}

fn text_of(memory: &impl GuestMemory, segment: &Segment) -> Vec<u8> {
    let mut bytes = vec![0; segment.bytes as usize];
    memory.read(segment.at, &mut bytes).expect("it was found in RAM");
    bytes
}

fn slices(buffers: &[Vec<u8>]) -> Vec<&[u8]> {
    buffers.iter().map(Vec::as_slice).collect()
}
fn slices_mut(buffers: &mut [Vec<u8>]) -> Vec<&mut [u8]> {
    buffers.iter_mut().map(Vec::as_mut_slice).collect()
}
