//! Bytes to message.

use bytes::{Buf, Bytes};

use crate::pgoutput::cursor::Cursor;
use crate::pgoutput::error::DecodeError;
use crate::pgoutput::message::{
    Begin, BeginPrepare, Commit, CommitPrepared, Delete, Insert, LogicalMessage, Message, OldTuple,
    Origin, Prepare, Relation, RelationColumn, RelationIdentity, RollbackPrepared, StreamAbort,
    StreamCommit, Truncate, TypeName, Update,
};
use crate::pgoutput::tuple::{self, Tuple};

/// What a message's meaning depends on besides its bytes. Starts as `default()` with each
/// connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// Whether the stream stands between Stream Start and Stream Stop.
    pub in_stream_block: bool,
}

/// Decodes one message: the data of one `XLogData`.
///
/// Rows are not looked into; a malformed one shows when its columns are read.
///
/// # Errors
/// If the bytes are no message. `state` is unchanged then.
#[inline]
pub fn decode(data: Bytes, state: &mut State) -> Result<Message, DecodeError> {
    let mut cursor = Cursor(data);
    let tag = cursor.u8("tag").map_err(|_| DecodeError::Empty)?;
    match tag {
        b'I' => insert(cursor, *state).map(Message::Insert),
        b'U' => update(cursor, *state).map(Message::Update),
        b'D' => delete(cursor, *state).map(Message::Delete),
        _ => {
            let message = rare(tag, &mut cursor, *state)?;
            cursor.end()?;
            match message {
                Message::StreamStart { .. } => state.in_stream_block = true,
                Message::StreamStop => state.in_stream_block = false,
                _ => {}
            }
            Ok(message)
        }
    }
}

/// Decodes everything that is not a row.
fn rare(tag: u8, cursor: &mut Cursor, state: State) -> Result<Message, DecodeError> {
    match (tag, state.in_stream_block) {
        (b'B', false) => begin(cursor).map(Message::Begin),
        (b'C', false) => commit(cursor).map(Message::Commit),
        (b'O', _) => origin(cursor).map(Message::Origin),
        (b'R', _) => relation(cursor, state).map(Message::Relation),
        (b'Y', _) => type_name(cursor, state).map(Message::Type),
        (b'T', _) => truncate(cursor, state).map(Message::Truncate),
        (b'M', _) => logical_message(cursor, state).map(Message::Message),
        (b'S', false) => {
            let xid = cursor.u32("Stream Start.xid")?;
            let is_first = flag(cursor.u8("Stream Start.first")?, "Stream Start.first")?;
            Ok(Message::StreamStart { xid, is_first })
        }
        (b'E', true) => Ok(Message::StreamStop),
        (b'c', false) => stream_commit(cursor).map(Message::StreamCommit),
        (b'A', false) => stream_abort(cursor).map(Message::StreamAbort),
        (b'b', false) => begin_prepare(cursor).map(Message::BeginPrepare),
        (b'P', false) => prepare(cursor).map(Message::Prepare),
        (b'p', false) => prepare(cursor).map(Message::StreamPrepare),
        (b'K', false) => commit_prepared(cursor).map(Message::CommitPrepared),
        (b'r', false) => rollback_prepared(cursor).map(Message::RollbackPrepared),
        (b'B' | b'C' | b'S' | b'E' | b'c' | b'A' | b'b' | b'P' | b'p' | b'K' | b'r', _) => {
            Err(DecodeError::OutOfPlace { tag })
        }
        _ => Err(DecodeError::UnknownMessage { tag }),
    }
}

/// Reads the transaction id that stands first inside a stream block.
#[inline]
fn block_xid(cursor: &mut Cursor, state: State) -> Result<Option<u32>, DecodeError> {
    if state.in_stream_block { cursor.u32("xid").map(Some) } else { Ok(None) }
}

fn flag(byte: u8, field: &'static str) -> Result<bool, DecodeError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Undefined { field }),
    }
}

#[inline]
fn insert(mut cursor: Cursor, state: State) -> Result<Insert, DecodeError> {
    let xid = block_xid(&mut cursor, state)?;
    let relation = cursor.u32("Insert.relation")?;
    match cursor.u8("Insert.kind")? {
        b'N' => Ok(Insert { xid, relation, new: Tuple::new(cursor.0) }),
        _ => Err(DecodeError::Undefined { field: "Insert.kind" }),
    }
}

#[inline]
fn update(mut cursor: Cursor, state: State) -> Result<Update, DecodeError> {
    let xid = block_xid(&mut cursor, state)?;
    let relation = cursor.u32("Update.relation")?;
    let mut kind = cursor.u8("Update.kind")?;
    let mut old = None;
    if let b'K' | b'O' = kind {
        let length = tuple::length(&cursor.0)?;
        let tuple = Tuple::new(cursor.bytes(length, "Update.old")?);
        old = Some(if kind == b'K' { OldTuple::Key(tuple) } else { OldTuple::Full(tuple) });
        kind = cursor.u8("Update.kind")?;
    }
    match kind {
        b'N' => Ok(Update { xid, relation, old, new: Tuple::new(cursor.0) }),
        _ => Err(DecodeError::Undefined { field: "Update.kind" }),
    }
}

