//! Rings and survivor records of a hostile driver: the body of crates/virtio's property test, on a fuzzer's bytes.
#![no_main]

#[path = "../../crates/virtio/tests/hostile/feed.rs"]
mod feed;
#[path = "../../crates/virtio/tests/hostile/memory.rs"]
mod memory;
#[path = "../../crates/virtio/tests/hostile/ring.rs"]
mod ring;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ring::run(bytes));
