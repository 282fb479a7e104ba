//! The QEMU arguments for the machine that a system file is for.

use crate::file::{DiskImage, PortFile, SystemFile, protocol_name};
use addr::ByteSize;
use anyhow::{Result, ensure};
use manifest::{Board, GICV2_CORES};
use std::path::Path;

/// What the user chose beside the system file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice<'a> {
    /// GIC version; 3 where the board has a choice.
    pub gic: Option<u8>,
    /// The image to boot.
    pub image: Option<&'a Path>,
    /// The firmware's device tree, for boards where QEMU makes none.
    pub dtb: Option<&'a Path>,
}

/// The arguments behind `qemu-system-aarch64` for `file`, whose paths are relative to `folder`.
pub fn arguments(board: &Board, file: &SystemFile, folder: &Path, choice: Choice<'_>) -> Result<Vec<String>> {
    let machine = file.machine(board);
    let has = |version| match version {
        2 => board.gic.v2.is_some() && machine.cores <= GICV2_CORES,
        _ => board.gic.v3.is_some(),
    };
    let gic = choice.gic.unwrap_or(if board.gic.v3.is_some() { 3 } else { 2 });
    ensure!(has(gic), "board '{}' with {} cores has no GICv{gic}", board.name, machine.cores);
    let mut arguments: Vec<String> = Vec::new();
    if board.is_variable {
        arguments.extend(["-M".into(), format!("virt,virtualization=on,gic-version={gic}")]);
        arguments.extend(["-cpu".into(), "cortex-a72".into(), "-smp".into(), machine.cores.to_string()]);
        arguments.extend(["-m".into(), ByteSize(machine.memory).to_string()]);
    } else {
        arguments.extend(["-M".into(), "raspi4b".into()]);
    }
    arguments.extend(virtio(file, folder));
    arguments.push("-nographic".into());
    for (option, path) in [("-dtb", choice.dtb), ("-kernel", choice.image)] {
        if let Some(path) = path {
            arguments.extend([option.into(), path.display().to_string()]);
        }
    }
    Ok(arguments)
}

/// The disks, what a service partition makes entropy from, and its way out.
fn virtio(file: &SystemFile, folder: &Path) -> Vec<String> {
    let mut arguments = Vec::new();
    let disks = file.disks.value().map_or(&[][..], Vec::as_slice);
    let has_service = file.service.is_some();
    if has_service || !disks.is_empty() {
        // Otherwise QEMU's transports are those of the draft before virtio 1.0.
        arguments.extend(["-global".into(), "virtio-mmio.force-legacy=false".into()]);
    }
    for (n, DiskImage { file, serial, .. }) in disks.iter().enumerate() {
        let drive = format!("if=none,file={},format=raw,id=d{n}", value(&path(folder, file)));
        let serial = value(serial.value().map_or("", String::as_str));
        let device = format!("virtio-blk-device,drive=d{n},serial={serial}");
        arguments.extend(["-drive".into(), drive, "-device".into(), device]);
    }
    if has_service {
        arguments.extend(["-device".into(), "virtio-rng-device".into()]);
    }
    if file.needs_uplink() {
        // QEMU hands a port of the host to the same port of the uplink, and the service partition that to the guest.
        let ports = file.partitions.iter().filter_map(|partition| partition.net.value()).flat_map(|net| &net.forward);
        let ports = ports.map(|(PortFile { protocol, outside, .. }, _)| {
            format!(",hostfwd={}:127.0.0.1:{outside}-:{outside}", protocol_name(*protocol))
        });
        let uplink = format!("user,id=uplink{}", ports.collect::<String>());
        arguments.extend(["-netdev".into(), uplink, "-device".into(), "virtio-net-device,netdev=uplink".into()]);
    }
    arguments
}

/// A path that QEMU does not take for a protocol, such as `nbd:...`.
fn path(folder: &Path, file: &str) -> String {
    let path = folder.join(file).display().to_string();
    let is_plain = path.split('/').next().is_none_or(|first| !first.contains(':'));
    if is_plain { path } else { format!("./{path}") }
}

/// A value in one of QEMU's lists of options, where two commas stand for one.
fn value(text: &str) -> String {
    text.replace(',', ",,")
}