#[inline]
fn delete(mut cursor: Cursor, state: State) -> Result<Delete, DecodeError> {
    let xid = block_xid(&mut cursor, state)?;
    let relation = cursor.u32("Delete.relation")?;
    let old = match cursor.u8("Delete.kind")? {
        b'K' => OldTuple::Key(Tuple::new(cursor.0)),
        b'O' => OldTuple::Full(Tuple::new(cursor.0)),
        _ => return Err(DecodeError::Undefined { field: "Delete.kind" }),
    };
    Ok(Delete { xid, relation, old })
}

fn begin(cursor: &mut Cursor) -> Result<Begin, DecodeError> {
    Ok(Begin {
        final_lsn: cursor.lsn("Begin.final_lsn")?,
        commit_time: cursor.timestamp("Begin.commit_time")?,
        xid: cursor.u32("Begin.xid")?,
    })
}

fn commit(cursor: &mut Cursor) -> Result<Commit, DecodeError> {
    Ok(Commit {
        flags: cursor.u8("Commit.flags")?,
        commit_lsn: cursor.lsn("Commit.commit_lsn")?,
        end_lsn: cursor.lsn("Commit.end_lsn")?,
        commit_time: cursor.timestamp("Commit.commit_time")?,
    })
}

fn origin(cursor: &mut Cursor) -> Result<Origin, DecodeError> {
    Ok(Origin { commit_lsn: cursor.lsn("Origin.commit_lsn")?, name: cursor.text("Origin.name")? })
}

fn relation(cursor: &mut Cursor, state: State) -> Result<Relation, DecodeError> {
    let xid = block_xid(cursor, state)?;
    let id = cursor.u32("Relation.id")?;
    let schema = cursor.schema("Relation.schema")?;
    let name = cursor.text("Relation.name")?;
    let identity = match cursor.u8("Relation.identity")? {
        b'd' => RelationIdentity::Default,
        b'n' => RelationIdentity::Nothing,
        b'f' => RelationIdentity::Full,
        b'i' => RelationIdentity::Index,
        _ => return Err(DecodeError::Undefined { field: "Relation.identity" }),
    };
    let count = cursor.u16("Relation.columns")?;
    let mut columns = Vec::with_capacity(usize::from(count).min(cursor.0.remaining()));
    for _ in 0..count {
        columns.push(RelationColumn {
            is_key: cursor.u8("Relation.column.flags")? & 1 != 0,
            name: cursor.text("Relation.column.name")?,
            type_oid: cursor.u32("Relation.column.type")?,
            type_modifier: cursor.i32("Relation.column.modifier")?,
        });
    }
    Ok(Relation { xid, id, schema, name, identity, columns })
}

fn type_name(cursor: &mut Cursor, state: State) -> Result<TypeName, DecodeError> {
    Ok(TypeName {
        xid: block_xid(cursor, state)?,
        oid: cursor.u32("Type.oid")?,
        schema: cursor.schema("Type.schema")?,
        name: cursor.text("Type.name")?,
    })
}

fn truncate(cursor: &mut Cursor, state: State) -> Result<Truncate, DecodeError> {
    let xid = block_xid(cursor, state)?;
    let count = cursor.u32("Truncate.relations")?;
    let options = cursor.u8("Truncate.options")?;
    let mut relations = Vec::new();
    for _ in 0..count {
        relations.push(cursor.u32("Truncate.relations")?);
    }
    let is_cascade = options & 1 != 0;
    let is_restart_identity = options & 2 != 0;
    Ok(Truncate { xid, relations, is_cascade, is_restart_identity })
}

fn logical_message(cursor: &mut Cursor, state: State) -> Result<LogicalMessage, DecodeError> {
    let xid = block_xid(cursor, state)?;
    let is_transactional = flag(cursor.u8("Message.flags")?, "Message.flags")?;
    let lsn = cursor.lsn("Message.lsn")?;
    let prefix = cursor.text("Message.prefix")?;
    let length = cursor.u32("Message.length")? as usize;
    let content = cursor.bytes(length, "Message.content")?;
    Ok(LogicalMessage { xid, is_transactional, lsn, prefix, content })
}

fn stream_commit(cursor: &mut Cursor) -> Result<StreamCommit, DecodeError> {
    Ok(StreamCommit {
        xid: cursor.u32("Stream Commit.xid")?,
        flags: cursor.u8("Stream Commit.flags")?,
        commit_lsn: cursor.lsn("Stream Commit.commit_lsn")?,
        end_lsn: cursor.lsn("Stream Commit.end_lsn")?,
        commit_time: cursor.timestamp("Stream Commit.commit_time")?,
    })
}

