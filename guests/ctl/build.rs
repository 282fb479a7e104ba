//! Links for Linux: a static program of fixed addresses, without what a debugger wants.

fn main() {
    println!("cargo:rustc-link-arg-bins=--strip-debug");
    println!("cargo:rustc-link-arg-bins=-zmax-page-size=4096");
}
