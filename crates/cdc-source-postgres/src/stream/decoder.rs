//! From messages to change events: transactions, sequence numbers, positions, and what is skipped
//! because it was consumed before. Pure; resolving relations against the catalogue is the pump's.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use cdc_model::{
    ChangeEvent, ImageKind, LogicalMessage, Lsn, Op, Origin, Row, RowImage, Timestamp, Transaction,
    Value,
};
use cdc_pipeline::port::{ChangeBatch, StreamItem};

use crate::error::{Error, Halt};
use crate::pgoutput::{self, Begin, Commit, Message, OldTuple, Tuple, Update};
use crate::position::StreamPosition;
use crate::relation::Relation;
use crate::snapshot::window::{Verdict, Window};
use crate::watch::HEARTBEAT_PREFIX;

/// Follows one session.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: pgoutput::State,
    relations: BTreeMap<u32, Relation>,
    open: Option<Open>,
    position: StreamPosition,
    previous_commit: Option<Lsn>,
    committed_at: Option<Timestamp>,
    window: Option<Window>,
    /// Changes and messages since [`Decoder::take_activity`].
    activity: u64,
}

/// The transaction being received.
#[derive(Debug)]
struct Open {
    transaction: Arc<Transaction>,
    xid: u32,
    /// Number of the next change.
    seq: u64,
    /// How many of the first were consumed before; `None` for all.
    consumed: Option<u64>,
}

/// What the pump must do before the next message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Nothing,
    /// Resolve the relation and give it to [`Decoder::define`].
    Relation(pgoutput::Relation),
}

impl Decoder {
    /// Follows a session whose changes up to `position` were consumed.
    pub(crate) fn new(position: StreamPosition, window: Option<Window>) -> Self {
        Self {
            state: pgoutput::State::default(),
            relations: BTreeMap::new(),
            open: None,
            position,
            previous_commit: None,
            committed_at: None,
            window,
            activity: 0,
        }
    }

    /// Returns how far it has come.
    pub(crate) fn position(&self) -> StreamPosition {
        self.position
    }

    /// Returns when the last transaction begun here was committed, by the server's clock.
    pub(crate) fn committed_at(&self) -> Option<Timestamp> {
        self.committed_at
    }

    /// Returns whether no transaction is half received.
    pub(crate) fn is_between(&self) -> bool {
        self.open.is_none()
    }

    /// Returns the transaction being received.
    pub(crate) fn open_xid(&self) -> Option<u32> {
        self.open.as_ref().map(|open| open.xid)
    }

    /// Returns how many changes and messages came since the last call, heartbeats aside.
    pub(crate) fn take_activity(&mut self) -> u64 {
        std::mem::take(&mut self.activity)
    }

    /// Notes that everything committed before `wal_end` has been received.
    pub(crate) fn idle(&mut self, wal_end: Lsn) {
        if self.is_between() && wal_end > self.position.lsn {
            self.position = StreamPosition::between(wal_end);
        }
    }

    /// Forgets an interrupted snapshot once the stream has passed all that it may hold already.
    pub(crate) fn close_window(&mut self) {
        let is_past = self.window.as_ref().is_some_and(|window| self.position.lsn >= window.end());
        if is_past && self.is_between() {
            self.window = None;
        }
    }

    /// Takes a relation's definition.
    pub(crate) fn define(&mut self, relation: Relation) {
        if let Some(window) = &mut self.window {
            window.define(&relation);
        }
        self.relations.insert(relation.id, relation);
    }

    /// Returns the definition in force, if any.
    pub(crate) fn relation(&self, id: u32) -> Option<&Relation> {
        self.relations.get(&id)
    }

    /// Consumes one message that stands at `lsn` and adds what follows from it to `batch`.
    pub(crate) fn consume(
        &mut self,
        data: Bytes,
        lsn: Lsn,
        batch: &mut ChangeBatch,
    ) -> Result<Need, Error> {
        match pgoutput::decode(data, &mut self.state)? {
            Message::Insert(insert) => {
                let Some(change) = self.begin_change(insert.relation, lsn)? else {
                    return Ok(Need::Nothing);
                };
                let after = change.relation.row(&insert.new)?;
                self.emit(change.op(Op::Create, None, Some(after)), batch)?;
            }
            Message::Update(update) => {
                if let Some(change) = self.begin_change(update.relation, lsn)? {
                    let (before, after) = images(&change.relation, &update)?;
                    self.emit(change.op(Op::Update, before, Some(after)), batch)?;
                }
            }
            Message::Delete(delete) => {
                if let Some(change) = self.begin_change(delete.relation, lsn)? {
                    let before = Some(old_image(&change.relation, &delete.old)?);
                    self.emit(change.op(Op::Delete, before, None), batch)?;
                }
            }
            Message::Truncate(truncate) => {
                for id in truncate.relations {
                    if let Some(change) = self.begin_change(id, lsn)? {
                        self.emit(change.op(Op::Truncate, None, None), batch)?;
                    }
                }
            }
            Message::Begin(begin) => self.begin(begin),
            Message::Commit(commit) => self.commit(commit),
            Message::Relation(relation) => return Ok(Need::Relation(relation)),
            Message::Message(message) => self.message(message, batch),
            // Types are looked up in the catalogue; origins are not filtered.
            Message::Type(_) | Message::Origin(_) => {}
            // Never asked for: neither streaming nor two-phase.
            Message::StreamStart { .. }
            | Message::StreamStop
            | Message::StreamCommit(_)
            | Message::StreamAbort(_)
            | Message::BeginPrepare(_)
            | Message::Prepare(_)
            | Message::CommitPrepared(_)
            | Message::RollbackPrepared(_)
            | Message::StreamPrepare(_) => {
                return Err(pgoutput::DecodeError::OutOfPlace { tag: b'S' }.into());
            }
        }
        Ok(Need::Nothing)
    }

