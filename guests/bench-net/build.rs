//! Links the guest at the address that `guests/rt/link.ld` gives.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../rt/link.ld");
    println!("cargo:rerun-if-changed={script}");
    println!("cargo:rustc-link-arg-bins=-T{script}");
    println!("cargo:rustc-link-arg-bins=-zmax-page-size=4096");
}
