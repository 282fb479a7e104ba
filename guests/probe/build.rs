//! Links the guest at the address that `guests/rt/link.ld` gives.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../rt/link.ld");
    println!("cargo:rerun-if-changed={script}");
    println!("cargo:rustc-link-arg-bins=-T{script}");
    // Looks at the registers first, then enters the runtime.
    println!("cargo:rustc-link-arg-bins=--entry=probe_entry");
    // Symbols stay for debuggers; line tables would make the file ten times its loaded size.
    println!("cargo:rustc-link-arg-bins=--strip-debug");
    println!("cargo:rustc-link-arg-bins=-zmax-page-size=4096");
}
