//! Each format and each container, made here byte by byte.

use super::*;
use std::io::Write;
use std::process::{Command, Stdio};

#[path = "../../tests/linux/image.rs"]
mod linux;

/// An arm64 Image of 4 KiB.
fn image(text_offset: u64, image_size: u64, flags: u64) -> Vec<u8> {
    let mut file = linux::image(4096, image_size);
    file[8..16].copy_from_slice(&text_offset.to_le_bytes());
    file[24..32].copy_from_slice(&flags.to_le_bytes());
    file
}

/// An ELF file: class and byte order as in e_ident, and segments of (virtual, physical, bytes, memory).
fn elf(class: u8, order: u8, machine: u16, entry: u64, segments: &[(u64, u64, &[u8], u64)]) -> Vec<u8> {
    let mut file = vec![0; 64 + 56 * segments.len()];
    file[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, order, 1]);
    file[16] = 2;
    let machine = if order == 2 { machine.to_be_bytes() } else { machine.to_le_bytes() };
    file[18..20].copy_from_slice(&machine);
    file[24..32].copy_from_slice(&entry.to_le_bytes());
    file[32] = 64;
    file[54] = 56;
    file[56] = segments.len() as u8;
    for (n, (address, physical, bytes, memory)) in segments.iter().enumerate() {
        let words = [file.len() as u64, *address, *physical, bytes.len() as u64, *memory, 4096];
        let header = &mut file[64 + 56 * n..];
        header[0] = 1;
        header[4] = 5;
        words.iter().enumerate().for_each(|(w, word)| header[8 + 8 * w..][..8].copy_from_slice(&word.to_le_bytes()));
        file.extend(*bytes);
    }
    file
}

/// `file` through a compressor of the host, which the developer's setup has.
fn packed(command: &[&str], file: &[u8]) -> Vec<u8> {
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", command[0]));
    child.stdin.take().unwrap().write_all(file).unwrap();
    child.wait_with_output().unwrap().stdout
}

fn gzip(file: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(file).unwrap();
    encoder.finish().unwrap()
}

fn zstd(file: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(file, ruzstd::encoding::CompressionLevel::Fastest)
}

/// `payload` in an EFI zboot image.
fn zboot(kind: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 64];
    file[..2].copy_from_slice(b"MZ");
    file[4..8].copy_from_slice(b"zimg");
    file[8..12].copy_from_slice(&64u32.to_le_bytes());
    file[12..16].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    file[24..24 + kind.len()].copy_from_slice(kind);
    file.extend(payload);
    file
}

#[track_caller]
fn refused(file: Vec<u8>, words: &str) {
    let refusal = Kernel::read(file).unwrap_err().to_string();
    assert!(refusal.contains(words), "{refusal}");
}

#[test]
fn an_image_keeps_its_header() {
    let Ok(Kernel::Image { text_offset, image_size, bytes }) = Kernel::read(image(0x8_0000, 0x2_0000, 0xa)) else {
        panic!("no Image")
    };
    assert_eq!((text_offset, image_size, bytes.len()), (0x8_0000, 0x2_0000, 4096));
}

#[test]
fn an_image_without_a_size_is_an_old_one() {
    let kernel = Kernel::read(image(0, 0, 0)).unwrap();
    assert!(matches!(kernel, Kernel::Image { text_offset: 0x8_0000, image_size: 4096, .. }));
}

#[test]
fn a_big_endian_or_damaged_image_is_refused() {
    refused(image(0, 4096, 1), "big-endian");
    refused(image(u64::MAX, 4096, 0), "damaged Image header");
    refused(image(0, u64::MAX, 0), "damaged Image header");
}

#[test]
fn an_elf_is_loaded_at_physical_addresses_and_entered_physically() {
    let (virt, phys) = (0xffff_0000_4000_0000, 0x4000_0000);
    let file = elf(2, 1, 183, virt + 4, &[(virt, phys, &[1; 8], 24), (virt + 4096, phys + 4096, &[], 16)]);
    let Ok(Kernel::Elf { entry, segments, is_relocatable: false }) = Kernel::read(file) else { panic!("no ELF") };
    assert_eq!(entry, phys + 4);
    let shape: Vec<_> = segments.iter().map(|s| (s.address, s.bytes.len(), s.zeroed)).collect();
    assert_eq!(shape, [(phys, 8, 16), (phys + 4096, 0, 16)]);
}

#[test]
fn a_position_independent_executable_moves_as_a_whole() {
    let mut file = elf(2, 1, 183, 0x40, &[(0, 0, &[1; 8], 8), (0x1000, 0x1000, &[2; 4], 0x900)]);
    file[16] = 3;
    let kernel = Kernel::read(file).unwrap();
    let Some(Kernel::Elf { entry, segments, .. }) = kernel.at(0x7000_0000) else { panic!("it does not move") };
    assert_eq!(entry, 0x7000_0040);
    let shape: Vec<_> = segments.iter().map(|s| (s.address, s.bytes.len(), s.zeroed)).collect();
    assert_eq!(shape, [(0x7000_0000, 8, 0), (0x7000_1000, 4, 0x8fc)]);
    assert_eq!(kernel.at(u64::MAX - 0x1000 + 1), None);
    let fixed = Kernel::read(elf(2, 1, 183, 0, &[(0, 0, &[1; 8], 8)])).unwrap();
    assert_eq!(fixed.at(0x7000_0000), None);
}

