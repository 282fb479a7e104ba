//! Channels: their memory, their ends, and where the guests see them.

use super::*;
use abi::PartitionId;

fn channel(pa: u64, ends: [(u8, u8); 2]) -> Channel {
    let ends = ends.map(|(n, user)| End { partition: PartitionId::new(n), user: PartitionId::new(user) });
    Channel { start: Pa::new(pa), pages: 16, ends }
}

/// The messages about a sound system with a service partition and with these channels.
fn with(channels: &[Channel], change: impl FnOnce(&mut System)) -> std::vec::Vec<std::string::String> {
    let mut system = served();
    system.channels = channels.iter().copied().collect();
    system.pool = region(system.pool.start().as_u64(), pool_size(&system));
    change(&mut system);
    on(&BOARD, &system)
}

const PLAIN: [(u8, u8); 2] = [(0, 0), (1, 1)];
const AT: u64 = 0x5000_0000;

#[test]
fn plain_and_brokered_channels_are_accepted() {
    let channels = [channel(AT, PLAIN), channel(AT + (16 << 12), [(0, 2), (1, 1)])];
    assert_eq!(with(&channels, |_| ()), [""; 0]);
}

#[test]
fn ends_that_no_channel_can_have_are_refused() {
    let message = "channel 0 is not 8K to 1M, crosses a 2M boundary, or is not between two partitions of which at most \
                   one is served by the service partition: build the image again with `bulkhead build`";
    let ends = [
        [(0, 0), (0, 0)],
        [(0, 0), (2, 2)],
        [(2, 2), (1, 1)],
        [(0, 0), (9, 9)],
        [(0, 2), (1, 2)],
        [(0, 1), (1, 1)],
        [(0, 1), (1, 0)],
    ];
    for ends in ends {
        assert_eq!(with(&[channel(AT, ends)], |_| ()), [message], "{ends:?}");
    }
    for (at, pages) in [(AT, 0), (AT, 1), (AT, 257), (AT + (1 << 20), 257), (AT + (2 << 20) - 4096, 2)] {
        let odd = Channel { pages, ..channel(at, PLAIN) };
        assert_eq!(with(&[odd], |_| ()), [message], "{pages} pages at {at:#x}");
    }
    let mut system = sound();
    system.channels.push(channel(AT, [(0, 2), (1, 1)])).unwrap();
    assert_eq!(on(&BOARD, &system), [message], "a broker that is not there");
}

#[test]
fn memory_of_a_channel_is_nobody_elses() {
    let found = with(&[channel(0x6000_0000, PLAIN)], |_| ());
    let message = "RAM of partition 'linux' [0x6000_0000..0x6080_0000) overlaps memory of channel 0 \
                   [0x6000_0000..0x6001_0000): leave `memory_at` out, or pin it elsewhere: memory has exactly one owner";
    assert_eq!(found, [message]);
    let both = [channel(AT, PLAIN), channel(AT + 0x1000, PLAIN)];
    assert_eq!(with(&both, |_| ()).len(), 1);
    let message = "memory of channel 0 [0x9000_0000..0x9001_0000) is not all in the board's RAM: \
                   ask for less memory, or leave `memory_at` out";
    assert_eq!(with(&[channel(0x9000_0000, PLAIN)], |_| ()), [message]);
}

#[test]
fn a_channel_where_the_machine_has_something_else_is_refused() {
    let found = with(&[channel(AT, PLAIN)], |system| {
        let bank = &mut system.partitions[1].banks[0];
        *bank = Bank { ipa: Ipa::new(0x0b00_0000), pa: region(0x0b00_0000, 8 * M) };
    });
    let message = "partition 1 has RAM or a device where channel 0 would be: \
                   do without the channel, without `identity`, or without the device";
    assert!(found.contains(&message.to_string()), "{found:?}");
}
