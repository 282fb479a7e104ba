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
    Some(with_window(said.map_or("", String::as_str), size))
}

fn with_window(said: &str, size: u64) -> String {
    let (kernels, inits) = halves(said);
    let own = [("swiotlb=", format!("swiotlb={}", size / 2 / SLOT)), ("cma=", "cma=0".to_owned())];
    let words = || kernels.split_ascii_whitespace();
    let missing =
        own.iter().filter(|(key, _)| !words().any(|word| word.starts_with(key))).map(|(_, word)| word.as_str());
    let parts: Vec<&str> =
        [kernels].into_iter().chain(missing).chain([inits]).filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}

/// The kernel's part of a command line, and init's, which begins with the word `--`. Blanks between quotes end no word.
fn halves(said: &str) -> (&str, &str) {
    let is_word = |(before, rest): &(&str, &str)| {
        let follows = rest.trim_start_matches('-');
        let is_alone = rest.len() - follows.len() == 2 && !follows.starts_with(|c: char| !c.is_ascii_whitespace());
        is_alone && !before.ends_with(|c: char| !c.is_ascii_whitespace()) && before.matches('"').count() % 2 == 0
    };
    let found = said.match_indices("--").map(|(at, _)| said.split_at(at)).find(is_word);
    found.map_or((said, ""), |(kernels, inits)| (kernels.trim_ascii_end(), inits))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_window_needs_stands_before_what_is_inits() {
        for (said, wanted) in [
            ("", "swiotlb=1024 cma=0"),
            ("quiet", "quiet swiotlb=1024 cma=0"),
            ("quiet  -- --verbose x", "quiet swiotlb=1024 cma=0 -- --verbose x"),
            ("-- x", "swiotlb=1024 cma=0 -- x"),
            ("quiet --", "quiet swiotlb=1024 cma=0 --"),
            ("cma=8M -- swiotlb=1", "cma=8M swiotlb=1024 -- swiotlb=1"),
            ("--quiet a-- x", "--quiet a-- x swiotlb=1024 cma=0"),
            (r#"a="b -- c" -- d"#, r#"a="b -- c" swiotlb=1024 cma=0 -- d"#),
            ("swiotlb=1 cma=2", "swiotlb=1 cma=2"),
        ] {
            assert_eq!(with_window(said, 4 << 20), wanted, "{said:?}");
        }
    }
}
