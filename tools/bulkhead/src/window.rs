//! Windows: what a partition needs to have one, and what its guest must be told.
//!
//! A partition with a window has its RAM in two banks. The service partition sees the first, the window; kernel, initrd
//! and device tree lie in the other. Linux copies all data of its devices through a bounce buffer in the window, since
//! the device tree says that they reach no farther (`dma-ranges`).

use crate::diagnostic::{Diagnostic, Span};
use crate::file::{BOOTARGS_MAX, Mode, PartitionFile, SystemFile, VIRTIO_KEYS};
use crate::kernel::Kernel;
use crate::near;
use abi::machine;
use addr::{BLOCK_2M, ByteSize};

/// Least window: rings, and buffers of some requests.
const MIN: u64 = 2 << 20;
/// Largest: what lies between its place and that of the rest.
const MAX: u64 = machine::MAIN_RAM.as_u64() - machine::RAM.as_u64();
/// Bytes of a slot of Linux's bounce buffer (IO_TLB_SIZE).
const SLOT: u64 = 2048;

/// Reports what is wrong with the windows of `file`.
pub fn check(file: &SystemFile, found: &mut Vec<Diagnostic>) {
    for partition in &file.partitions {
        let Some(span) = partition.window.span() else { continue };
        check_one(partition, span, found);
    }
}

fn check_one(partition: &PartitionFile, span: Span, found: &mut Vec<Diagnostic>) {
    let mut report = |span: Span, title: String, help: String| found.push(Diagnostic::new(span, title, help));
    let title = partition.title();
    if partition.virtio_devices().next().is_none() {
        let title = format!("{title} has a window and no virtio device: the service partition sees none of its memory");
        report(span.clone(), title, format!("take `io` out, or give it {}", near::list(VIRTIO_KEYS)));
    }
    if let (Some(true), Some(identity)) = (partition.identity.value(), partition.identity.span()) {
        let title = format!("{title} has a window, and sees physical addresses: its memory is one piece");
        report(identity, title, "take `identity` or `io` out".into());
    }
    let size = partition.window.size.value().zip(partition.window.size.span());
    if let Some((&size, at)) = size.clone()
        && (!(MIN..=MAX).contains(&size) || !addr::is_aligned(size, BLOCK_2M))
    {
        let title = format!("a window of {}", ByteSize(size));
        let (least, most) = (ByteSize(MIN), ByteSize(MAX));
        report(at, title, format!("give it {least} to {most}, whole blocks of {}", ByteSize(BLOCK_2M)));
        return;
    }
    let Some((&memory, at)) = partition.memory.value().zip(partition.memory.span()) else { return };
    if !addr::is_aligned(memory, BLOCK_2M) {
        let title = format!("{title} has a window, and {} of memory", ByteSize(memory));
        report(at, title, format!("give it whole blocks of {}", ByteSize(BLOCK_2M)));
    } else if !partition.window.size.is_wrong() && partition.window.bytes(memory).is_none() {
        let title = format!("the window of {title} takes all of its {}", ByteSize(memory));
        let half = (memory / 2 / BLOCK_2M * BLOCK_2M).min(MAX);
        let help = match half {
            0 => "give it more `memory`".to_owned(),
            half => format!("give it more `memory`, or a smaller window, such as window = \"{}\"", ByteSize(half)),
        };
        report(size.map_or(span, |(_, span)| span), title, help);
    }
}

/// The command line for a guest with a window of `size` bytes: Linux sizes its bounce buffer by all of the memory, and
/// wants another pool as large from where devices reach; what the file says of either stays.
pub fn bootargs(partition: &PartitionFile, kernel: &Kernel, size: u64) -> Option<String> {
    let said = partition.bootargs.value();
    if partition.window.mode() != Mode::Window || !matches!(kernel, Kernel::Image { .. }) {
        return said.cloned();
    }
    let own = [("swiotlb=", format!("swiotlb={}", size / 2 / SLOT)), ("cma=", "cma=0".to_owned())];
    let words = || said.into_iter().flat_map(|text| text.split_ascii_whitespace());
    let missing = own.into_iter().filter(|(key, _)| !words().any(|word| word.starts_with(key)));
    let parts: Vec<String> = said.cloned().into_iter().chain(missing.map(|(_, word)| word)).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// What is wrong with `bootargs`: what the file says, made longer by [`bootargs`].
pub fn too_long(partition: &PartitionFile, bootargs: &str) -> Option<Diagnostic> {
    let most = BOOTARGS_MAX - 1;
    let (said, span) = partition.bootargs.value().zip(partition.bootargs.span())?;
    let longer = bootargs.len().checked_sub(said.len()).filter(|_| bootargs.len() > most)?;
    let is_added = |word: &&str| said.split_ascii_whitespace().all(|own| own != *word);
    let added: Vec<&str> = bootargs.split_ascii_whitespace().filter(is_added).collect();
    let title = format!("`bootargs` has {} bytes with what a window needs", bootargs.len());
    let help = format!(
        "a window adds \"{}\": shorten it to {} bytes, or say swiotlb= and cma= yourself",
        added.join(" "),
        most.saturating_sub(longer)
    );
    Some(Diagnostic::new(span, title, help))
}
