//! The structure block (Devicetree Specification v0.4, 5.4), as words: every token starts one.

use crate::Malformed;

/// Most nodes inside each other, with the root. Crate `fdt` has room for 64 in one place and recurses in another.
pub const MAX_DEPTH: usize = 32;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;
/// `fdt` has 5 here, and takes this for the end since it is nothing else.
const END: u32 = 9;

/// Properties that `fdt` reads without asking for their length, and the least it must be.
const LEAST: [(&str, u32); 5] =
    [("#address-cells", 4), ("#size-cells", 4), ("stdout-path", 1), ("stdin-path", 1), ("bootargs", 1)];

/// Bytes of a word.
type Word = [u8; 4];

/// Checks the block; `strings` ends with NUL. Returns the word of the first FDT_NOP, if there is one.
///
/// Boot time is counted in instructions: what only few tokens need stands in a cold function.
pub fn check(block: &[u8], strings: &[u8]) -> Result<Option<usize>, Malformed> {
    let words = block.as_chunks::<4>().0;
    let mut first_nop = None;
    let (mut at, mut depth) = (0, 0);
    // Whether a property may stand here, and whether it is an alias.
    let (mut open, mut aliases) = (false, false);
    let mut root_ended = false;
    while let Some(&token) = words.get(at) {
        match u32::from_be_bytes(token) {
            PROP => {
                let (Some(&len), Some(&name)) = (words.get(at + 1), words.get(at + 2)) else {
                    return Err(Malformed::End { at: 4 * at });
                };
                let (len, name) = (u32::from_be_bytes(len), u32::from_be_bytes(name));
                if !open {
                    return Err(Malformed::PropertyPlace { at: 4 * at });
                }
                if name as usize >= strings.len() {
                    return Err(Malformed::PropertyName { at: 4 * at, offset: name });
                }
                let next = at + 3 + (len as usize).div_ceil(4);
                if next > words.len() {
                    return Err(Malformed::PropertyLength { at: 4 * at, len });
                }
                if len < 4 || aliases {
                    let name = strings.get(name as usize..).unwrap_or_default();
                    check_value(words, at, len, name, aliases)?;
                }
                at = next;
            }
            BEGIN_NODE => {
                if root_ended {
                    return Err(Malformed::Balance { at: 4 * at });
                }
                if depth == MAX_DEPTH {
                    return Err(Malformed::Depth { at: 4 * at });
                }
                let next = name_end(words, at + 1).ok_or(Malformed::NodeName { at: 4 * at })?;
                // Only the root has no name: `fdt` finds it by that.
                if words.get(at + 1).is_some_and(|word| word[0] == 0) != (depth == 0) {
                    return Err(Malformed::NodeName { at: 4 * at });
                }
                aliases = depth == 1 && words.get(at + 1..).is_some_and(is_aliases);
                open = true;
                depth += 1;
                at = next;
            }
            END_NODE => {
                if depth == 0 {
                    return Err(Malformed::Balance { at: 4 * at });
                }
                depth -= 1;
                root_ended = depth == 0;
                open = false;
                at += 1;
            }
            NOP => {
                first_nop = first_nop.or(Some(at));
                at += 1;
            }
            END if !root_ended => return Err(Malformed::Balance { at: 4 * at }),
            END if at + 1 == words.len() => return Ok(first_nop),
            END => return Err(Malformed::End { at: 4 * at }),
            token => return Err(Malformed::Token { at: 4 * at, token }),
        }
    }
    Err(Malformed::End { at: block.len() })
}

/// Drops the FDT_NOP tokens of a block that was checked, the first of them at word `first`. Returns the bytes that
/// remain in use; FDT_END fills the rest.
pub fn drop_nops(block: &mut [u8], first: usize) -> u32 {
    let words = block.as_chunks_mut::<4>().0;
    let (mut to, mut at) = (first, first);
    while let Some(&token) = words.get(at) {
        let next = match u32::from_be_bytes(token) {
            PROP => words.get(at + 1).map(|&len| at + 3 + (u32::from_be_bytes(len) as usize).div_ceil(4)),
            BEGIN_NODE => name_end(words, at + 1),
            _ => Some(at + 1),
        };
        let Some(next) = next.filter(|&next| next <= words.len()) else { break };
        if token != NOP.to_be_bytes() {
            words.copy_within(at..next, to);
            to += next - at;
        }
        at = next;
    }
    if let Some(rest) = words.get_mut(to..) {
        rest.fill(END.to_be_bytes());
    }
    // Less than the block's size, which the header holds as u32.
    (4 * to) as u32
}

/// The word behind the ASCII name that starts at word `at`.
fn name_end(words: &[Word], mut at: usize) -> Option<usize> {
    const TOP: u32 = 0x8080_8080;
    loop {
        let word = u32::from_ne_bytes(*words.get(at)?);
        at += 1;
        if word & TOP != 0 {
            return None;
        }
        // No byte is above 0x7f, so that only a NUL makes a byte's top bit by borrowing.
        if word.wrapping_sub(0x0101_0101) & TOP != 0 {
            return Some(at);
        }
    }
}

/// Whether `fdt` takes a node with this name for `/aliases`.
fn is_aliases(name: &[Word]) -> bool {
    matches!(name, [[b'a', b'l', b'i', b'a'], [b's', b'e', b's', 0 | b'@'], ..])
}

/// Checks the property at word `at`, which is short or an alias; `name` starts with its name.
///
/// `fdt` looks up a path that it does not find as an alias, and what that says again: it ends when aliases are paths
/// and no path is an alias. A node's `phandle` may stand among them, and starts with NUL.
#[cold]
fn check_value(words: &[Word], at: usize, len: u32, name: &[u8], alias: bool) -> Result<(), Malformed> {
    if alias {
        let first = words.get(at + 3).filter(|_| len != 0).map_or(0, |word| word[0]);
        if !matches!(first, 0 | b'/') || name.first() == Some(&b'/') {
            return Err(Malformed::Alias { at: 4 * at });
        }
    }
    // Most short properties are empty marks with other initials.
    if !matches!(name.first(), Some(b'#' | b's' | b'b')) {
        return Ok(());
    }
    for (short, least) in LEAST {
        if len < least && name.strip_prefix(short.as_bytes()).is_some_and(|rest| rest.first() == Some(&0)) {
            return Err(Malformed::PropertyValue { at: 4 * at, len, name: short });
        }
    }
    Ok(())
}
