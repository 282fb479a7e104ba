//! Links the probe 1 GiB above the address that `guests/rt/link.ld` gives: below are a partition's window and a hole.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../rt/link.ld");
    println!("cargo:rerun-if-changed={script}");
    println!("cargo:rustc-link-arg-bins=-T{script}");
    println!("cargo:rustc-link-arg-bins=--defsym=rt_image_start=0x80200000");
    // As ../probe/build.rs has it.
    for argument in ["--entry=probe_entry", "--strip-debug", "-zmax-page-size=4096"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}
