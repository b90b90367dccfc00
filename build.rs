//! Tells the linker to store the program's relocations packed (DT_RELR): 140 KiB less of a binary that is flashed onto
//! small cards. A linker that does not know it (Debian 12's for ARM) says so and goes on. The C library must then be glibc
//! 2.36 or newer (Debian 12, Raspberry Pi OS of 2023), which every supported system has.

/// Adds the linker's option where it is understood.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
