//! The JSON bodies of the calls that have one; see `face/routes.rs`.
//!
//! A field that does not exist is an error, so that a misspelt one is not quietly its default.

use std::net::SocketAddr;

use super::routes::bad;
use crate::base::limits::SELECTION_RANGES_MAX;
use crate::feed::entry::Mode;
use crate::node::api::{ApiError, Call, FolderAdd};
use crate::node::restore::selection::Range;
use base64::engine::general_purpose::STANDARD as BASE64;
use base64::Engine as _;
use serde::{Deserialize, Serialize};

/// The body of `init`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InitBody {
    /// As in [`Call::Init`].
    pub(super) name: Option<String>,
    /// As in [`Call::Init`].
    pub(super) site: Option<String>,
}

/// The body of `join`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JoinBody {
    /// As in [`Call::Join`].
    pub(super) code: String,
    /// As in [`Call::Join`].
    pub(super) peer: Option<SocketAddr>,
    /// As in [`Call::Join`].
    pub(super) name: Option<String>,
    /// As in [`Call::Join`].
    pub(super) site: Option<String>,
}

/// The body of `recover`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecoverBody {
    /// As in [`Call::Recover`].
    pub(super) phrase: String,
    /// As in [`Call::Recover`].
    pub(super) peer: Option<SocketAddr>,
    /// As in [`Call::Recover`].
    pub(super) replace: Option<String>,
    /// As in [`Call::Recover`].
    pub(super) name: Option<String>,
    /// As in [`Call::Recover`].
    pub(super) site: Option<String>,
}

/// The body of `folders`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FolderBody {
    /// As in [`FolderAdd`].
    pub(super) name: String,
    /// The directory where it is UTF-8.
    pub(super) directory: Option<String>,
    /// The directory where it is not.
    pub(super) directory_base64: Option<String>,
    /// As in [`FolderAdd`]; `backup` when left out.
    pub(super) kind: Option<String>,
    /// As in [`FolderAdd`].
    pub(super) copies: Option<u8>,
    /// As in [`FolderAdd`].
    pub(super) keep: Option<String>,
    /// As in [`FolderAdd`].
    #[serde(default)]
    pub(super) ignore: Vec<String>,
    /// As in [`FolderAdd`].
    #[serde(default)]
    pub(super) one_file_system: bool,
    /// As in [`FolderAdd`].
    pub(super) max_size: Option<String>,
    /// As in [`FolderAdd`].
    #[serde(default)]
    pub(super) mode: Mode,
}

/// The body of `invite`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InviteBody {
    /// `full` (when left out) or `store`.
    pub(super) role: Option<String>,
    /// As in [`Call::Invite`].
    #[serde(default)]
    pub(super) wait: bool,
}

/// The body of `erase`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EraseBody {
    /// As in [`Call::Erase`].
    pub(super) folder: String,
    /// As in [`Call::Erase`].
    #[serde(default)]
    pub(super) snapshots: Vec<String>,
    /// As in [`Call::Erase`].
    pub(super) phrase: Option<String>,
}

/// The body of `move`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MoveBody {
    /// As in [`Call::Move`].
    pub(super) from: String,
    /// As in [`Call::Move`].
    pub(super) to: String,
    /// As in [`Call::Move`].
    #[serde(default)]
    pub(super) copy: bool,
    /// As in [`Call::Move`].
    #[serde(default)]
    pub(super) overwrite: bool,
}

impl MoveBody {
    /// The call that it is the body of.
    pub(super) fn call(self) -> Call {
        let Self { from, to, copy, overwrite } = self;
        Call::Move { from, to, copy, overwrite }
    }
}

/// The body of a `restore` of some content.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RestoreBody {
    /// As in [`Call::RestoreSome`].
    what: String,
    /// Pairs of a first and a last path, in base64.
    wanted_base64: Vec<(String, String)>,
}

/// The body of `backup`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BackupBody {
    /// As in [`Call::Backup`].
    pub(super) name: Option<String>,
    /// As in [`Call::Backup`].
    #[serde(default)]
    pub(super) wait: bool,
    /// It is a [`Call::Checksum`].
    #[serde(default)]
    pub(super) checksum: bool,
}

