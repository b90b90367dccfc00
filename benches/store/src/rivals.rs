//! The rivals: redb, SQLite, a plain append log with everything in memory, and a plain file.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

use redb::{Database, TableDefinition};
use serde_json::{json, Value};

use super::measure::{begin, drop_cache, end, groups, peak_rss_bytes, play, Chunks, Id, Load, Rival};
use super::Result;

/// Memory that a database may use for pages: both the same.
const CACHE_BYTES: usize = 16 << 20;

/// One rival, all rounds.
pub fn row(who: &str, dir: &Path, load: Load) -> Result<Value> {
    match who {
        "redb" => play::<Redb>(dir, load),
        "sqlite" => play::<Sqlite>(dir, load),
        "log" => play::<Log>(dir, load),
        "file" => file(dir, load),
        _ => Err(format!("there is no rival '{who}'").into()),
    }
}

/// A B-tree with copy on write; a commit is durable (`Durability::Immediate`).
struct Redb(Database);

/// Its table.
const TABLE: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("chunks");

impl Rival for Redb {
    fn open(dir: &Path) -> Result<Self> {
        Ok(Self(Database::builder().set_cache_size(CACHE_BYTES).create(dir.join("redb"))?))
    }

    fn put(&mut self, group: &[(Id, Vec<u8>)]) -> Result<()> {
        let write = self.0.begin_write()?;
        let mut table = write.open_table(TABLE)?;
        for (id, value) in group {
            table.insert(id, value.as_slice())?;
        }
        drop(table);
        Ok(write.commit()?)
    }

    fn get(&mut self, id: &Id) -> Result<Option<Vec<u8>>> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        Ok(table.get(id)?.map(|value| value.value().to_vec()))
    }

    fn close(self) -> Result<()> {
        Ok(())
    }
}

/// The B-tree that everybody knows: WITHOUT ROWID, write-ahead log, a sync for each commit.
struct Sqlite(rusqlite::Connection);

impl Rival for Sqlite {
    fn open(dir: &Path) -> Result<Self> {
        let connection = rusqlite::Connection::open(dir.join("sqlite"))?;
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -{};
             CREATE TABLE IF NOT EXISTS chunks (id BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;",
            CACHE_BYTES / 1024
        ))?;
        Ok(Self(connection))
    }

    fn put(&mut self, group: &[(Id, Vec<u8>)]) -> Result<()> {
        let write = self.0.transaction()?;
        let mut insert = write.prepare_cached("INSERT INTO chunks VALUES (?1, ?2)")?;
        for (id, value) in group {
            insert.execute((&id[..], &value[..]))?;
        }
        drop(insert);
        Ok(write.commit()?)
    }

    fn get(&mut self, id: &Id) -> Result<Option<Vec<u8>>> {
        let mut select = self.0.prepare_cached("SELECT value FROM chunks WHERE id = ?1")?;
        let mut rows = select.query([&id[..]])?;
        Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
    }

    fn close(self) -> Result<()> {
        self.0.close().map_err(|(_, error)| error.into())
    }
}

/// The least that can be written: id, length, value, one after the other; all ids in memory, read again when it is opened.
struct Log {
    file: File,
    length: u64,
    places: HashMap<Id, (u64, u32)>,
}

/// Bytes before a value.
const HEAD: usize = 36;

impl Rival for Log {
    fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("log");
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let (mut places, mut length) = (HashMap::new(), 0);
        let mut reader = BufReader::with_capacity(1 << 20, file.try_clone()?);
        let mut head = [0; HEAD];
        while reader.read_exact(&mut head).is_ok() {
            let id = Id::try_from(&head[..32])?;
            let size = u32::from_le_bytes(head[32..].try_into()?);
            let head = u64::try_from(HEAD)?;
            places.insert(id, (length + head, size));
            reader.seek_relative(i64::from(size))?;
            length += head + u64::from(size);
        }
        Ok(Self { file, length, places })
    }

    fn put(&mut self, group: &[(Id, Vec<u8>)]) -> Result<()> {
        let mut bytes = Vec::new();
        for (id, value) in group {
            let size = u32::try_from(value.len())?;
            bytes.extend_from_slice(id);
            bytes.extend_from_slice(&size.to_le_bytes());
            self.places.insert(*id, (self.length + u64::try_from(bytes.len())?, size));
            bytes.extend_from_slice(value);
        }
        self.file.write_all(&bytes)?;
        self.length += u64::try_from(bytes.len())?;
        Ok(self.file.sync_data()?)
    }

    fn get(&mut self, id: &Id) -> Result<Option<Vec<u8>>> {
        let Some((offset, size)) = self.places.get(id) else { return Ok(None) };
        let mut value = vec![0; usize::try_from(*size)?];
        self.file.read_exact_at(&mut value, *offset)?;
        Ok(Some(value))
    }

    fn close(self) -> Result<()> {
        Ok(())
    }
}

/// The same bytes copied into one file and synced once, then read in order: what the disk gives.
fn file(dir: &Path, load: Load) -> Result<Value> {
    let chunks = Chunks::new(load);
    let path = dir.join("file");
    let begun = begin()?;
    let mut file = File::create(&path)?;
    for number in groups(load).flatten() {
        file.write_all(&chunks.chunk(number).1)?;
    }
    file.sync_all()?;
    let put = end(begun)?;
    drop_cache(dir)?;
    let bytes = (load.chunks * load.size) as f64;
    let begun = Instant::now();
    let (mut file, mut block, mut read) = (File::open(&path)?, vec![0; 1 << 20], 0);
    loop {
        match file.read(&mut block)? {
            0 => break,
            count => read += count,
        }
    }
    if read as f64 != bytes {
        return Err("the file is shorter than what was written".into());
    }
    Ok(json!({
        "put_seconds": put.0, "put_cpu_seconds": put.1, "put_mb_per_s": bytes / put.0 / 1e6,
        "get_mb_per_s": bytes / begun.elapsed().as_secs_f64() / 1e6, "peak_rss_bytes": peak_rss_bytes()?,
    }))
}
