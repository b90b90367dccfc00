//! The options and arguments of each command; see `face/cli.rs` for the commands.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::base::limits::SEALED_BYTES_MAX;
use crate::io::run::Web;
use crate::io::scope::socket_address;
use crate::node::config_keys::bytes_of;
use clap::{Args, Subcommand, ValueEnum};

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// The files to back up; they are only read. Without it, files are generated.
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Where the temporary homes are made; about four times the size of DIR must be free there.
    #[arg(long, value_name = "DIR")]
    pub work: Option<PathBuf>,
    /// How much is generated.
    #[arg(long, value_enum, default_value = "normal", conflicts_with = "directory")]
    pub size: Size,
}

/// How much the demo generates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Size {
    /// Some hundred files, 20 MB.
    Small,
    /// Some thousand files, 300 MB.
    Normal,
}

/// Options of `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// How this node is called.
    #[command(flatten)]
    pub who: Who,
}

/// How a new node is called.
#[derive(Debug, Args)]
pub struct Who {
    /// This node's name in the vault (else `node.name` of the configuration, else the host's name).
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The place where it stands (else `node.site` of the configuration).
    #[arg(long, value_name = "SITE")]
    pub site: Option<String>,
}

/// Options of `join`.
#[derive(Debug, Args)]
pub struct Join {
    /// The eight digits, also in groups; `-` reads them from standard input; without it they are asked for.
    #[arg(value_name = "CODE", num_args = 0..=2)]
    pub code: Vec<String>,
    /// Where the inviting node is, where mDNS does not reach it.
    #[arg(long, value_name = "IP:PORT", value_parser = socket_address)]
    pub peer: Option<SocketAddr>,
    /// How this node is called.
    #[command(flatten)]
    pub who: Who,
}

/// Options of `recover`.
#[derive(Debug, Args)]
pub struct Recover {
    /// A file with the 24 words; `-` is standard input. Without it they are asked for.
    #[arg(long, value_name = "FILE")]
    pub phrase_file: Option<PathBuf>,
    /// Where any other node of the vault is, where mDNS does not reach it.
    #[arg(long, value_name = "IP:PORT", value_parser = socket_address)]
    pub peer: Option<SocketAddr>,
    /// The lost node (name or beginning of its id): it is removed, and its folders are taken over.
    #[arg(long, value_name = "NODE")]
    pub replace: Option<String>,
    /// How this node is called.
    #[command(flatten)]
    pub who: Who,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Where other nodes reach this one (UDP). An address that is busy is an error; the default falls back to a free port.
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where the web page is (TCP), or `off` (else `web.listen` of the configuration; port 7118 on all addresses by default).
    #[arg(long, value_name = "IP:PORT|off", value_parser = web, default_value = "configured", hide_default_value = true)]
    pub web: Web,
    /// Whether to announce this node on the local network, and to look for others there.
    #[arg(long, value_enum, value_name = "on|off")]
    pub mdns: Option<Switch>,
    /// End when standard input is closed, so that no node outlives the process that started it.
    #[arg(long, hide = true)]
    pub exit_with_stdin: bool,
}

/// Where the web page is.
fn web(text: &str) -> Result<Web, String> {
    match text {
        "off" => Ok(Web::Off),
        "configured" => Ok(Web::Configured),
        text => text.parse().map(Web::At).map_err(|_| "give IP:PORT such as 0.0.0.0:7118, or off".to_owned()),
    }
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// Options of `invite`.
#[derive(Debug, Args)]
pub struct Invite {
    /// What the new node may do: `full` reads everything, `store` keeps sealed bytes only.
    #[arg(long, value_enum, default_value = "full")]
    pub role: RoleName,
    /// Print the code and return; the invitation stays open.
    #[arg(long)]
    pub no_wait: bool,
}

/// The two roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// Holds the content key, can read.
    Full,
    /// Holds sealed bytes, can read nothing.
    Store,
}