/// The body of a change of `folders`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetBody {
    /// As in [`Call::FolderSet`].
    pub(super) name: String,
    /// As in [`Call::FolderSet`].
    pub(super) changes: Vec<String>,
}

/// The body of `sync`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SyncBody {
    /// As in [`Call::Sync`].
    #[serde(default)]
    pub(super) wait: bool,
}

/// The body of `pause`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PauseBody {
    /// As in [`Call::Pause`].
    pub(super) span_us: Option<u64>,
}

/// The body of `resume`, which says nothing.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoBody {}

/// The body of `forget`, `undo` and `confirm`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhatBody {
    /// As in [`Call::Forget`].
    pub(super) what: String,
}

/// The body of `verify`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyBody {
    /// As in [`Call::Verify`].
    #[serde(default)]
    pub(super) all: bool,
}

/// The body of `drill`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DrillBody {
    /// As in [`Call::Drill`].
    #[serde(default)]
    pub(super) name: Option<String>,
}

/// The body of `say`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SayBody {
    /// As in [`Call::Say`].
    pub(super) text: String,
}

/// The body of `test-alert`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestBody {
    /// As in [`Call::TestAlert`].
    pub(super) event: Option<String>,
}

/// The body of `config`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigBody {
    /// As in [`Call::ConfigSet`].
    pub(super) key: String,
    /// As in [`Call::ConfigSet`].
    pub(super) value: String,
}

/// The backup that a body asks for.
pub(super) fn backup(body: BackupBody) -> Call {
    let BackupBody { name, wait, checksum } = body;
    if checksum {
        Call::Checksum { name, wait }
    } else {
        Call::Backup { name, wait }
    }
}

/// The folder that a body describes.
pub(super) fn folder_add(body: FolderBody) -> Result<Call, ApiError> {
    let directory = match (body.directory, body.directory_base64) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(text)) => BASE64.decode(text).map_err(|_| {
            bad("directory_base64 is not base64".to_owned(), "encode the path with the standard alphabet")
        })?,
        _ => {
            return Err(bad(
                "one directory is needed".to_owned(),
                "give either directory or directory_base64",
            ))
        }
    };
    Ok(Call::FolderAdd(FolderAdd {
        name: body.name,
        directory,
        kind: body.kind.unwrap_or_else(|| "backup".to_owned()),
        copies: body.copies,
        keep: body.keep,
        ignore: body.ignore,
        one_file_system: body.one_file_system,
        max_size: body.max_size,
        mode: body.mode,
    }))
}

/// The body that describes a folder.
pub(super) fn folder_body(folder: &FolderAdd) -> FolderBody {
    let text = String::from_utf8(folder.directory.clone()).ok();
    FolderBody {
        name: folder.name.clone(),
        directory_base64: text.is_none().then(|| BASE64.encode(&folder.directory)),
        directory: text,
        kind: Some(folder.kind.clone()),
        copies: folder.copies,
        keep: folder.keep.clone(),
        ignore: folder.ignore.clone(),
        one_file_system: folder.one_file_system,
        max_size: folder.max_size.clone(),
        mode: folder.mode,
    }
}

/// A body of `restore` as a call.
pub(super) fn restore_some(body: RestoreBody) -> Result<Call, ApiError> {
    let path = |text: &str| {
        BASE64
            .decode(text)
            .map_err(|_| bad("a path is not base64".to_owned(), "encode the bytes of the path"))
    };
    let range = |(first, last): &(String, String)| Ok(Range { first: path(first)?, last: path(last)? });
    let wanted = body.wanted_base64.iter().map(range).collect::<Result<Vec<_>, ApiError>>()?;
    if wanted.len() > SELECTION_RANGES_MAX {
        return Err(bad(
            "there are too many ranges".to_owned(),
            "ask for what lies between some of them too",
        ));
    }
    Ok(Call::RestoreSome { what: body.what, wanted })
}

/// A call as a body of `restore`.
pub(super) fn restore_body(what: &str, wanted: &[Range]) -> RestoreBody {
    let pair = |range: &Range| (BASE64.encode(&range.first), BASE64.encode(&range.last));
    RestoreBody { what: what.to_owned(), wanted_base64: wanted.iter().map(pair).collect() }
}
