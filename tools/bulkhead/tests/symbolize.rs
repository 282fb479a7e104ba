//! `bulkhead symbolize` over a real ELF file: compiled here for the bare-metal target, linked where EL2 is.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use abi::bundle;
use object::read::elf::ElfFile64;
use object::{LittleEndian, Object, ObjectSection, ObjectSymbol};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

const SOURCE: &str = "tools/bulkhead/tests/symbolize/el2.rs";
const IMAGE_BASE: u64 = 0x40_0000_0000;
const MANIFEST: u64 = 0x1_0000;

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// A link script that begins the image with the headers of a boot bundle.
fn link_script() -> String {
    let mut headers = [0; 128];
    headers[bundle::IMAGE_MAGIC_OFFSET..][..4].copy_from_slice(&bundle::IMAGE_MAGIC);
    headers[bundle::HEADER..][..8].copy_from_slice(&bundle::MAGIC);
    headers[bundle::HEADER + 8..][..4].copy_from_slice(&bundle::FORMAT.to_le_bytes());
    headers[bundle::MANIFEST_OFFSET..][..8].copy_from_slice(&MANIFEST.to_le_bytes());
    let quad = |bytes: &[u8]| format!("QUAD({:#x}) ", u64::from_le_bytes(bytes.try_into().unwrap()));
    let headers: String = headers.chunks_exact(8).map(quad).collect();
    format!(
        "ENTRY(outer)\nSECTIONS {{\n. = {IMAGE_BASE:#x};\n.text : {{ {headers} KEEP(*(.text .text.*)) }}\n\
         .rodata : ALIGN(4096) {{ *(.rodata .rodata.*) }}\n/DISCARD/ : {{ *(.eh_frame) *(.eh_frame_hdr) *(.comment) }}\n}}\n"
    )
}

/// Compiles the program; `strip` is rustc's option.
fn compile(folder: &Path, name: &str, strip: &str) {
    let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap_or_default());
    let beside = cargo.with_file_name("rustc");
    let script = folder.join("el2.ld");
    let output = Command::new(if beside.is_file() { beside } else { "rustc".into() })
        .current_dir(checkout())
        .args(["--target", "aarch64-unknown-none-softfloat", "--edition", "2021", "--crate-name", "el2"])
        .args(["-C", "opt-level=1", "-C", "debuginfo=1", "-C", strip, "-C"])
        .arg(format!("link-arg=-T{}", script.display()))
        .arg("-o")
        .arg(folder.join(name))
        .arg(SOURCE)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A folder with the EL2 binary `el2.elf`, the same without debug lines, and an image of it.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("symbolize");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("el2.ld"), link_script()).unwrap();
        compile(&folder, "el2.elf", "strip=none");
        compile(&folder, "stripped.elf", "strip=debuginfo");
        fs::write(folder.join("kernel.bin"), [0x14; 64]).unwrap();
        let system = "board = \"qemu-virt\"\n[[partition]]\nname = \"one\"\ncores = [1]\nmemory = \"8M\"\nkernel = \"kernel.bin\"\n";
        fs::write(folder.join("one.toml"), system).unwrap();
        let built = bulkhead(&folder, &["build", "one.toml", "-o", "one.img", "--hypervisor", "el2.elf"], b"");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        folder
    })
}

fn bulkhead(folder: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bulkhead"))
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// What is printed for `log`.
fn symbolized(log: &str) -> String {
    String::from_utf8(symbolized_bytes(log.as_bytes())).unwrap()
}

fn symbolized_bytes(log: &[u8]) -> Vec<u8> {
    let output = bulkhead(folder(), &["symbolize", "one.img", "--hypervisor", "el2.elf"], log);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
    output.stdout
}

#[track_caller]
fn refused(arguments: &[&str], log: &str, message: &str) {
    let output = bulkhead(folder(), arguments, log.as_bytes());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), message);
}

/// The address of a function, and the addresses behind its calls (BL instructions).
fn function(name: &str) -> (u64, Vec<u64>) {
    let bytes = fs::read(folder().join("el2.elf")).unwrap();
    let file = ElfFile64::<LittleEndian>::parse(&*bytes).unwrap();
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name)).unwrap();
    let code = file.section_by_name(".text").unwrap().data_range(symbol.address(), symbol.size()).unwrap().unwrap();
    let words = code.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
    let behind = (symbol.address() + 4..).step_by(4).zip(words);
    (symbol.address(), behind.filter(|(_, word)| word >> 26 == 0b100101).map(|(address, _)| address).collect())
}

/// `file:line` of the line that ends with the comment `mark`.
fn place(mark: &str) -> String {
    let text = fs::read_to_string(checkout().join(SOURCE)).unwrap();
    let line = text.lines().position(|line| line.ends_with(&format!("// {mark}"))).unwrap();
    format!("{SOURCE}:{}", line + 1)
}