/// Options of `remove`.
#[derive(Debug, Args)]
pub struct Remove {
    /// Its name, or at least six digits of its id.
    #[arg(value_name = "NODE")]
    pub node: String,
    /// All other nodes are lost for good: none of them can confirm that this disk is up to date. Not to be used while one
    /// of them is only switched off.
    #[arg(long)]
    pub alone: bool,
    /// Do not wait until other nodes have what it holds: it was stolen, or cannot be trusted.
    #[arg(long, conflicts_with = "alone")]
    pub now: bool,
    /// Let it stay: what was said before, and is still waited with, is taken back.
    #[arg(long, conflicts_with_all = ["alone", "now"])]
    pub keep: bool,
    /// Do not ask; needed where nobody can be asked.
    #[arg(long, short)]
    pub yes: bool,
}

/// Options of `snapshots`.
#[derive(Debug, Args)]
pub struct Snapshots {
    /// Only of this folder.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// Options of `ls`.
#[derive(Debug, Args)]
pub struct Ls {
    /// `NAME[@SNAPSHOT][:PATH]`.
    #[arg(value_name = "WHAT")]
    pub what: String,
    /// Everything below, not only one level.
    #[arg(long, short)]
    pub recursive: bool,
}

/// Options of `restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// `NAME[@SNAPSHOT][:PATH]`.
    #[arg(value_name = "WHAT")]
    pub what: String,
    /// The directory to write into; it is made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Replace files that are there already and differ.
    #[arg(long)]
    pub overwrite: bool,
    /// Write nothing; say for each file what would become of it, then the sums.
    #[arg(long)]
    pub dry_run: bool,
    /// Compare what is there already by content, not by size and time: everything is fetched and read.
    #[arg(long, conflicts_with = "dry_run")]
    pub checksum: bool,
}

/// Options of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Read every byte.
    #[arg(long)]
    pub all: bool,
}

/// Options of `log`.
#[derive(Debug, Args)]
pub struct Log {
    /// Go on with what happens, until Ctrl-C.
    #[arg(long, short)]
    pub follow: bool,
}

/// The commands of `config`.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// The value of a key, or of all keys.
    #[command(after_long_help = "Examples:\n  nuthatch config get\n  nuthatch config get node.capacity")]
    Get {
        /// Such as `node.capacity`.
        #[arg(value_name = "KEY")]
        key: Option<String>,
    },
    /// Change a key; comments in the file stay.
    #[command(after_long_help = "Examples:\n  nuthatch config set node.capacity 200GB\n  \
        nuthatch config set peers.addresses 192.168.1.20:7117,192.168.1.21:7117")]
    Set {
        /// Such as `node.capacity`.
        #[arg(value_name = "KEY")]
        key: String,
        /// A word, a number, true or false, or a list with commas.
        #[arg(value_name = "VALUE", allow_hyphen_values = true)]
        value: String,
    },
    /// Check the file, and say what is wrong with it.
    #[command(
        after_long_help = "Examples:\n  nuthatch config check\n  nuthatch config check ./nuthatch.toml"
    )]
    Check {
        /// The file (else the one in the home).
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// The commands of `store`.
#[derive(Debug, Subcommand)]
pub enum Store {
    /// Read every byte of a store whose node does not run, and compare its index with its segments.
    #[command(
        after_long_help = "Examples:\n  nuthatch store check\n  nuthatch store check --home /mnt/old/nuthatch --json\n\n\
        Exits with 1 and a list when something is damaged or missing. A torn tail and a damaged index are said and are no damage: the\n\
        node repairs them at its next start. While the node runs, use `nuthatch verify --all`."
    )]
    Check,
    /// The same, and write every chunk that is whole and every feed entry to a file of its own.
    #[command(after_long_help = "Examples:\n  nuthatch store export --to /mnt/disk/export\n\n\
        chunks/ab/ab12... are sealed chunks, named by the SHA-256 of their bytes; feeds/NODE-RANDOM/SEQUENCE are signed feed entries.\n\
        With the recovery phrase another program can go on from there. This node's keys are not written. Exits with 4 when something\n\
        was damaged or missing.")]
    Export {
        /// An empty directory, or one that is not there.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
}

