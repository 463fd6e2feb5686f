//! The index as of one commit: what is searched, and what the writer looks up.

use std::collections::BTreeMap;
use std::sync::Arc;

use cdc_model::{Offset, TopicPartition};
use cdc_pipeline::port::ParkedRecord;
use serde_json::Value as Json;
use tantivy::collector::Count;
use tantivy::query::TermQuery;
use tantivy::schema::{IndexRecordOption, Value as _};
use tantivy::{DocAddress, DocSet as _, Searcher, TERMINATED, TantivyDocument, TantivyError, Term};

use crate::document::{Fields, parked_id, read_cells, read_parked};
use crate::error::{Error, Result, while_};
use crate::fold::{Cells, Stored};
use crate::json::Object;
use crate::layout::Layout;

const READING: &str = "reading";

/// Tables, by topic.
pub(crate) type Layouts = BTreeMap<String, Layout>;

/// One commit.
pub(crate) struct View {
    pub(crate) searcher: Searcher,
    pub(crate) fields: Fields,
    pub(crate) layouts: Arc<Layouts>,
}

impl View {
    /// Calls `take` with each document that has `term`.
    pub(crate) fn each<E: From<Error>>(
        &self,
        term: &Term,
        mut take: impl FnMut(DocAddress) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = |error| while_(READING)(error);
        for (ordinal, segment) in (0..).zip(self.searcher.segment_readers()) {
            let index = segment.inverted_index(term.field()).map_err(failed)?;
            let postings = index.read_postings(term, IndexRecordOption::Basic);
            let postings = postings.map_err(|error| failed(TantivyError::from(error)))?;
            let Some(mut postings) = postings else { continue };
            while postings.doc() != TERMINATED {
                if !segment.is_deleted(postings.doc()) {
                    take(DocAddress::new(ordinal, postings.doc()))?;
                }
                postings.advance();
            }
        }
        Ok(())
    }

    /// Calls `take` with the body of each document of a reserved kind.
    pub(crate) fn bodies(
        &self,
        kind: &str,
        mut take: impl FnMut(&Object) -> Result<()>,
    ) -> Result<()> {
        let term = Term::from_field_text(self.fields.kind, kind);
        self.each(&term, |address| take(&self.document(address)?.1))
    }

    /// Returns parked records by where they were read.
    pub(crate) fn parked<'a>(
        &self,
        places: impl Iterator<Item = &'a (TopicPartition, Offset)>,
    ) -> Result<Vec<ParkedRecord>> {
        let mut parked = Vec::new();
        for (source, offset) in places {
            self.each(&self.fields.id(&parked_id(source, *offset)), |address| {
                let record = read_parked(&self.document(address)?.1);
                parked.push(record.ok_or(Error::Corrupt { source: None })?);
                Ok::<(), Error>(())
            })?;
        }
        Ok(parked)
    }

    /// Reads a document: the table it is a row of, if it is one, and its body.
    pub(crate) fn document(&self, address: DocAddress) -> Result<(String, Object)> {
        let document: TantivyDocument = self.searcher.doc(address).map_err(while_(READING))?;
        let text = |field| document.get_first(field).and_then(|value| value.as_str());
        let body = text(self.fields.body).and_then(|body| serde_json::from_str(body).ok());
        let Some(Json::Object(body)) = body else { return Err(Error::Corrupt { source: None }) };
        Ok((text(self.fields.table).unwrap_or_default().to_owned(), body))
    }

    pub(crate) fn layout(&self, table: &str) -> Option<&Layout> {
        self.layouts.values().find(|layout| layout.table == table)
    }

    pub(crate) fn count_term(&self, term: Term) -> Result<u64> {
        let query = TermQuery::new(term, IndexRecordOption::Basic);
        let count = self.searcher.search(&query, &Count).map_err(while_(READING))?;
        Ok(count as u64)
    }

    pub(crate) fn count_rows(&self, table: &str) -> Result<u64> {
        self.count_term(Term::from_field_text(self.fields.table, table))
    }
}

impl Stored for View {
    fn row(&self, layout: &Layout, id: &str) -> Result<Option<Cells>> {
        let mut found = None;
        self.each(&self.fields.id(id), |address| {
            found = Some(read_cells(layout, &self.document(address)?.1));
            Ok::<(), Error>(())
        })?;
        Ok(found)
    }

    fn count(&self, group: &str) -> Result<u64> {
        self.count_term(Term::from_field_text(self.fields.group, group))
    }
}
