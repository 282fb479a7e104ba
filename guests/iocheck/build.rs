//! Links a static program for Linux: no libc, so the toolchain of the bare-metal guests is all it needs.

fn main() {
    println!("cargo:rustc-link-arg-bins=--entry=iocheck_entry");
    println!("cargo:rustc-link-arg-bins=--strip-debug");
    println!("cargo:rustc-link-arg-bins=-zmax-page-size=4096");
}
