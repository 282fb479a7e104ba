//! Links the service as a static position-independent executable: EL2 loads it wherever its partition's RAM is.
//!
//! The precompiled `core` is not position-independent code, but all of its code is PC-relative (small code model), so
//! only constants need relocations. Those lie in read-only sections, which takes `notext`; the entry code applies them
//! before the MMU makes these sections read-only.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../service/link.ld");
    println!("cargo:rerun-if-changed={script}");
    println!("cargo:rustc-link-arg-bins=-T{script}");
    for argument in ["-pie", "--no-dynamic-linker", "-znotext", "-zmax-page-size=4096", "--strip-debug"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}
