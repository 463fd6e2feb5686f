//! Projections and what they hold back: segments go whole, and only once every registered
//! projection has applied them.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use cdc_model::{Offset, TopicPartition};
use fjall::PersistMode;

use crate::error::{Error, Result};
use crate::layout::{self, Offsets};
use crate::retention;
use crate::shared::{Shared, partition_no};
use crate::store::{Segment, store_error};

impl Shared {
    /// Registers a projection, or notes what it applied.
    pub(crate) fn put_projection(
        &self,
        name: &str,
        applied: Option<&[(TopicPartition, Offset)]>,
    ) -> Result<()> {
        let epochs = self.appending.lock().unwrap_or_else(PoisonError::into_inner);
        let offsets = self.with_store(|store| match (store.projections.get(name), applied) {
            (Some(_), None) => Ok(None),
            (None, None) => Ok(Some(Offsets::new())),
            (None, Some(_)) => Err(Error::UnknownProjection { name: name.to_owned() }),
            (Some(known), Some(applied)) => {
                let mut offsets = known.clone();
                for (partition, offset) in applied {
                    offsets.insert(partition_no(store, partition)?, offset.0);
                }
                Ok((offsets != *known).then_some(offsets))
            }
        })?;
        let Some(offsets) = offsets else { return Ok(()) };
        let durability = if applied.is_some() { PersistMode::Buffer } else { self.durability() };
        self.changing(|| {
            self.with_store(|store| {
                let mut write = store.db.batch().durability(Some(durability));
                let key = layout::key(b'p', name.as_bytes());
                write.insert(&store.meta, key, layout::put_offsets(&offsets));
                write.commit().map_err(store_error(&self.dir, "register a projection"))
            })
        })?;
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = store.as_mut() {
            store.projections.insert(name.to_owned(), offsets);
        }
        drop(store);
        drop(epochs);
        Ok(())
    }

    /// Forgets a projection.
    pub(crate) fn drop_projection(&self, name: &str) -> Result<()> {
        let epochs = self.appending.lock().unwrap_or_else(PoisonError::into_inner);
        self.changing(|| {
            self.with_store(|store| {
                let mut write = store.db.batch().durability(Some(self.durability()));
                write.remove(&store.meta, layout::key(b'p', name.as_bytes()));
                write.commit().map_err(store_error(&self.dir, "forget a projection"))
            })
        })?;
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = store.as_mut() {
            store.projections.remove(name);
        }
        drop(store);
        drop(epochs);
        Ok(())
    }

    /// Drops what retention allows.
    pub(crate) fn enforce_retention(&self) -> Result<usize> {
        let epochs = self.appending.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has_failed.load(Ordering::Acquire) {
            return Err(self.stopped());
        }
        let dropped = self.drop_segments();
        drop(epochs);
        dropped
    }

    /// Drops what retention allows. Called by whoever holds `appending`. Also on a full disk.
    pub(crate) fn drop_segments(&self) -> Result<usize> {
        let count = self.with_store(|store| {
            let metas: Vec<_> = store.segments.iter().map(|segment| &segment.meta).collect();
            let now_ms = self.now_ms();
            Ok(retention::droppable(&metas, &store.projections, &self.config, now_ms))
        })?;
        if count == 0 {
            return Ok(0);
        }
        let result = self.forget_segments(count);
        if result.as_ref().is_err_and(Error::is_store_failure) {
            self.has_failed.store(true, Ordering::Release);
        }
        result.map(|()| count)
    }

    fn forget_segments(&self, count: usize) -> Result<()> {
        let fail = store_error(&self.dir, "drop a segment");
        self.with_store(|store| {
            let mut write = store.db.batch().durability(Some(self.durability()));
            for segment in &store.segments[..count] {
                write.remove(&store.meta, layout::segment_key(segment.no));
            }
            write.commit().map_err(&fail)
        })?;
        let mut guard = self.store.write().unwrap_or_else(PoisonError::into_inner);
        let store = guard.as_mut().ok_or_else(|| self.stopped())?;
        let dropped: Vec<Segment> = store.segments.drain(..count).collect();
        let db = store.db.clone();
        drop(guard);
        for segment in dropped {
            tracing::info!(segment = segment.no, "dropped a segment");
            db.delete_keyspace(segment.keyspace).map_err(&fail)?;
        }
        Ok(())
    }
}
