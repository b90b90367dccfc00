//! Compresses the files of the web page, and makes the release binary, which is flashed onto small cards, smaller by what the
//! linker can leave out.
//!
//! - Relocations are packed (DT_RELR): 140 KiB. A linker that does not know it (Debian 12's for ARM) says so and goes on. The C
//!   library must then be glibc 2.36 or newer (Debian 12, Raspberry Pi OS of 2023), which every supported system has.
//! - Where a panic aborts, nothing unwinds: tables for it (`.eh_frame`) are 370 KiB that nobody reads. What is lost is the
//!   backtrace below a panic's message, which had no names in a stripped binary. The start-up code of static binaries for ARM
//!   (crtbeginT.o, with its end in crtend.o), which others are not linked with, refers to its own table: that one is kept.
//! - Functions whose code is the same are kept once (identical code folding), where the linker can: lld does, which rustc brings along on
//!   x86-64 since 1.90, GNU's does not. No pointer to a function is compared here; Rust does not promise that they differ.

use flate2::{write::GzEncoder, Compression};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The files of the web page.
const PAGE: &str = "src/face/page";

/// What the API can do, as programs read it: served beside the page.
const DOCUMENT: &str = "docs/openapi.json";

/// What the linker is told to leave out.
const NO_UNWINDING: &str = "SECTIONS { /DISCARD/ : {
  *(EXCLUDE_FILE(*crtbeginT.o *crtend.o) .eh_frame) *(.eh_frame_hdr) } }\nINSERT AFTER .text;\n";

/// The linker keeps equal functions once.
const FOLDING: &str = "-Wl,--icf=all";

/// Compresses the page, and tells the linker.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={PAGE}");
    println!("cargo:rerun-if-changed={DOCUMENT}");
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    compress_page(Path::new(&var("OUT_DIR"))).expect("the files of the web page can be compressed");
    link(&var);
}

/// Writes each file of the page, compressed, beside a table of them (`face/web/assets.rs` includes it).
fn compress_page(out: &Path) -> std::io::Result<()> {
    let mut table = String::from("/// The files of the page.\nstatic ASSETS: &[Asset] = &[\n");
    let document = (PathBuf::from(DOCUMENT), "api/v1/openapi.json".to_owned());
    let named = |path: PathBuf| {
        let name = path.strip_prefix(PAGE).unwrap_or(&path).display().to_string();
        (path, name)
    };
    let all = files(Path::new(PAGE))?.into_iter().map(named).chain([document]);
    for (index, (path, name)) in all.enumerate() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&std::fs::read(&path)?)?;
        let bytes = encoder.finish()?;
        let file = out.join(format!("page{index}.gz"));
        std::fs::write(&file, &bytes)?;
        // The end of a gzip file is the CRC and the length of its content.
        let tag: String = bytes[bytes.len() - 8..].iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = writeln!(
            table,
            "    Asset {{ path: {:?}, etag: \"\\\"{tag}\\\"\", bytes: include_bytes!({file:?}) }},",
            name
        );
    }
    table.push_str("];\n");
    std::fs::write(out.join("page.rs"), table)
}

/// All files below a directory, in order.
fn files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Adds the linker's options where they are understood.
fn link(var: &impl Fn(&str) -> String) {
    if var("CARGO_CFG_TARGET_OS") != "linux" || var("CARGO_CFG_TARGET_ENV") != "gnu" {
        return;
    }
    println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    // The profiles that inherit from `release` abort.
    if var("PROFILE") == "release" {
        if links_with(var, FOLDING) {
            println!("cargo:rustc-link-arg-bins={FOLDING}");
        }
        let script = Path::new(&var("OUT_DIR")).join("no-unwinding.ld");
        if std::fs::write(&script, NO_UNWINDING).is_ok() {
            println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
            println!("cargo:rustc-link-arg-bins=-Wl,-T,{}", script.display());
        }
    }
}

/// Whether the linker of this build takes an option: an empty program is linked with it.
fn links_with(var: &impl Fn(&str) -> String, option: &str) -> bool {
    let directory = PathBuf::from(var("OUT_DIR"));
    let source = directory.join("empty.rs");
    if std::fs::write(&source, "fn main() {}\n").is_err() {
        return false;
    }
    let mut rustc = Command::new(var("RUSTC"));
    rustc.args(["--target", &var("TARGET"), "--crate-name", "empty", "-C"]).arg(format!("link-arg={option}"));
    let linker = var("RUSTC_LINKER");
    if !linker.is_empty() {
        rustc.arg("-C").arg(format!("linker={linker}"));
    }
    rustc.args(var("CARGO_ENCODED_RUSTFLAGS").split('\u{1f}').filter(|flag| !flag.is_empty()));
    rustc.arg("-o").arg(directory.join("empty")).arg(&source);
    rustc.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