#[test]
fn a_backtrace_is_explained_inlined_functions_too() {
    let (inner, _) = function("inner");
    let (_, calls) = function("outer");
    let line = format!("bulkhead| [1.0] core1 bulkhead: backtrace: {inner:#x} {:#x}\r\n", calls[0]);
    let explained = [
        format!("    {inner:#x} inner at {}\n", place("inner")),
        format!("    {:#x} el2::middle at {}\n", calls[0], place("call")),
        format!("    {:12} inlined in outer at {}\n", "", place("inlined")),
    ];
    assert_eq!(symbolized(&line), line + &explained.concat());
}

#[test]
fn the_log_passes_unchanged_whatever_it_holds() {
    let before = b"\xff\xfe\0 not text\r\n\r\n\n";
    let after = b"\x1b[31mand no line end\xff";
    let line = b"bulkhead: backtrace: 0x10\r\n";
    let expected = [&before[..], line, b"    0x10 is not in EL2's code\n", after].concat();
    assert_eq!(symbolized_bytes(&[&before[..], line, after].concat()), expected);
}

#[test]
fn a_return_address_behind_the_last_call_belongs_to_the_caller() {
    let (inner, _) = function("inner");
    let (_, calls) = function("last");
    let behind = calls[1];
    let said = symbolized(&format!("bulkhead: backtrace: {inner:#x} {behind:#x}"));
    assert!(said.ends_with(&format!("\n    {behind:#x} last at {}\n", place("never"))), "{said}");
    // The first address of a backtrace is where a core was, and taken as it is.
    let said = symbolized(&format!("bulkhead: backtrace: {behind:#x}"));
    assert!(!said.contains("last at"), "{said}");
}

#[test]
fn the_next_line_of_a_backtrace_has_return_addresses_only() {
    let (_, calls) = function("last");
    let line = format!("bulkhead: backtrace: {:#x}\n", calls[1]);
    let own = symbolized(&line);
    let second = symbolized(&format!("{line}{line}"));
    assert!(second.starts_with(&own) && second.ends_with(&format!("last at {}\n", place("never"))), "{second}");
    assert_eq!(symbolized(&format!("{line}other\n{line}")), format!("{own}other\n{own}"));
}

#[test]
fn an_address_outside_the_code_is_said_to_be() {
    assert_eq!(
        symbolized("bulkhead: backtrace: 0x10 0x7fff\n"),
        "bulkhead: backtrace: 0x10 0x7fff\n    0x10 is not in EL2's code\n    0x7fff is not in EL2's code\n"
    );
}

#[test]
fn a_log_may_be_a_file() {
    let (inner, _) = function("inner");
    fs::write(folder().join("panic.log"), format!("bulkhead: backtrace: {inner:#x}\n")).unwrap();
    let arguments = ["symbolize", "one.img", "panic.log", "--hypervisor", "el2.elf"];
    let output = bulkhead(folder(), &arguments, b"");
    assert!(String::from_utf8_lossy(&output.stdout).contains("inner at "), "{output:?}");
    refused(
        &["symbolize", "one.img", "--hypervisor", "el2.elf", "absent.log"],
        "",
        "error: cannot read the log absent.log: No such file or directory (os error 2)\n",
    );
}

#[test]
fn a_log_without_a_backtrace_is_refused() {
    refused(
        &["symbolize", "one.img", "--hypervisor", "el2.elf"],
        "nothing here\n",
        "error: standard input has no line with `bulkhead: backtrace:` and addresses: give the console log of a panic of \
         EL2\n",
    );
}

#[test]
fn what_is_no_image_is_refused() {
    refused(
        &["symbolize", "kernel.bin", "--hypervisor", "el2.elf"],
        "",
        "error: cannot use the image kernel.bin: it is no Bulkhead image: give the file that `bulkhead build` wrote\n",
    );
}

#[test]
fn another_el2_binary_than_the_images_is_refused() {
    let mut elf = fs::read(folder().join("el2.elf")).unwrap();
    let (inner, _) = function("inner");
    let file = ElfFile64::<LittleEndian>::parse(&*elf).unwrap();
    let text = file.section_by_name(".text").unwrap();
    let at = text.file_range().unwrap().0 + inner - text.address();
    elf[at as usize] ^= 1;
    fs::write(folder().join("other.elf"), elf).unwrap();
    refused(
        &["symbolize", "one.img", "--hypervisor", "other.elf"],
        "",
        &format!(
            "error: the image one.img does not hold the EL2 binary other.elf (byte {:#x} differs): give the one that it \
             was built with as --hypervisor, or run this from the checkout it was built from\n",
            inner - IMAGE_BASE
        ),
    );
}

#[test]
fn an_el2_binary_without_debug_lines_is_refused() {
    refused(
        &["symbolize", "one.img", "--hypervisor", "stripped.elf"],
        "",
        "error: cannot use the EL2 binary stripped.elf: it has no debug lines (section .debug_line): give the file that \
         was linked, before anything is stripped\n",
    );
}