    fn begin(&mut self, begin: Begin) {
        let transaction = Transaction {
            id: u64::from(begin.xid),
            commit_lsn: begin.final_lsn,
            previous_commit_lsn: self.previous_commit,
            committed_at: begin.commit_time,
        };
        self.committed_at = Some(begin.commit_time);
        self.open = Some(Open {
            transaction: Arc::new(transaction),
            xid: begin.xid,
            seq: 0,
            consumed: self.position.consumed_of(begin.final_lsn),
        });
    }

    fn commit(&mut self, commit: Commit) {
        self.open = None;
        self.previous_commit = Some(commit.commit_lsn);
        if commit.end_lsn > self.position.lsn {
            self.position = StreamPosition::between(commit.end_lsn);
        }
    }

    /// Numbers the next change of the transaction; `None` if it was consumed before.
    fn number(&mut self) -> Result<Option<(Arc<Transaction>, u64)>, Error> {
        let Some(open) = &mut self.open else {
            return Err(pgoutput::DecodeError::OutOfPlace { tag: b'I' }.into());
        };
        let seq = open.seq;
        open.seq += 1;
        let is_new = open.consumed.is_some_and(|consumed| seq >= consumed);
        if !is_new {
            return Ok(None);
        }
        let commit_lsn = open.transaction.commit_lsn;
        self.position = StreamPosition::inside(commit_lsn, seq + 1, self.position.ack);
        Ok(Some((open.transaction.clone(), seq)))
    }

    fn begin_change(&mut self, relation: u32, lsn: Lsn) -> Result<Option<Change>, Error> {
        let Some((transaction, seq)) = self.number()? else { return Ok(None) };
        self.activity += 1;
        let origin = Origin { transaction, seq, lsn, snapshot: None };
        match self.relations.get(&relation) {
            Some(found) => Ok(Some(Change { relation: found.clone(), origin })),
            None => Err(Halt::RelationUnknown { relation }.into()),
        }
    }

    /// Adds the event, or what an interrupted snapshot leaves of it.
    fn emit(&mut self, event: Event, batch: &mut ChangeBatch) -> Result<(), Error> {
        let Event { relation, event } = event;
        let xid = self.open.as_ref().map_or(0, |open| open.xid);
        let verdict = match &self.window {
            None => Verdict::Keep(event),
            Some(window) => window.judge(relation, xid, event)?,
        };
        let event = match verdict {
            Verdict::Keep(event) => event,
            Verdict::Skip => return Ok(()),
        };
        if let Some(relation) = self.relations.get_mut(&relation)
            && !std::mem::replace(&mut relation.is_announced, true)
        {
            batch.items.push(StreamItem::Schema(relation.schema.clone()));
        }
        batch.items.push(StreamItem::Change(event));
        Ok(())
    }

    fn message(&mut self, message: pgoutput::LogicalMessage, batch: &mut ChangeBatch) {
        let is_heartbeat = &*message.prefix == HEARTBEAT_PREFIX;
        let (transaction, seq) = if message.is_transactional {
            match self.number() {
                Ok(Some(numbered)) => numbered,
                Ok(None) | Err(_) => return,
            }
        } else {
            if message.lsn < self.position.lsn {
                return;
            }
            // Records are aligned to 8 bytes: the next begins after this position.
            self.position = StreamPosition::between(Lsn(message.lsn.0 + 1));
            (Arc::new(standalone(message.lsn)), 0)
        };
        if is_heartbeat {
            return;
        }
        self.activity += 1;
        batch.items.push(StreamItem::Message(LogicalMessage {
            prefix: message.prefix,
            content: message.content,
            is_transactional: message.is_transactional,
            origin: Origin { transaction, seq, lsn: message.lsn, snapshot: None },
        }));
    }
}

fn standalone(lsn: Lsn) -> Transaction {
    Transaction {
        id: 0,
        commit_lsn: lsn,
        previous_commit_lsn: None,
        committed_at: Timestamp::default(),
    }
}

/// A change that has its number and table.
struct Change {
    relation: Relation,
    origin: Origin,
}

struct Event {
    relation: u32,
    event: ChangeEvent,
}

impl Change {
    fn op(self, op: Op, before: Option<RowImage>, after: Option<Row>) -> Event {
        let Self { relation, origin } = self;
        let table = relation.schema;
        Event { relation: relation.id, event: ChangeEvent { table, op, before, after, origin } }
    }
}

fn images(relation: &Relation, update: &Update) -> Result<(Option<RowImage>, Row), Error> {
    let after = relation.row(&update.new)?;
    let Some(old) = &update.old else { return Ok((None, after)) };
    let before = old_image(relation, old)?;
    let after = if before.kind == ImageKind::Full && after.has_unchanged() {
        fill_unchanged(after, &before.row)
    } else {
        after
    };
    Ok((Some(before), after))
}

/// Under replica identity full the old row has what the new one leaves out.
fn fill_unchanged(after: Row, before: &Row) -> Row {
    let mut values = after.into_values();
    for (value, old) in values.iter_mut().zip(before.iter()) {
        if matches!(value, Value::Unchanged) {
            *value = old.clone();
        }
    }
    Row::new(values)
}

fn old_image(relation: &Relation, old: &OldTuple) -> Result<RowImage, Error> {
    let (tuple, kind): (&Tuple, _) = match old {
        OldTuple::Key(tuple) => (tuple, ImageKind::Key),
        OldTuple::Full(tuple) => (tuple, ImageKind::Full),
    };
    Ok(RowImage { row: relation.row(tuple)?, kind })
}