fn stream_abort(cursor: &mut Cursor) -> Result<StreamAbort, DecodeError> {
    let xid = cursor.u32("Stream Abort.xid")?;
    let subxid = cursor.u32("Stream Abort.subxid")?;
    let aborted = if cursor.0.is_empty() {
        None
    } else {
        Some((cursor.lsn("Stream Abort.lsn")?, cursor.timestamp("Stream Abort.time")?))
    };
    Ok(StreamAbort { xid, subxid, aborted })
}

fn begin_prepare(cursor: &mut Cursor) -> Result<BeginPrepare, DecodeError> {
    Ok(BeginPrepare {
        prepare_lsn: cursor.lsn("Begin Prepare.prepare_lsn")?,
        end_lsn: cursor.lsn("Begin Prepare.end_lsn")?,
        prepare_time: cursor.timestamp("Begin Prepare.prepare_time")?,
        xid: cursor.u32("Begin Prepare.xid")?,
        gid: cursor.text("Begin Prepare.gid")?,
    })
}

fn prepare(cursor: &mut Cursor) -> Result<Prepare, DecodeError> {
    Ok(Prepare {
        flags: cursor.u8("Prepare.flags")?,
        prepare_lsn: cursor.lsn("Prepare.prepare_lsn")?,
        end_lsn: cursor.lsn("Prepare.end_lsn")?,
        prepare_time: cursor.timestamp("Prepare.prepare_time")?,
        xid: cursor.u32("Prepare.xid")?,
        gid: cursor.text("Prepare.gid")?,
    })
}

fn commit_prepared(cursor: &mut Cursor) -> Result<CommitPrepared, DecodeError> {
    Ok(CommitPrepared {
        flags: cursor.u8("Commit Prepared.flags")?,
        commit_lsn: cursor.lsn("Commit Prepared.commit_lsn")?,
        end_lsn: cursor.lsn("Commit Prepared.end_lsn")?,
        commit_time: cursor.timestamp("Commit Prepared.commit_time")?,
        xid: cursor.u32("Commit Prepared.xid")?,
        gid: cursor.text("Commit Prepared.gid")?,
    })
}

fn rollback_prepared(cursor: &mut Cursor) -> Result<RollbackPrepared, DecodeError> {
    Ok(RollbackPrepared {
        flags: cursor.u8("Rollback Prepared.flags")?,
        prepare_end_lsn: cursor.lsn("Rollback Prepared.prepare_end_lsn")?,
        rollback_end_lsn: cursor.lsn("Rollback Prepared.rollback_end_lsn")?,
        prepare_time: cursor.timestamp("Rollback Prepared.prepare_time")?,
        rollback_time: cursor.timestamp("Rollback Prepared.rollback_time")?,
        xid: cursor.u32("Rollback Prepared.xid")?,
        gid: cursor.text("Rollback Prepared.gid")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn fails(bytes: &'static [u8], error: DecodeError) {
        let mut state = State::default();
        assert_eq!(decode(Bytes::from_static(bytes), &mut state), Err(error));
        assert_eq!(state, State::default());
    }

    #[test]
    fn what_is_no_message_is_refused() {
        fails(b"", DecodeError::Empty);
        fails(b"z", DecodeError::UnknownMessage { tag: b'z' });
        fails(b"E", DecodeError::OutOfPlace { tag: b'E' });
        fails(b"S\0\0\0\x01\x02", DecodeError::Undefined { field: "Stream Start.first" });
        fails(b"S\0\0\0\x01\x01!", DecodeError::TrailingBytes);
        fails(b"I\0\0\0\x01K\0\0", DecodeError::Undefined { field: "Insert.kind" });
        fails(b"T\xFF\xFF\xFF\xFF\0", DecodeError::Truncated { field: "Truncate.relations" });
        fails(
            b"M\0\0\0\0\0\0\0\0\0p\0\0\0\0\x09c",
            DecodeError::Truncated { field: "Message.content" },
        );
        fails(b"U\0\0\0\x01K\0\x01t\0\0\0\x09x", DecodeError::Truncated { field: "Tuple.value" });
    }

    #[test]
    fn changes_carry_their_transaction_inside_a_stream_block_only() {
        let mut state = State::default();
        let mut next = |bytes: &'static [u8]| decode(Bytes::from_static(bytes), &mut state);
        assert_eq!(next(b"S\0\0\0\x07\x01"), Ok(Message::StreamStart { xid: 7, is_first: true }));
        let Ok(Message::Insert(insert)) = next(b"I\0\0\0\x08\0\0\0\x01N\0\0") else { panic!() };
        assert_eq!((insert.xid, insert.relation), (Some(8), 1));
        assert_eq!(next(b"S\0\0\0\x07\x00"), Err(DecodeError::OutOfPlace { tag: b'S' }));
        assert_eq!(next(b"E"), Ok(Message::StreamStop));
        let Ok(Message::Insert(insert)) = next(b"I\0\0\0\x01N\0\0") else { panic!() };
        assert_eq!((insert.xid, insert.relation), (None, 1));
    }
}
