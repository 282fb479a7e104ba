//! Rules about channels. That their memory is nobody else's is a rule of memory.rs.

use crate::{Board, Channel, End, Mistake, System};
use abi::channel::{MAX_SIZE, MIN_SIZE};
use abi::machine::{channel_intid, channel_ipa};
use addr::{BLOCK_2M, PAGE_SIZE};

/// Calls `report` for each rule about channels that is broken.
pub(super) fn validate(board: &Board, system: &System, report: &mut dyn FnMut(Mistake)) {
    for (channel, said) in system.channels.iter().enumerate() {
        if !is_sound(system, said) {
            report(Mistake::ChannelNumbers { channel });
            continue;
        }
        // A partition that the service stands in for has nothing of it in its machine.
        for end in said.ends.iter().filter(|end| !end.is_brokered()) {
            let size = u64::from(said.pages) * PAGE_SIZE;
            let partition = system.partitions.get(end.partition.index());
            if partition.is_none_or(|partition| {
                !partition.has_room_for(board, channel_ipa(channel), size, channel_intid(channel))
            }) {
                report(Mistake::ChannelCovered { partition: end.partition, channel });
            }
        }
    }
}

/// EL2 clears a channel through one mapping of 2 MiB; between whom it can be, the service partition is not among.
fn is_sound(system: &System, channel: &Channel) -> bool {
    let in_one_block = channel.memory().is_some_and(|memory| {
        (MIN_SIZE..=MAX_SIZE).contains(&memory.size())
            && memory.start().as_u64() / BLOCK_2M == (memory.end().as_u64() - 1) / BLOCK_2M
    });
    let service = system.service_partition().map(|(id, _)| id);
    let others = system.partitions.len() - usize::from(service.is_some());
    let [first, second] = channel.ends;
    let may_be = |end: End| end.partition.index() < others && (!end.is_brokered() || Some(end.user) == service);
    in_one_block && first.partition != second.partition && first.user != second.user && may_be(first) && may_be(second)
}
