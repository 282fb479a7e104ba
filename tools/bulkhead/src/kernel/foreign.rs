//! Files that would be taken for raw binaries but are something else, named by their magic.

use super::{Refusal, u32_at};

/// What `file` is, if it is not for this machine.
pub fn name(file: &[u8]) -> Option<Refusal> {
    let magic = |at: usize, bytes: &[u8]| file.get(at..at + bytes.len()) == Some(bytes);
    let arm64 = magic(56, &abi::bundle::IMAGE_MAGIC);
    let found = if magic(0x202, b"HdrS") {
        ("is a bzImage: a Linux kernel for x86", "give it an arm64 `Image`")
    } else if u32_at(file, 0x24) == Some(0x016f_2818) {
        ("is a zImage: a Linux kernel for 32-bit Arm", "give it an arm64 `Image`")
    } else if magic(0x30, b"RISCV\0\0\0") || magic(0x38, b"RSC\x05") {
        ("is a Linux kernel for RISC-V", "give it an arm64 `Image`")
    } else if magic(0, &[0x27, 0x05, 0x19, 0x56]) {
        ("is a uImage: a kernel in U-Boot's old wrapper", "give it what is inside: `tail -c +65 uImage > Image`")
    } else if magic(0, &[0xd0, 0x0d, 0xfe, 0xed]) {
        (
            "is a device tree or a FIT image",
            "give it the kernel: `dumpimage -T flat_dt -p 0 -o Image FILE` takes it out",
        )
    } else if magic(0, b"070701") || magic(0, b"070702") {
        ("is a cpio archive: an initrd", "name it with `initrd`")
    } else if magic(0, b"\x02\xb0\xad\x1b") {
        ("is a Multiboot kernel for x86", "give it an arm64 kernel")
    } else if magic(0, b"#!") {
        ("is a script", "give it a kernel")
    } else if !arm64 && pe_machine(file).is_some() {
        return pe_machine(file).map(efi);
    } else {
        return None;
    };
    Some(Refusal::new(found.0, found.1))
}

/// The machine of a PE file: its offset stands at 0x3c, the machine behind "PE\0\0".
fn pe_machine(file: &[u8]) -> Option<u16> {
    if !file.starts_with(b"MZ") {
        return None;
    }
    let header = u32_at(file, 0x3c)? as usize;
    let machine = file.get(header..header.checked_add(6)?)?.strip_prefix(b"PE\0\0")?;
    Some(u16::from_le_bytes(machine.try_into().ok()?))
}

fn efi(machine: u16) -> Refusal {
    let name = match machine {
        0xaa64 => "AArch64",
        0x8664 => "x86-64",
        0x014c => "32-bit x86",
        0x01c2 | 0x01c4 => "32-bit Arm",
        0x5064 => "64-bit RISC-V",
        _ => "another machine",
    };
    Refusal::new(format!("is an EFI application for {name}"), "partitions have no UEFI: give it an arm64 `Image`")
}
