//! One tiny bad system file per rule, and the exact words that `bulkhead check` says about it (promises B01 to B11, S04,
//! N08 to N11, P05 to P07).
//!
//! `BLESS=1 cargo test -p bulkhead` writes the words anew; read the difference before it is committed.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "gpt/image.rs"]
mod image;
#[path = "linux/image.rs"]
mod linux;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of bad files.
fn bad() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad")
}

/// A 64-bit ELF file with one segment of 16 bytes.
fn elf(machine: u8, address: u64) -> Vec<u8> {
    let mut file = vec![0; 64 + 56 + 16];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    file[16] = 2;
    file[18] = machine;
    file[20] = 1;
    file[24..32].copy_from_slice(&address.to_le_bytes());
    file[32] = 64;
    file[52] = 64;
    file[54] = 56;
    file[56] = 1;
    file[64] = 1;
    file[68] = 5;
    for (n, word) in [120, address, address, 16, 16, 4].into_iter().enumerate() {
        file[72 + n * 8..][..8].copy_from_slice(&u64::to_le_bytes(word));
    }
    file
}

/// The same, position-independent.
fn pie() -> Vec<u8> {
    let mut file = elf(183, 0);
    file[16] = 3;
    file
}

/// A card with a boot partition and one of a guest.
fn card() -> Vec<u8> {
    let mut image = vec![0; 64 << 10];
    for (entry, (kind, first, count)) in image[446..].chunks_exact_mut(16).zip([(0x0c, 8, 32u8), (0x83, 40, 32)]) {
        (entry[4], entry[8], entry[12]) = (kind, first, count);
    }
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    image
}

/// The same image with a wrong sum in both of its tables' headers.
fn damaged(mut image: Vec<u8>) -> Vec<u8> {
    let backup = image.len() - 512;
    image[512 + 16] ^= 1;
    image[backup + 16] ^= 1;
    image
}

/// The kernels and disks that the bad files name, and the bad file itself, in a folder of their own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    let mut bz_image = vec![0; 0x300];
    bz_image[0x202..0x206].copy_from_slice(b"HdrS");
    for (file, bytes) in [
        ("kernel.bin", vec![0x14; 64]),
        ("large.bin", vec![0x14; 2 << 20]),
        ("Image", linux::image(4096, 4096)),
        ("x86.elf", elf(62, 0x10_0000)),
        ("low.elf", elf(183, 0x8_0000)),
        ("bzImage", bz_image),
        ("service.elf", pie()),
        ("system.img", image::image(400, &[("rootfs-a", 64), ("rootfs-b", 64), ("data", 64)])),
        ("more.img", image::image(400, &[("data", 64), ("logs", 64)])),
        ("plain.img", vec![0; 64 << 10]),
        ("odd.img", vec![0; 1000]),
        ("twice.img", image::image(400, &[("home", 64), ("home", 64)])),
        ("card.img", card()),
        ("spare.img", card()),
        ("damaged.img", damaged(image::image(400, &[("logs", 64)]))),
    ] {
        fs::write(folder.join(file), bytes).unwrap();
    }
    fs::copy(bad().join(name).with_extension("toml"), folder.join(name).with_extension("toml")).unwrap();
    folder
}

/// Checks the bad file `name` and compares what is said with what is expected.
#[track_caller]
fn refused(name: &str) {
    let file = format!("{name}.toml");
    let output =
        Command::new(env!("CARGO_BIN_EXE_bulkhead")).current_dir(folder(name)).args(["check", &file]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    let expected = bad().join(name).with_extension("stderr");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&expected, &said).unwrap();
    }
    let expected = fs::read_to_string(&expected).unwrap_or_default();
    assert!(said == expected, "expected:\n{expected}\nsaid:\n{said}");
}

macro_rules! refusals {
    ($($name:ident)*) => {
        $(#[test] fn $name() { refused(stringify!($name)); })*

        #[test]
        fn every_bad_file_has_a_test() {
            let tested = [$(stringify!($name)),*];
            for file in fs::read_dir(bad()).unwrap() {
                let path = file.unwrap().path();
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                assert!(tested.contains(&name.as_str()), "{name} has no test");
            }
        }
    };
}

refusals! {
    b01_unknown_key
    b01_unknown_board
    b02_core_owned_twice
    b02_core_listed_twice
    b03_core_absent
    b04_no_cores
    b05_ram_too_small
    b05_ram_too_large
    b05_ram_touches_the_hypervisor
    b06_pinned_ranges_overlap
    b07_kernel_missing
    b07_wrong_architecture
    b07_kernel_larger_than_ram
    b08_device_owned_twice
    b09_duplicate_names
    b10_bad_size
    b11_two_mistakes
    empty
    forms
    machine
    misplaced
    syntax
    life_key_misspelt
    life_again
    life_panic
    p05_no_room_on_this_size
    p05_no_such_board
    p05_size
    restart_limit_form
    restart_limit_count
    restart_limit_window
    restart_backoff_form
    restart_backoff_long
    watchdog_form
    watchdog_short
    watchdog_covered
    s04_image_missing
    s04_label_twice
    s04_label_unknown
    s04_tables
    s04_too_small
    s04_used_twice
    disk_forms
    disks_forms
    disks_on_a_pi
    mbr_forms
    mbr_of_images
    mbr_of_two_images
    service_core_owned_twice
    service_devices
    service_forms
    service_kernel
    service_list
    service_missing
    service_name
    service_twice
    virtio_of_one
    virtio_of_all
    n08_io_forms
    n08_window_bootargs
    n08_window_crowded
    n08_window_identity
    n08_window_kernel
    n08_window_memory
    n08_window_no_service
    n08_window_of_nothing
    n08_window_size
    n08_window_takes_all
    n08_window_without_io
    n09_address_for_nobody
    n09_address_forms
    n09_address_twice
    n09_bandwidth
    n09_iops
    n09_mac_forms
    n09_mac_twice
    n09_no_address_left
    n09_no_service
    n09_no_uplink
    n09_port_count
    n09_port_forms
    n09_port_of_the_service
    n09_port_twice
    n09_subnet_form
    n09_subnet_multicast
    n09_subnet_prefix
    n09_subnet_start
    n09_subnet_words
    n10_forms
    n10_no_service
    p06_dma_master
    p06_dma_identity
    p06_dma_restart
    p07_group_page
    p07_group_interrupt
    p07_group_of_the_hypervisor
    p07_kept
    p07_block_twice
    p07_pin_taken
    p07_pin_numbers
    p07_pin_functions
    p07_pin_device
    p07_pin_line_twice
    p07_pin_no_service
    p07_pin_crowd
    p07_pin_forms
    p07_pins_elsewhere
    p07_pwm_no_service
    n11_channel_count
    n11_channel_ends
    n11_channel_forms
    n11_channel_list
    n11_channel_no_service
    n11_channel_sockets
    n11_channel_twice
    net_forms
    net_on_a_pi
    network_forms
    network_list
}
