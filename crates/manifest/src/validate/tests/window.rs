//! Windows: what the service partition sees of a partition that does not show it everything.

use super::*;

/// The served system, 'linux' with a window of 2 MiB at the end of its RAM.
fn windowed() -> System {
    let mut system = served();
    let linux = &mut system.partitions[0];
    let pa = linux.banks[0].pa.start().as_u64();
    let moved = |ipa: Ipa| Ipa::new(ipa.as_u64() - 0x4000_0000 + 0x8000_0000);
    linux.io = Io::Window;
    linux.banks = [(0x4000_0000, pa + 6 * M, 2 * M), (0x8000_0000, pa, 6 * M)]
        .map(|(ipa, pa, size)| Bank { ipa: Ipa::new(ipa), pa: region(pa, size) })
        .into_iter()
        .collect();
    linux.entry = moved(linux.entry);
    for payload in &mut linux.payloads {
        let offset = if payload.kind == PayloadKind::Kernel { 0 } else { 2 * M };
        payload.ipa = Ipa::new(moved(payload.ipa).as_u64() - offset);
    }
    linux.device_tree = Ipa::new(moved(linux.device_tree).as_u64() - 2 * M);
    system
}

fn after(change: impl FnOnce(&mut System)) -> std::vec::Vec<std::string::String> {
    let mut system = windowed();
    change(&mut system);
    on(&BOARD, &system)
}

const MESSAGE: &str = "partition 'linux' has a window that is not the lower of two banks, that no virtio device needs, or \
                       that something is loaded into: build the image again with `bulkhead build`";

#[test]
fn a_sound_system_with_a_window_is_accepted() {
    assert_eq!(after(|_| ()), [""; 0]);
}

#[test]
fn the_service_partition_sees_the_window_alone() {
    let mut system = windowed();
    let seen = |system: &System| system.partitions[0].served().map(|bank| bank.ipa.as_u64()).collect::<Vec<_, 2>>();
    assert_eq!(seen(&system), [0x4000_0000]);
    system.partitions[0].io = Io::Open;
    assert_eq!(seen(&system), [0x4000_0000, 0x8000_0000]);
    system.partitions[0].virtio.clear();
    assert_eq!(seen(&system), [0; 0], "nobody serves it");
    system.partitions[0].io = Io::Window;
    assert_eq!(seen(&system), [0; 0], "nobody serves it");
}

#[test]
fn a_window_without_ram_behind_it_is_refused() {
    let found = after(|s| s.partitions[0].banks.truncate(1));
    assert!(found.contains(&MESSAGE.into()), "{found:?}");
    let found = after(|s| s.partitions[0].banks.clear());
    assert!(found.iter().any(|message| message.contains("has no memory")), "{found:?}");
}

#[test]
fn a_window_that_nobody_needs_is_refused() {
    assert_eq!(after(|s| s.partitions[0].virtio.clear()), [MESSAGE]);
}

#[test]
fn a_window_of_physical_addresses_is_refused() {
    let found = after(|s| s.partitions[0].is_identity = true);
    assert!(found.contains(&MESSAGE.into()), "{found:?}");
}

#[test]
fn what_a_guest_believes_is_not_in_its_window() {
    let at = Ipa::new(0x401f_f000);
    assert_eq!(after(|s| s.partitions[0].entry = at), [MESSAGE]);
    for kind in [PayloadKind::Kernel, PayloadKind::Initrd] {
        let found = after(|s| {
            let payload = s.partitions[0].payloads.iter_mut().find(|payload| payload.kind == kind).unwrap();
            payload.ipa = at;
        });
        assert_eq!(found, [MESSAGE], "{kind}");
    }
    let trees = after(|s| {
        s.partitions[0].device_tree = at;
        s.partitions[0].payloads.iter_mut().filter(|p| p.kind.is_tree()).for_each(|payload| payload.ipa = at);
    });
    assert_eq!(trees, [MESSAGE]);
}
