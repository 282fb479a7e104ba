//! What `sanitize` refuses, what it leaves alone, and that crate `fdt` survives whatever it accepts.

use fdt::Fdt;
use fdt::node::FdtNode;
use flattree::{MAX_DEPTH, Malformed, sanitize};
use proptest::prelude::*;
use std::panic::catch_unwind;

const STRUCTURE: usize = 56;
const BEGIN: u32 = 1;
const END_NODE: u32 = 2;
const NOP: u32 = 4;
const END: u32 = 9;

/// A structure block being written, and the names its properties use.
#[derive(Default)]
struct Tree {
    structure: Vec<u8>,
    strings: Vec<u8>,
}

impl Tree {
    fn token(mut self, token: u32) -> Self {
        self.structure.extend(token.to_be_bytes());
        self
    }
    fn padded(mut self, bytes: &[u8]) -> Self {
        self.structure.extend(bytes);
        self.structure.resize(self.structure.len().next_multiple_of(4), 0);
        self
    }
    fn begin(self, name: &str) -> Self {
        self.token(BEGIN).padded(format!("{name}\0").as_bytes())
    }
    fn end(self) -> Self {
        self.token(END_NODE)
    }
    fn prop(mut self, name: &str, value: &[u8]) -> Self {
        let offset = self.strings.len() as u32;
        self.strings.extend(format!("{name}\0").bytes());
        self.token(3).token(value.len() as u32).token(offset).padded(value)
    }
    /// The blob: header, one reservation and the end of them, structure block, strings block.
    fn raw(self) -> Vec<u8> {
        let structure = STRUCTURE + 16;
        let strings = structure + self.structure.len();
        let total = strings + self.strings.len();
        let header = [0xd00d_feed, total, structure, strings, 40, 17, 16, 0, self.strings.len(), self.structure.len()];
        let mut blob: Vec<u8> = header.iter().flat_map(|&word| (word as u32).to_be_bytes()).collect();
        blob.extend([0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0]);
        blob.extend([0; 16]);
        blob.extend(self.structure);
        blob.extend(self.strings);
        blob
    }
    fn blob(self) -> Vec<u8> {
        self.end().token(END).raw()
    }
}

/// A small board; `nop` stands wherever one may.
fn board(nop: fn(Tree) -> Tree) -> Vec<u8> {
    let t = nop(nop(Tree::default()).begin(""));
    let t = nop(t.prop("#address-cells", &[0, 0, 0, 2])).prop("#size-cells", &[0, 0, 0, 1]);
    let t = nop(t.prop("compatible", b"linux,dummy-virt\0qemu\0"));
    let t = nop(t.begin("aliases").prop("serial0", b"/soc/pl011@9000000\0").prop("phandle", &[0, 0, 0, 9]).end());
    let t = nop(nop(t.begin("chosen").prop("stdout-path", b"serial0\0")).end());
    let t = nop(t.begin("memory@40000000").prop("reg", &[0, 0, 0, 0, 0x40, 0, 0, 0, 0x10, 0, 0, 0]).end());
    let t = nop(t.begin("soc").prop("ranges", &[]).prop("#address-cells", &[0, 0, 0, 1]));
    let t = nop(t.prop("#size-cells", &[0, 0, 0, 1]).begin("pl011@9000000"));
    let t = nop(t.prop("compatible", b"arm,pl011\0").prop("reg", &[9, 0, 0, 0, 0, 0, 0x10, 0]));
    let t = nop(nop(nop(t.prop("status", b"ok\0").end()).begin("empty").end()).end());
    nop(nop(t.end())).token(END).raw()
}

fn plain() -> Vec<u8> {
    board(|t| t)
}

