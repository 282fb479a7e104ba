//! Requests of a hostile driver to a disk and an entropy device: the body of crates/virtio's property test, on a fuzzer's
//! bytes.
#![no_main]

#[path = "../../crates/virtio/tests/hostile/disk.rs"]
mod disk;
#[path = "../../crates/virtio/tests/hostile/feed.rs"]
mod feed;
#[path = "../../crates/virtio/tests/hostile/memory.rs"]
mod memory;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| disk::run(bytes));
