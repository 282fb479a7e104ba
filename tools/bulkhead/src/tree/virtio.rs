//! The virtio devices that the service partition serves, and which RAM they reach.
//!
//! A guest with a window finds them on a bus of their own. Its `dma-ranges` names the window alone, so Linux gives them
//! addresses there and copies what lies elsewhere (Devicetree Specification, section 2.3.9). A pool is told by
//! `restricted-dma-pool` (reserved-memory/shared-dma-pool.yaml), which kernels without CONFIG_DMA_RESTRICTED_POOL
//! ignore: they then have no memory for these devices at all.

use super::{Chain, DeviceTreeNode, Guest, POOL_PHANDLE, Reach, cells, node, reg, transport, unit};
use abi::machine;
use addr::{Ipa, Region};

/// Adds the devices of `guest` to its root, in the order of their slots: Linux names disks in this order.
pub(super) fn add(root: DeviceTreeNode, guest: &Guest<'_>) -> DeviceTreeNode {
    let nodes = (0..guest.virtio as u32).map(|slot| {
        let start = machine::VIRTIO.as_u64() + u64::from(slot) * machine::VIRTIO_STRIDE;
        transport(start, machine::VIRTIO_STRIDE, machine::virtio_intid(slot))
    });
    match guest.reach {
        Reach::All => nodes.fold(root, Chain::with_child),
        Reach::Window(window) => root.with_child(nodes.fold(bus(window), Chain::with_child)),
        Reach::Pool(window) => {
            let nodes = nodes.map(|node| node.with("memory-region", POOL_PHANDLE));
            root.with_child(reserved(window)).with_child(nodes.fold(bus(window), Chain::with_child))
        }
    }
}

/// The bus of devices that reach `window` and nothing else.
fn bus(window: Region<Ipa>) -> DeviceTreeNode {
    let start = window.start().as_u64();
    node("virtio-bus")
        .with("compatible", "simple-bus")
        .with("#address-cells", 2u32)
        .with("#size-cells", 2u32)
        .with("ranges", [0u8; 0])
        // Bus address, address, size.
        .with("dma-ranges", [cells(start), cells(start), cells(window.size())].concat())
}

/// All of `window` as a pool for devices.
fn reserved(window: Region<Ipa>) -> DeviceTreeNode {
    let start = window.start().as_u64();
    let pool = node(&unit("window", start))
        .with("compatible", "restricted-dma-pool")
        .with("reg", reg(start, window.size()))
        .with("phandle", POOL_PHANDLE);
    node("reserved-memory")
        .with("#address-cells", 2u32)
        .with("#size-cells", 2u32)
        .with("ranges", [0u8; 0])
        .with_child(pool)
}
