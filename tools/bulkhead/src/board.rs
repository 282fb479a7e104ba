//! The boards that this tool knows, by the names that system files use.

use bcm2711::{Block, Kept, Signal};
use manifest::Board;

/// A board and its EL2 binary.
#[derive(Debug)]
pub struct Platform {
    /// The board's facts.
    pub board: &'static Board,
    /// The cargo package of its EL2 binary.
    pub package: &'static str,
    /// The name of that binary.
    pub binary: &'static str,
    /// What those of the board's devices are made of that hold several.
    pub blocks: &'static [Block],
    /// Devices that no partition gets, and why.
    pub kept: &'static [Kept],
    /// What its pins can do.
    pub signals: &'static [Signal],
}

/// Every board.
pub const PLATFORMS: [Platform; 2] = [
    Platform {
        board: &platform_qemu_virt::BOARD,
        package: "platform-qemu-virt",
        binary: "bulkhead-qemu-virt",
        blocks: &[],
        kept: &[],
        signals: &[],
    },
    Platform {
        board: &platform_rpi4::BOARD,
        package: "platform-rpi4",
        binary: "bulkhead-rpi4",
        blocks: bcm2711::BLOCKS,
        kept: bcm2711::KEPT,
        signals: bcm2711::SIGNALS,
    },
];

/// The board with this name.
pub fn find(name: &str) -> Option<&'static Platform> {
    PLATFORMS.iter().find(|platform| platform.board.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use manifest::Machine;

    #[test]
    fn the_facts_of_every_board_are_sound() {
        for Platform { board, blocks, .. } in &PLATFORMS {
            let machine = board.default_machine();
            assert!(board.sizes.is_sorted(), "{}: sizes", board.name);
            let largest = Machine { memory: u64::MAX, ..machine };
            assert_eq!(board.ram_banks(largest).count(), board.ram.len(), "{}: an empty RAM bank", board.name);
            let banks: Vec<_> = board.ram_banks(machine).collect();
            assert!(banks.is_sorted_by(|a, b| a.end() <= b.start()), "{}: RAM banks overlap", board.name);
            assert!(banks.iter().any(|bank| bank.contains(board.load_address)), "{}: load address", board.name);
            assert!(board.trees(machine).next().is_some(), "{}: no GIC", board.name);
            for device in board.devices {
                let registers = device.region().expect("a device has registers");
                assert!(registers.is_aligned(addr::PAGE_SIZE), "{}", device.name);
                assert!(!banks.iter().any(|bank| bank.overlaps(&registers)), "{}", device.name);
            }
            for block in *blocks {
                let (_, device) = board.device(block.device).expect("a block is a part of a device");
                let registers = addr::Region::new(block.start, block.size).expect("a block has registers");
                assert!(device.region().is_some_and(|all| all.covers(&registers)), "{} in {}", block.name, device.name);
            }
            let virtio = board.device(manifest::VIRTIO).map(|(_, device)| device);
            assert_eq!(virtio.is_some(), board.transports.is_some(), "{}: transports are one device", board.name);
            if let Some((device, transports)) = virtio.zip(board.transports) {
                assert!(device.is_dma_master && device.start == transports.start, "{}", board.name);
                assert_eq!(device.size, u64::from(transports.stride) * u64::from(transports.count), "{}", board.name);
                let intids = (0..transports.count).map(|n| abi::IntId::new(transports.first.number() + n));
                assert!(device.intids.iter().copied().eq(intids), "{}: an interrupt for each", board.name);
            }
        }
    }

    /// Owners are compared in pairs: that is enough where what shares with the same shares with one another.
    #[test]
    fn devices_form_groups() {
        for Platform { board, .. } in &PLATFORMS {
            for one in board.devices {
                for two in board.devices.iter().filter(|two| one.shares_with(two)) {
                    let others = board.devices.iter().filter(|three| two.shares_with(three));
                    others.for_each(|three| {
                        assert!(one.shares_with(three), "{}: {} {} {}", board.name, one.name, two.name, three.name)
                    });
                }
            }
        }
    }
}