/// The commands of `bench`.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Count what one `bench send` sends, print it, and end.
    #[command(after_long_help = "Examples:\n  nuthatch bench serve --listen 0.0.0.0:7200\n  \
        nuthatch bench serve --listen [::]:7200 --json\n\n\
        Whoever reaches this address may send to it, until it has served once; what comes is counted and dropped. The keys\n\
        are made from a text that everybody can read, and no vault of yours has anything to do with them.")]
    Serve(BenchServe),
    /// Send to a `bench serve` as fast as the network takes it, and print how fast that was.
    #[command(after_long_help = "Examples:\n  nuthatch bench send 192.168.1.20:7200 --seconds 10\n  \
        nuthatch bench send 192.168.1.20:7200 --bytes 1GiB --json\n  \
        nuthatch bench send 192.168.1.20:7200 --seconds 30 --background   yields to other traffic\n\n\
        Ends when all that was sent is acknowledged. CPU-seconds and memory are those of this process.")]
    Send(BenchSend),
    /// Put, get and open through the real store on a real disk, beside a plain file.
    #[command(after_long_help = "Examples:\n  nuthatch bench store --dir /mnt/disk/bench --chunks 4000\n  \
        nuthatch bench store --dir /mnt/disk/bench --chunks 100000 --size 4KiB --json\n  \
        nuthatch bench store --dir /mnt/disk/bench --chunks 10000000 --index-only\n\n\
        DIR is empty or not there, and is so again in the end, also after Ctrl-C. Chunks are synced in groups as a node does.\n\
        Before the store is opened again and read, the system forgets what it has of it in memory.\n\n\
        --index-only stores records without bodies, ids in random order, a sync every 1,000: the store is the real one (log,\n\
        marks, index runs, merges), so what is measured is the cost of bookkeeping: bytes written, memory, time to open.")]
    Store(BenchStore),
}

/// Options of `bench store`.
#[derive(Debug, Args)]
pub struct BenchStore {
    /// An empty directory on the disk to be measured.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// How many chunks.
    #[arg(long, value_name = "N", default_value_t = 4_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub chunks: u64,
    /// Bytes of each: a number, or a size such as `256KiB`.
    #[arg(long, value_name = "BYTES", default_value = "256KiB", value_parser = chunk_size)]
    pub size: usize,
    /// Records without bodies: what bookkeeping costs, for many more chunks than the disk could hold.
    #[arg(long, conflicts_with = "size")]
    pub index_only: bool,
}

/// The size of a chunk that can be stored and be told from others.
fn chunk_size(text: &str) -> Result<usize, String> {
    let size = quantity(text)?;
    let size = usize::try_from(size).ok().filter(|size| (64..=SEALED_BYTES_MAX).contains(size));
    size.ok_or_else(|| format!("a chunk has 64 to {SEALED_BYTES_MAX} bytes"))
}

/// Options of `bench serve`.
#[derive(Debug, Args)]
pub struct BenchServe {
    /// Where the sender reaches this one (UDP); without it, a node's port on all addresses, or any free one.
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<SocketAddr>,
}

/// Options of `bench send`.
#[derive(Debug, Args)]
pub struct BenchSend {
    /// Where `bench serve` listens.
    #[arg(value_name = "IP:PORT")]
    pub address: SocketAddr,
    /// How long new data is sent; what is on its way then still arrives.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: u32,
    /// How much is sent, instead of how long: a number of bytes, or a size such as `1GiB`.
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = quantity)]
    pub bytes: Option<u64>,
    /// As traffic that yields to other traffic, such as repair.
    #[arg(long)]
    pub background: bool,
}

/// A number of bytes of at least 1, or a size with a unit.
fn quantity(text: &str) -> Result<u64, String> {
    let bytes = text.parse().ok().or_else(|| bytes_of(text));
    bytes
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "a number of bytes, or a size such as 500MB or 1GiB".to_owned())
}

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// Which shell.
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}