/// Reads the tree in the ways EL2 does, and some more.
fn walk(blob: &[u8]) -> Vec<String> {
    fn visit(seen: &mut Vec<String>, node: FdtNode<'_, '_>) {
        let regions: Vec<_> = node.reg().into_iter().flatten().take(1000).collect();
        let compatible: Vec<_> = node.compatible().into_iter().flat_map(|c| c.all()).collect();
        seen.push(format!("{} {regions:x?} {compatible:?}", node.name));
        seen.extend(node.properties().map(|p| format!("{} {:?} {:?}", p.name, p.value, p.as_str())));
        node.children().for_each(|child| visit(seen, child));
    }
    let tree = Fdt::new(blob).expect("an accepted tree has a header");
    let mut seen = Vec::new();
    let root = tree.find_node("/").expect("an accepted tree has a root");
    assert_eq!(root.name, "");
    visit(&mut seen, root);
    for node in tree.all_nodes() {
        seen.push(format!("{} {:x?} {:?}", node.name, node.cell_sizes(), node.reg().map(|r| r.count())));
        seen.extend(node.interrupts().into_iter().flatten().map(|n| format!("{n}")));
        seen.extend(node.interrupt_parent().map(|node| node.name.to_string()));
    }
    seen.extend(tree.memory_reservations().map(|r| format!("{r:x?}")));
    seen.extend(tree.strings().map(str::to_string));
    for path in ["/soc", "/soc/pl011", "/soc/empty/x", "/none", "serial0", "a", "b", ""] {
        seen.extend(tree.find_node(path).map(|node| node.name.to_string()));
    }
    if tree.find_node("/chosen").is_some() {
        seen.extend(tree.chosen().stdout().map(|node| node.name.to_string()));
        seen.extend(tree.chosen().stdin().map(|node| node.name.to_string()));
        seen.extend(tree.chosen().bootargs().map(str::to_string));
    }
    seen
}

/// Panics with the blob if it is accepted and does not survive; returns whether it is accepted.
fn refused_or_sane(mut blob: Vec<u8>) -> bool {
    let before = blob.clone();
    let Ok(size) = sanitize(&mut blob) else {
        assert_eq!(blob, before, "a refused tree was written to");
        return false;
    };
    let accepted = blob.clone();
    assert!(catch_unwind(move || walk(&accepted[..size])).is_ok(), "fdt panics on {before:02x?}");
    let clean = blob.clone();
    assert_eq!(sanitize(&mut blob), Ok(size), "what was sanitized is not sane");
    assert_eq!(blob, clean, "what was sanitized still has FDT_NOP");
    true
}

fn refusal(mut blob: Vec<u8>) -> Malformed {
    sanitize(&mut blob).expect_err("accepted")
}

fn with_word(at: usize, value: u32) -> Vec<u8> {
    let mut blob = plain();
    blob[at..at + 4].copy_from_slice(&value.to_be_bytes());
    blob
}

#[test]
fn a_tree_without_nop_is_accepted_and_not_written() {
    let mut blob = plain();
    let size = blob.len();
    blob.extend([0xee; 64]);
    let before = blob.clone();
    assert_eq!(sanitize(&mut blob), Ok(size));
    assert_eq!(blob, before);
    let seen = walk(&blob[..size]);
    assert!(seen.iter().any(|line| line.starts_with("memory@40000000 [MemoryRegion { starting_address: 0x40000000")));
    // As a child, in all nodes, by path, by alias, as stdout and as stdin.
    assert_eq!(seen.iter().filter(|line| line.starts_with("pl011@9000000")).count(), 6, "{seen:#?}");
}

#[test]
fn nops_anywhere_are_dropped_and_the_rest_stays() {
    let expected = walk(&plain());
    for nop in [|t: Tree| t.token(NOP), |t: Tree| t.token(NOP).token(NOP).token(NOP)] {
        let mut blob = board(nop);
        let before = blob.clone();
        let size = sanitize(&mut blob).unwrap();
        assert_eq!(size, before.len());
        assert_eq!(walk(&blob), expected);
        let tokens = u32::from_be_bytes(blob[36..40].try_into().unwrap()) as usize;
        let plain = plain();
        assert_eq!(blob[STRUCTURE + 16..][..tokens], plain[STRUCTURE + 16..][..tokens]);
        assert_eq!(tokens, u32::from_be_bytes(plain[36..40].try_into().unwrap()) as usize);
        assert!(refused_or_sane(before));
    }
}

#[test]
fn a_value_or_name_that_looks_like_nop_stays() {
    let tree = |t: Tree| t.prop("x", &[0, 0, 0, 4]).begin("n").prop("y", &[0, 0, 0, 4, 0, 0, 0, 4]).end();
    let mut blob = tree(Tree::default().begin("").token(NOP)).blob();
    sanitize(&mut blob).unwrap();
    assert_eq!(walk(&blob), walk(&tree(Tree::default().begin("")).blob()));
}

