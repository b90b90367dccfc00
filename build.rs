//! Makes the release binary, which is flashed onto small cards, smaller by what the linker can leave out.
//!
//! - Relocations are packed (DT_RELR): 140 KiB. A linker that does not know it (Debian 12's for ARM) says so and goes on. The C
//!   library must then be glibc 2.36 or newer (Debian 12, Raspberry Pi OS of 2023), which every supported system has.
//! - Where a panic aborts, nothing unwinds: tables for it (`.eh_frame`) are 370 KiB that nobody reads. What is lost is the
//!   backtrace below a panic's message, which had no names in a stripped binary.

use std::path::Path;

/// What the linker is told to leave out.
const NO_UNWINDING: &str =
    "SECTIONS { /DISCARD/ : { *(.eh_frame) *(.eh_frame_hdr) } }\nINSERT AFTER .text;\n";

/// Adds the linker's options where they are understood.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    if var("CARGO_CFG_TARGET_OS") != "linux" || var("CARGO_CFG_TARGET_ENV") != "gnu" {
        return;
    }
    println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    // The profiles that inherit from `release` abort.
    if var("PROFILE") == "release" {
        let script = Path::new(&var("OUT_DIR")).join("no-unwinding.ld");
        if std::fs::write(&script, NO_UNWINDING).is_ok() {
            println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
            println!("cargo:rustc-link-arg-bins=-Wl,-T,{}", script.display());
        }
    }
}
