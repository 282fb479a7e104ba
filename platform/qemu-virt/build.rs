//! Links the EL2 binary with the hypervisor's link script.

fn main() {
    println!("cargo::rerun-if-changed=../../hypervisor/link.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        println!("cargo::rustc-link-arg-bins=-T{here}/../../hypervisor/link.ld");
        // Much of the code for the two GIC versions is the same, and EL2 has a size budget.
        println!("cargo::rustc-link-arg-bins=--icf=all");
    }
}
