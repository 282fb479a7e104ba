//! The QEMU arguments for the machine that a system file is for.

use addr::ByteSize;
use anyhow::{Result, ensure};
use manifest::{Board, GICV2_CORES, Machine};
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

/// The arguments behind `qemu-system-aarch64`.
pub fn arguments(board: &Board, machine: Machine, choice: Choice<'_>) -> Result<Vec<String>> {
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
    arguments.push("-nographic".into());
    for (option, path) in [("-dtb", choice.dtb), ("-kernel", choice.image)] {
        if let Some(path) = path {
            arguments.extend([option.into(), path.display().to_string()]);
        }
    }
    Ok(arguments)
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

    fn line(board: &Board, machine: Machine, choice: Choice<'_>) -> String {
        arguments(board, machine, choice).unwrap().join(" ")
    }

    #[test]
    fn the_demo_gets_the_line_of_the_readme() {
        let board = &platform_qemu_virt::BOARD;
        assert_eq!(
            line(board, board.default_machine(), Choice::default()),
            "-M virt,virtualization=on,gic-version=3 -cpu cortex-a72 -smp 4 -m 2G -nographic"
        );
        let choice = Choice { gic: Some(2), image: Some(Path::new("a b.img")), ..Choice::default() };
        let machine = Machine { cores: 8, memory: 1536 << 20 };
        assert_eq!(
            line(board, machine, choice),
            "-M virt,virtualization=on,gic-version=2 -cpu cortex-a72 -smp 8 -m 1536M -nographic -kernel a b.img"
        );
    }

    #[test]
    fn a_raspberry_pi_has_its_own_machine() {
        let board = &platform_rpi4::BOARD;
        let choice = Choice { dtb: Some(Path::new("pi.dtb")), ..Choice::default() };
        assert_eq!(line(board, board.default_machine(), choice), "-M raspi4b -nographic -dtb pi.dtb");
    }

    #[test]
    fn a_gic_that_the_board_does_not_have_is_refused() {
        let board = &platform_qemu_virt::BOARD;
        let choice = Choice { gic: Some(2), ..Choice::default() };
        assert!(arguments(board, Machine { cores: 9, memory: 2 << 30 }, choice).is_err());
        let choice = Choice { gic: Some(3), ..Choice::default() };
        assert!(arguments(&platform_rpi4::BOARD, platform_rpi4::BOARD.default_machine(), choice).is_err());
    }

    #[test]
    fn paths_with_spaces_survive_a_shell() {
        assert_eq!(quoted("-m"), "-m");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