#[test]
fn a_nopped_out_node_leaves_its_siblings() {
    let nops = |t: Tree| (0..9).fold(t, |t, _| t.token(NOP));
    let mut blob = nops(Tree::default().begin("").begin("a").end()).begin("b").end().blob();
    sanitize(&mut blob).unwrap();
    let tree = Fdt::new(&blob).unwrap();
    let names: Vec<_> = tree.find_node("/").unwrap().children().map(|node| node.name).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn every_truncation_is_refused() {
    let whole = board(|t| t.token(NOP));
    for len in 0..whole.len() {
        let mut cut = whole[..len].to_vec();
        assert!(sanitize(&mut cut).is_err(), "{len}");
        if len >= 8 {
            // The same with a total size that owns up to it.
            cut[4..8].copy_from_slice(&(len as u32).to_be_bytes());
            assert!(!refused_or_sane(cut), "{len}");
        }
    }
}

#[test]
fn a_structure_block_cut_anywhere_is_refused() {
    let size = u32::from_be_bytes(plain()[36..40].try_into().unwrap());
    for size in 0..size {
        assert!(!refused_or_sane(with_word(36, size)), "{size}");
    }
}

#[test]
fn wrong_headers_are_refused_by_name() {
    use Malformed::*;
    let size = plain().len();
    let far = 0xffff_fff8;
    assert_eq!(refusal(vec![0; 39]), Short(39));
    assert_eq!(refusal(with_word(0, 1)), Magic(1));
    assert_eq!(refusal(with_word(4, 39)), Size(39));
    assert_eq!(refusal(with_word(4, size as u32 + 1)), Size(size + 1));
    assert_eq!(refusal(with_word(20, 16)), Version { version: 16, last_compatible: 16 });
    assert_eq!(refusal(with_word(24, 18)), Version { version: 17, last_compatible: 18 });
    for (at, name) in [(8, "structure"), (12, "strings"), (16, "memory reservation")] {
        assert!(matches!(refusal(with_word(at, far)), Block { block, offset, .. } if block == name && offset == far));
        assert!(matches!(refusal(with_word(at, 32)), Block { block, .. } if block == name), "on the header");
    }
    for (at, name) in [(32, "strings"), (36, "structure")] {
        assert!(matches!(refusal(with_word(at, far)), Block { block, size, .. } if block == name && size == far));
    }
    assert!(matches!(refusal(with_word(8, 74)), Block { block: "structure", .. }));
    assert!(matches!(refusal(with_word(16, 44)), Block { block: "memory reservation", .. }));
    assert_eq!(refusal(with_word(12, 80)), Overlap("structure", "strings"));
    assert_eq!(refusal(with_word(8, 64)), Overlap("memory reservation", "structure"));
    let mut blob = Tree::default().begin("").blob();
    blob[56..72].fill(1);
    assert_eq!(refusal(blob), Reservations);
}

#[test]
fn wrong_names_are_refused() {
    use Malformed::*;
    let mut blob = plain();
    *blob.last_mut().unwrap() = b'x';
    assert_eq!(refusal(blob), Strings, "no NUL");
    assert_eq!(refusal(Tree::default().begin("").prop("ü", &[]).blob()), Strings);
    assert_eq!(refusal(Tree::default().begin("root").blob()), NodeName { at: 72 });
    assert_eq!(refusal(Tree::default().begin("").begin("").end().blob()), NodeName { at: 80 });
    assert_eq!(refusal(Tree::default().begin("").begin("abcü").end().blob()), NodeName { at: 80 });
    let unended = Tree::default().begin("").token(BEGIN).padded(b"abcd").raw();
    assert_eq!(refusal(unended), NodeName { at: 80 });
    let beyond = Tree::default().begin("").prop("a", &[]).token(3).token(0).token(2).blob();
    assert_eq!(refusal(beyond), PropertyName { at: 92, offset: 2 });
}

#[test]
fn wrong_tokens_are_refused_where_they_are() {
    use Malformed::*;
    let t = || Tree::default().begin("");
    assert_eq!(refusal(t().token(6).blob()), Token { at: 80, token: 6 });
    assert_eq!(refusal(t().begin("a").end().prop("p", &[]).blob()), PropertyPlace { at: 92 });
    assert_eq!(refusal(Tree::default().prop("p", &[]).begin("").blob()), PropertyPlace { at: 72 });
    assert_eq!(refusal(t().prop("p", &[]).token(3).token(99).token(0).blob()), PropertyLength { at: 92, len: 99 });
    assert_eq!(refusal(t().prop("p", &[]).token(3).token(!0).token(0).blob()), PropertyLength { at: 92, len: !0 });
    assert_eq!(refusal(t().token(3).raw()), End { at: 80 });
    assert_eq!(refusal(t().end().token(5).raw()), Token { at: 84, token: 5 }, "fdt's idea of the end");
    assert_eq!(refusal(t().end().blob()), Balance { at: 84 });
    assert_eq!(refusal(t().end().begin("").blob()), Balance { at: 84 }, "a second root");
    assert_eq!(refusal(t().token(END).raw()), Balance { at: 80 });
    assert_eq!(refusal(Tree::default().token(END).raw()), Balance { at: 72 });
    assert_eq!(refusal(t().end().raw()), End { at: 84 });
    assert_eq!(refusal(t().end().token(END).token(NOP).raw()), End { at: 84 });
    assert_eq!(refusal(Tree::default().raw()), End { at: 72 });
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth| {
        let t = (1..depth).fold(Tree::default().begin(""), |t, _| t.begin("n"));
        (1..depth).fold(t, |t, _| t.end()).blob()
    };
    assert!(refused_or_sane(nested(MAX_DEPTH)));
    assert_eq!(refusal(nested(MAX_DEPTH + 1)), Malformed::Depth { at: 72 + 8 * MAX_DEPTH });
}

#[test]
fn values_too_short_for_fdt_are_refused() {
    for (name, len) in [("#address-cells", 3), ("#size-cells", 0), ("stdout-path", 0), ("bootargs", 0)] {
        let found = refusal(Tree::default().begin("").prop(name, &[0; 4][..len]).blob());
        assert_eq!(found, Malformed::PropertyValue { at: 80, len: len as u32, name });
    }
    assert!(refused_or_sane(Tree::default().begin("").prop("#address-cells2", &[]).prop("dma-coherent", &[]).blob()));
}

#[test]
fn aliases_that_lead_to_each_other_are_refused() {
    let aliases = |node, name, value| Tree::default().begin("").begin(node).prop(name, value).end().blob();
    assert_eq!(refusal(aliases("aliases", "a", b"a\0")), Malformed::Alias { at: 92 });
    assert_eq!(refusal(aliases("aliases@1", "/none", b"/none\0")), Malformed::Alias { at: 96 });
    assert!(refused_or_sane(aliases("aliases", "a", b"/none\0")));
    assert!(refused_or_sane(aliases("aliases2", "a", b"a\0")));
}

#[test]
fn errors_say_what_and_where() {
    let found = refusal(Tree::default().begin("").prop("#size-cells", &[0]).blob());
    assert_eq!(found.to_string(), "the property '#size-cells' at 0x50 is too short with 1 bytes");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fdt_survives_whatever_mutation_is_accepted(
        nops in any::<bool>(),
        bytes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        words in prop::collection::vec((any::<prop::sample::Index>(), 0u32..90), 0..4),
    ) {
        let mut blob = board(if nops { |t| t.token(NOP) } else { |t| t });
        for (at, byte) in bytes {
            let at = at.index(blob.len());
            blob[at] = byte;
        }
        for (at, word) in words {
            let at = 4 * at.index(blob.len() / 4);
            blob[at..at + 4].copy_from_slice(&word.to_be_bytes());
        }
        refused_or_sane(blob);
    }

    #[test]
    fn fdt_survives_whatever_tokens_are_accepted(tokens in prop::collection::vec(0u8..12, 0..24)) {
        let names = ["a", "b", "/none", "/soc", "#size-cells", "reg", "compatible", "stdout-path", "serial0"];
        let mut t = Tree::default().begin("");
        let mut depth = 1;
        for (n, token) in tokens.into_iter().enumerate() {
            t = match token {
                0 => t.token(NOP),
                1 => t.begin(["aliases", "chosen", "soc", "@1"][n % 4]),
                2 if depth > 1 => t.end(),
                2 => t,
                _ => t.prop(names[(n + usize::from(token)) % 9], &b"b\0/none\0serial0\0"[n % 5..][..usize::from(token)]),
            };
            depth = match token { 1 => depth + 1, 2 => (depth - 1).max(1), _ => depth };
        }
        refused_or_sane((1..depth).fold(t, |t, _| t.end()).blob());
    }
}
