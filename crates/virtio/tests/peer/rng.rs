//! The driver for entropy devices gets what it asks for.

use crate::guest::Guest;
use crate::hal::GuestHal;
use crate::transport::Slot;
use virtio::{Chain, entropy};
use virtio_drivers::device::rng::VirtIORng;
use virtio_drivers::transport::DeviceType;

fn device() -> Slot {
    let (mut chain, mut next) = (Chain::new(), 0u8);
    let mut source = move |bytes: &mut [u8]| {
        for byte in bytes {
            next = next.wrapping_add(1);
            *byte = next;
        }
    };
    let work = move |_, queue: &mut virtio::Queue<'static>| {
        while let Some(head) = queue.pop(&Guest, &mut chain).expect("sound rings") {
            let written = entropy::fill(&Guest, &chain, &mut source).expect("the driver gives room");
            queue.push(&Guest, head, written).expect("it is in flight");
        }
    };
    Slot::new(DeviceType::EntropySource, entropy::FEATURES, Vec::new(), Box::new(work))
}

#[test]
fn the_driver_gets_random_bytes() {
    let mut rng = VirtIORng::<GuestHal, _>::new(device()).unwrap();
    let mut buffer = [0; 300];
    assert_eq!(rng.request_entropy(&mut buffer).unwrap(), 300);
    assert!(buffer.iter().zip((1..=255).cycle().chain([0])).take(255).all(|(byte, expected)| *byte == expected));
}

#[test]
fn the_driver_hears_that_it_got_less() {
    let mut rng = VirtIORng::<GuestHal, _>::new(device()).unwrap();
    let mut buffer = vec![0; 10_000];
    assert_eq!(rng.request_entropy(&mut buffer).unwrap(), entropy::MAX_BYTES as usize);
    assert!(buffer[entropy::MAX_BYTES as usize..].iter().all(|byte| *byte == 0));
}