/// `argument` as a shell reads it back.
pub fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=+,./:@%".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The arguments for a system file that begins with `head`, in a folder.
    fn line(head: &str, folder: &str, choice: Choice<'_>) -> String {
        let mut found = Vec::new();
        let file = crate::file::parse(head, &mut found);
        assert_eq!(found, []);
        let board = file.board.value().unwrap().board;
        arguments(board, &file, Path::new(folder), choice).unwrap().join(" ")
    }

    const QEMU: &str = "board = \"qemu-virt\"\n";

    #[test]
    fn the_demo_gets_the_line_of_the_readme() {
        assert_eq!(
            line(QEMU, "", Choice::default()),
            "-M virt,virtualization=on,gic-version=3 -cpu cortex-a72 -smp 4 -m 2G -nographic"
        );
        let choice = Choice { gic: Some(2), image: Some(Path::new("a b.img")), ..Choice::default() };
        assert_eq!(
            line(&format!("{QEMU}machine = {{ cores = 8, memory = \"1536M\" }}\n"), "", choice),
            "-M virt,virtualization=on,gic-version=2 -cpu cortex-a72 -smp 8 -m 1536M -nographic -kernel a b.img"
        );
    }

    #[test]
    fn disks_and_entropy_are_attached() {
        let head = format!(
            "{QEMU}machine = {{ disks = [\"../build/demo disk.img\", {{ file = \"/a,b.img\", serial = \"s,t\" }}] }}\n\
             [service]\ncores = [0]\n"
        );
        let all = line(&head, "systems", Choice::default());
        let (_, virtio) = all.split_once("-m 2G ").unwrap();
        assert_eq!(
            virtio,
            "-global virtio-mmio.force-legacy=false \
             -drive if=none,file=systems/../build/demo disk.img,format=raw,id=d0 \
             -device virtio-blk-device,drive=d0,serial=demo disk \
             -drive if=none,file=/a,,b.img,format=raw,id=d1 -device virtio-blk-device,drive=d1,serial=s,,t \
             -device virtio-rng-device -nographic"
        );
        let entropy = line(&format!("{QEMU}[service]\ncores = [0]\n"), "", Choice::default());
        assert!(entropy.contains("-global virtio-mmio.force-legacy=false -device virtio-rng-device"), "{entropy}");
    }

    #[test]
    fn the_uplink_gets_the_forwarded_ports_of_the_host() {
        let service = format!("{QEMU}[service]\ncores = [0]\n[network]\n");
        let guest = |net: &str| {
            let keys = "cores = [1]\nmemory = \"64M\"\nkernel = \"Image\"\n";
            format!("[[partition]]\nname = \"linux\"\n{keys}net = {net}\n")
        };
        let of = |text: String| line(&text, "", Choice::default());
        let two = [guest("{ forward = [\"tcp:2222:22\", \"udp:5353:53\"] }"), guest("true")].concat();
        let all = of(service.clone() + &two);
        let (_, virtio) = all.split_once("-device virtio-rng-device ").unwrap();
        assert_eq!(
            virtio,
            "-netdev user,id=uplink,hostfwd=tcp:127.0.0.1:2222-:2222,hostfwd=udp:127.0.0.1:5353-:5353 \
             -device virtio-net-device,netdev=uplink -nographic"
        );
        let plain = of(service.clone() + &guest("true"));
        assert!(plain.contains("-netdev user,id=uplink -device virtio-net-device,netdev=uplink"), "{plain}");
        for none in [format!("{service}uplink = false\n{}", guest("true")), service.clone() + &guest("false")] {
            assert!(!of(none).contains("netdev"));
        }
    }

    #[test]
    fn a_file_name_is_no_protocol() {
        assert_eq!(path(Path::new(""), "nbd:1.img"), "./nbd:1.img");
        assert_eq!(path(Path::new("a"), "nbd:1.img"), "a/nbd:1.img");
        assert_eq!(path(Path::new("/a"), "x:y"), "/a/x:y");
    }

    #[test]
    fn a_raspberry_pi_has_its_own_machine() {
        let choice = Choice { dtb: Some(Path::new("pi.dtb")), ..Choice::default() };
        assert_eq!(line("board = \"rpi4\"\n", "", choice), "-M raspi4b -nographic -dtb pi.dtb");
    }

    #[test]
    fn a_gic_that_the_board_does_not_have_is_refused() {
        let refused = |head: &str, gic| {
            let file = crate::file::parse(head, &mut Vec::new());
            let choice = Choice { gic: Some(gic), ..Choice::default() };
            arguments(file.board.value().unwrap().board, &file, Path::new(""), choice).is_err()
        };
        assert!(refused(&format!("{QEMU}machine = {{ cores = 9 }}\n"), 2));
        assert!(refused("board = \"rpi4\"\n", 3));
    }

    #[test]
    fn paths_with_spaces_survive_a_shell() {
        assert_eq!(quoted("-m"), "-m");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
