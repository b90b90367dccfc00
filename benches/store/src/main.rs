//! The store's rivals beside `nuthatch bench store`, all in one run on one directory. See README.md.
//!
//! Each row runs in a process of its own, so that memory, processor time and bytes written are its own; this file starts
//! them, and prints. What is measured, and how, is in `measure.rs`; the rivals are in `rivals.rs`.

mod measure;
mod rivals;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{json, Value};

use measure::{io_written, Load};

/// What went wrong, for a person.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What was asked for.
struct Options {
    dir: PathBuf,
    nuthatch: Option<PathBuf>,
    ids: u64,
    bulk_bytes: u64,
    who: Vec<String>,
    json: bool,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "row") {
        let [_, who, dir, chunks, size] = &arguments[..] else { return Err(USAGE.into()) };
        let load = Load { chunks: chunks.parse()?, size: size.parse()? };
        println!("{}", rivals::row(who, Path::new(dir), load)?);
        return Ok(());
    }
    let options = read(&arguments)?;
    let mut rows = Vec::new();
    for load in loads(&options) {
        for who in &options.who {
            eprintln!("{who}: {} chunks of {} bytes ...", load.chunks, load.size);
            match play(&options, who, load) {
                Ok(row) => rows.push(row),
                Err(error) => eprintln!("{who}: {error}"),
            }
        }
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print!("{}", tables(&rows));
    }
    Ok(())
}

/// Reads the options.
fn read(arguments: &[String]) -> Result<Options> {
    let mut options = Options {
        dir: PathBuf::new(),
        nuthatch: None,
        ids: 1_000_000,
        bulk_bytes: 512 << 20,
        who: ["nuthatch", "redb", "sqlite", "log", "file"].map(String::from).to_vec(),
        json: false,
    };
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        let mut value = || rest.next().ok_or(USAGE);
        match name.as_str() {
            "--dir" => options.dir = value()?.into(),
            "--nuthatch" => options.nuthatch = Some(value()?.into()),
            "--ids" => options.ids = value()?.parse()?,
            "--bulk-bytes" => options.bulk_bytes = value()?.parse()?,
            "--who" => options.who = value()?.split(',').map(String::from).collect(),
            "--json" => options.json = true,
            _ => return Err(USAGE.into()),
        }
    }
    if options.dir.as_os_str().is_empty() {
        return Err(USAGE.into());
    }
    if options.nuthatch.is_none() {
        options.who.retain(|who| who != "nuthatch");
    }
    Ok(options)
}

/// Ids alone, large chunks, small chunks.
fn loads(options: &Options) -> Vec<Load> {
    let mut loads = vec![Load { chunks: options.ids, size: 0 }];
    loads.extend([256 << 10, 4 << 10].map(|size| Load { chunks: options.bulk_bytes / size, size }));
    loads.retain(|load| load.chunks > 0);
    loads
}

/// One row, in a process and a directory of its own.
fn play(options: &Options, who: &str, load: Load) -> Result<Value> {
    if who == "file" && load.size == 0 {
        return Err("a plain file has no index".into());
    }
    let dir = options.dir.join(format!("{who}-{}", load.size));
    if who != "nuthatch" {
        std::fs::create_dir_all(&dir)?;
    }
    let mut command = match (&options.nuthatch, who) {
        (Some(binary), "nuthatch") => {
            std::fs::create_dir_all(&options.dir)?;
            let mut command = Command::new(binary);
            command.args(["bench", "store", "--json", "--dir"]).arg(&dir);
            command.args(["--chunks", &load.chunks.to_string()]);
            if load.size == 0 {
                command.arg("--index-only");
            } else {
                command.args(["--size", &load.size.to_string()]);
            }
            command
        }
        _ => {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["row", who]).arg(&dir).args([load.chunks.to_string(), load.size.to_string()]);
            command
        }
    };
    let before = io_written()?;
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    // The kernel adds what a process wrote to its parent's account when it has been waited for.
    let written = io_written()?.saturating_sub(before);
    if who != "nuthatch" {
        std::fs::remove_dir_all(&dir)?;
    }
    if !output.status.success() {
        return Err(format!("ended with {}", output.status).into());
    }
    let told: Value = serde_json::from_slice(&output.stdout)?;
    Ok(if who == "nuthatch" { ours(&told, load, written) } else { rival(told, who, load, written) })
}

/// A rival's row.
fn rival(mut row: Value, who: &str, load: Load, written: u64) -> Value {
    row["who"] = json!(who);
    (row["chunks"], row["chunk_bytes"]) = (json!(load.chunks), json!(load.size));
    row["written_bytes"] = json!(written);
    row
}

/// What `nuthatch bench store` told, in the words of the rivals' rows.
fn ours(told: &Value, load: Load, written: u64) -> Value {
    let payload = load.chunks * load.size;
    let per_second = told["puts_per_s"].as_f64();
    let seconds = told["put_seconds"].as_f64().or(per_second.map(|rate| load.chunks as f64 / rate));
    json!({
        "who": "nuthatch", "chunks": load.chunks, "chunk_bytes": load.size,
        // It writes a plain file of the same bytes first.
        "written_bytes": written.saturating_sub(payload),
        "put_seconds": seconds,
        "put_cpu_seconds": told["put_cpu_seconds"],
        "put_mb_per_s": told["put_mb_per_s"],
        "open_seconds": told["open_seconds"],
        "lookups_per_s": told["lookups_per_s"],
        "get_mb_per_s": told["get_mb_per_s"],
        "gets_per_s": told["gets_per_s"],
        "peak_rss_bytes": told["peak_rss_bytes"],
    })
}

/// The rows as Markdown, one table for each size.
fn tables(rows: &[Value]) -> String {
    let mut out = String::new();
    let mut size = None;
    for row in rows {
        if size != Some(row["chunk_bytes"].clone()) {
            size = Some(row["chunk_bytes"].clone());
            out.push_str(&format!("\n{} chunks of {} bytes\n\n", row["chunks"], row["chunk_bytes"]));
            out.push_str("| | written, bytes a chunk | put, s | CPU, s | put, MB/s | open, s | lookups/s | get, MB/s | random gets/s | peak, MiB |\n");
            out.push_str("|---|---|---|---|---|---|---|---|---|---|\n");
        }
        let number = |key: &str, digits: usize| {
            row[key].as_f64().map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let chunks = row["chunks"].as_f64().unwrap_or(1.0).max(1.0);
        let written = row["written_bytes"].as_f64().map_or(0.0, |bytes| bytes / chunks);
        let peak = row["peak_rss_bytes"].as_f64().map_or(0.0, |bytes| bytes / f64::from(1 << 20));
        out.push_str(&format!(
            "| {} | {written:.0} | {} | {} | {} | {} | {} | {} | {} | {peak:.1} |\n",
            row["who"].as_str().unwrap_or("?"),
            number("put_seconds", 1),
            number("put_cpu_seconds", 1),
            number("put_mb_per_s", 0),
            number("open_seconds", 3),
            number("lookups_per_s", 0),
            number("get_mb_per_s", 0),
            number("gets_per_s", 0),
        ));
    }
    out
}

/// How it is called.
const USAGE: &str =
    "nuthatch-store-rivals --dir DIR [--nuthatch BINARY] [--ids 1000000] [--bulk-bytes 536870912] \
[--who nuthatch,redb,sqlite,log,file] [--json]";
