//! From a system file to a bootable image: the library behind the `bulkhead` command.
//!
//! ```text
//! file      TOML with the place of every value          -> SystemFile, mistakes
//! kernel    containers unpacked, format told by content -> Kernel
//! place     partitions and EL2's pool in board RAM      -> banks
//! fit       kernel, initrd, device tree in guest RAM    -> payload addresses
//! tree      what the guest is told                      -> device tree blobs
//! plan      all of these, then manifest::validate       -> Plan
//! disks     who shares one, and what is on the images   -> mistakes
//! channels  who shares memory with whom, by which port  -> ends, mistakes
//! window    what the service partition sees of whom  -> bootargs, mistakes
//! network   who has which address, whose ports lead in  -> addresses, mistakes
//! image     EL2 binary + manifest + payloads            -> the boot bundle
//! symbolize an EL2 binary's DWARF                       -> backtraces in words
//! card      the Raspberry Pi's card                     -> an image, and what one lacks
//! ```
//! It never writes an address into a system file, and it checks nothing itself that `manifest::validate` can check:
//! what passes here passes at boot.
#![forbid(unsafe_code)]

pub mod board;
pub mod card;
pub mod channels;
pub mod devices;
pub mod diagnostic;
pub mod disks;
pub mod el2;
pub mod file;
pub mod fit;
pub mod image;
pub mod kernel;
pub mod locate;
pub mod map;
pub mod near;
pub mod network;
pub mod pins;
pub mod place;
pub mod plan;
pub mod qemu;
pub mod svg;
pub mod symbolize;
pub mod tree;
pub mod window;