#[test]
fn an_elf_for_another_machine_is_named() {
    let segment: &[(u64, u64, &[u8], u64)] = &[(0, 0, &[1; 8], 8)];
    for (class, order, machine, words) in [
        (2, 1, 62, "x86-64"),
        (1, 1, 3, "32-bit x86"),
        (1, 1, 40, "32-bit Arm"),
        (2, 1, 243, "64-bit RISC-V"),
        (1, 1, 243, "32-bit RISC-V"),
        (2, 2, 183, "big-endian AArch64"),
        (1, 1, 183, "32-bit ELF"),
        (2, 2, 22, "ELF machine 22"),
    ] {
        refused(elf(class, order, machine, 0, segment), words);
    }
}

#[test]
fn a_damaged_elf_is_refused() {
    let good = elf(2, 1, 183, 0x4000_0000, &[(0x4000_0000, 0x4000_0000, &[1; 8], 8)]);
    for length in 20..good.len() {
        assert!(Kernel::read(good[..length].to_vec()).is_err(), "cut at {length}");
    }
    refused(elf(2, 1, 183, 0, &[]), "nothing to load");
    refused(elf(2, 1, 183, 0, &[(0, 0, &[1; 8], 4)]), "a segment's sizes");
    refused(elf(2, 1, 183, 0, &[(0, u64::MAX, &[1; 8], 8)]), "a segment's sizes");
    let segments: Vec<(u64, u64, &[u8], u64)> = (0..10).map(|n| (n * 16, n * 16, &[1u8; 8][..], 8)).collect();
    refused(elf(2, 1, 183, 0, &segments), "10 segments");
}

#[test]
fn anything_else_is_a_raw_binary() {
    let file = vec![0x14; 100];
    assert_eq!(Kernel::read(file.clone()), Ok(Kernel::Raw { bytes: file.into() }));
    assert!(matches!(Kernel::read(vec![1]), Ok(Kernel::Raw { .. })));
}

#[test]
fn foreign_files_are_named() {
    let with = |at: usize, magic: &[u8]| {
        let mut file = vec![0; 1024];
        file[at..at + magic.len()].copy_from_slice(magic);
        file
    };
    refused(with(0x202, b"HdrS"), "bzImage");
    refused(with(0x24, &0x016f_2818u32.to_le_bytes()), "zImage: a Linux kernel for 32-bit Arm");
    refused(with(0x30, b"RISCV\0\0\0"), "RISC-V");
    refused(with(0, &[0x27, 0x05, 0x19, 0x56]), "uImage");
    refused(with(0, &[0xd0, 0x0d, 0xfe, 0xed]), "FIT image");
    refused(with(0, b"070701"), "initrd");
    refused(with(0, b"#!/bin/sh"), "script");
    refused(vec![], "empty file");
    let mut efi = with(0, b"MZ");
    efi[0x3c] = 0x80;
    efi[0x80..0x86].copy_from_slice(b"PE\0\0\x64\x86");
    refused(efi, "EFI application for x86-64");
}

#[test]
fn containers_are_unpacked() {
    let kernel = image(0, 4096, 0);
    let plain = Kernel::read(kernel.clone());
    let gz = gzip(&kernel);
    // An xz kernel of Linux 6.13 and later passes through the Arm64 filter.
    let xz = packed(&["xz", "--check=crc32", "--arm64", "--lzma2"], &kernel);
    let zstd = zstd(&kernel);
    assert_eq!(Kernel::read(packed(&["xz"], &kernel)), plain);
    for (kind, file) in [(&b"gzip"[..], &gz), (b"xzkern", &xz), (b"zstd22", &zstd)] {
        assert_eq!(Kernel::read(file.clone()), plain);
        assert_eq!(Kernel::read(zboot(kind, file)), plain);
    }
    assert_eq!(Kernel::read(gzip(&zboot(b"gzip", &gz))), plain);
}

#[test]
fn damaged_containers_are_refused() {
    let gz = gzip(&image(0, 4096, 0));
    refused(gz[..gz.len() / 2].to_vec(), "unpacking gzip failed");
    refused(packed(&["xz"], &[1; 100])[..20].to_vec(), "unpacking xz failed");
    refused(zstd(&[1; 100])[..8].to_vec(), "unpacking zstd failed");
    refused(zboot(b"gzip", &[0; 10]), "its payload is not gzip");
    refused(zboot(b"lzo", &[0; 10]), "packed with 'lzo'");
    refused(zboot(b"gzip", &gz)[..80].to_vec(), "ends behind the file");
    refused(b"BZh91AY".to_vec(), "bunzip2");
    let nested = (0..5).fold(image(0, 4096, 0), |file, _| gzip(&file));
    refused(nested, "again and again");
}
