//! Full-text search, and the rows as they are, while the index is written.
//!
//! Each call sees one commit, the newest one acknowledged. A query is words (any of them may occur),
//! `"a phrase"`, `+must`, `-must not`, `AND`, `OR`, parentheses, `text:[a TO c]`, or
//! `table:"public.orders"`, which narrows to a table.

use std::ops::Range;
use std::sync::Arc;

use cdc_pipeline::Classify as _;
use serde_json::{Map, Value as Json};
use tantivy::TantivyError;
use tantivy::collector::TopDocs;
use tantivy::query::TermQuery;
use tantivy::query::{BooleanQuery, ConstScoreQuery, Occur, Query, QueryParser, QueryParserError};
use tantivy::schema::IndexRecordOption;
use tantivy::snippet::SnippetGenerator;
use tantivy::{DocAddress, Term};

use crate::document::{read_cells, texts};
use crate::error::{Error, while_};
use crate::index::SearchIndex;
use crate::layout::Layout;
use crate::sink::blocking;
use crate::view::View;

/// The longest query, in bytes.
const QUERY_BYTES_MAX: usize = 2_048;
/// The deepest nesting of parentheses in a query.
const QUERY_DEPTH_MAX: usize = 16;
/// The most hits that a search returns.
const HITS_MAX: usize = 1_000;
/// The longest excerpt, in characters.
const SNIPPET_CHARS_MAX: usize = 150;
/// The longest text that excerpts are chosen from, in bytes.
const SNIPPET_SOURCE_BYTES_MAX: usize = 256 << 10;

/// A row: its columns and their values.
pub type Row = Map<String, Json>;

/// A handle for searching. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Search {
    index: Arc<SearchIndex>,
}

/// A row that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The qualified name of its table.
    pub table: String,
    /// The columns of its key; none for tables without one.
    pub key: Row,
    /// How well it matches: comparable within one search only.
    pub score: f32,
    /// An excerpt of its texts.
    pub snippet: Snippet,
    /// All of it.
    pub row: Row,
}

/// An excerpt of a row's texts, as plain text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snippet {
    /// The excerpt; empty if the query names no word of the texts.
    pub text: String,
    /// Where in it the query's words are, in bytes.
    pub matches: Vec<Range<usize>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The query is not written as queries are.
    #[error("the query cannot be read: {why}")]
    Syntax {
        /// What is wrong with it.
        why: String,
    },
    /// The query names a field that there is not.
    #[error("the query searches in \"{field}\", which is no field")]
    UnknownField {
        /// The field.
        field: String,
    },
    /// The query is too long or too deeply nested.
    #[error(
        "the query is longer than {QUERY_BYTES_MAX} bytes or nested deeper than {QUERY_DEPTH_MAX}"
    )]
    TooLarge,
    /// There is no such table.
    #[error("there is no table \"{table}\" in the search index")]
    UnknownTable {
        /// The name asked for.
        table: String,
    },
    /// The rows are more than the caller has room for.
    #[error("\"{table}\" has more than {rows_max} rows")]
    TooManyRows {
        /// The table.
        table: String,
        /// The bound given.
        rows_max: usize,
    },
    /// The index failed.
    #[error(transparent)]
    Index(#[from] Error),
}

impl SearchError {
    /// Returns what to do about it.
    pub fn remedy(&self) -> String {
        let text = match self {
            Self::Syntax { .. } => {
                "Close quotes and parentheses, and put words with other signs in double quotes."
            }
            Self::UnknownField { .. } => {
                "Search in text or table, or put words with a colon in double quotes."
            }
            Self::TooLarge => "Ask for less at a time.",
            Self::UnknownTable { .. } => {
                "Give the qualified name, as in public.orders; a table appears with its first row."
            }
            Self::TooManyRows { .. } => "Ask with a larger bound.",
            Self::Index(error) => {
                let remedy = error.remedy();
                return remedy.unwrap_or_else(|| "Try again; the log tells the cause.".to_owned());
            }
        };
        text.to_owned()
    }
}

impl From<QueryParserError> for SearchError {
    fn from(error: QueryParserError) -> Self {
        match error {
            QueryParserError::FieldDoesNotExist(field)
            | QueryParserError::FieldNotIndexed(field)
            | QueryParserError::FieldDoesNotHavePositionsIndexed(field) => {
                Self::UnknownField { field }
            }
            error => Self::Syntax { why: error.to_string() },
        }
    }
}

impl From<TantivyError> for SearchError {
    fn from(error: TantivyError) -> Self {
        Self::Index(while_("searching")(error))
    }
}

type Result<T> = std::result::Result<T, SearchError>;

impl Search {
    pub(crate) fn new(index: Arc<SearchIndex>) -> Self {
        Self { index }
    }

    /// Finds the rows that match `query` best, at most `limit` and at most 1,000.
    ///
    /// # Errors
    /// A query that cannot be read, or [`SearchError::Index`].
    pub async fn search(&self, query: &str, limit: usize) -> Result<Vec<Hit>> {
        let query = query.to_owned();
        self.run(move |view| search(view, &query, limit.min(HITS_MAX))).await
    }

    /// Counts the rows of `table`, by its qualified name.
    ///
    /// # Errors
    /// [`SearchError::UnknownTable`], or [`SearchError::Index`].
    pub async fn count(&self, table: &str) -> Result<u64> {
        let table = table.to_owned();
        self.run(move |view| {
            layout_of(view, &table)?;
            Ok(view.count_rows(&table)?)
        })
        .await
    }

    /// Returns the rows of `table`, each with all its columns, sorted by their text.
    ///
    /// # Errors
    /// [`SearchError::TooManyRows`] if there are more than `rows_max`,
    /// [`SearchError::UnknownTable`], or [`SearchError::Index`].
    pub async fn rows(&self, table: &str, rows_max: usize) -> Result<Vec<Row>> {
        let table = table.to_owned();
        self.run(move |view| rows(view, &table, rows_max)).await
    }

    /// Returns the qualified names of the tables that there are.
    pub fn tables(&self) -> Vec<String> {
        let view = self.index.view();
        view.layouts.values().map(|layout| layout.table.clone()).collect()
    }

    /// Waits for a slot, then runs `work` on the newest commit where it may block.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&View) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let slot = Arc::clone(&self.index.slots).acquire_owned().await;
        let index = Arc::clone(&self.index);
        blocking(&self.index.dir, move || {
            let outcome = work(&index.view());
            drop(slot);
            outcome
        })
        .await
    }
}

fn layout_of<'a>(view: &'a View, table: &str) -> Result<&'a Layout> {
    view.layout(table).ok_or_else(|| SearchError::UnknownTable { table: table.to_owned() })
}

fn search(view: &View, text: &str, limit: usize) -> Result<Vec<Hit>> {
    let query = parse(view, text)?;
    if limit == 0 {
        return Ok(Vec::new());
    }
    let is_row = Term::from_field_text(view.fields.kind, "row");
    let is_row = TermQuery::new(is_row, IndexRecordOption::Basic);
    let is_row: Box<dyn Query> = Box::new(ConstScoreQuery::new(Box::new(is_row), 0.0));
    let rows = BooleanQuery::new(vec![(Occur::Must, query.box_clone()), (Occur::Must, is_row)]);
    let found = view.searcher.search(&rows, &TopDocs::with_limit(limit).order_by_score())?;
    let mut snippets = SnippetGenerator::create(&view.searcher, &*query, view.fields.text)?;
    snippets.set_max_num_chars(SNIPPET_CHARS_MAX);
    found.into_iter().map(|(score, address)| hit(view, score, address, &snippets)).collect()
}

fn parse(view: &View, text: &str) -> Result<Box<dyn Query>> {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for sign in text.bytes() {
        match sign {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = depth.max(deepest);
    }
    if text.len() > QUERY_BYTES_MAX || deepest > QUERY_DEPTH_MAX {
        return Err(SearchError::TooLarge);
    }
    let parser = QueryParser::for_index(view.searcher.index(), vec![view.fields.text]);
    Ok(parser.parse_query(text)?)
}

fn hit(view: &View, score: f32, address: DocAddress, snippets: &SnippetGenerator) -> Result<Hit> {
    let (table, body) = view.document(address)?;
    let layout = layout_of(view, &table)?;
    let row = row(layout, &body);
    let key = layout.key.iter().filter_map(|name| Some((name.clone(), row.get(name)?.clone())));
    let key = key.collect();
    let mut source = String::new();
    for column in layout.columns.iter().filter(|column| column.is_text()) {
        let Some(cell) = row.get(&column.name) else { continue };
        texts(cell, &mut |text| {
            let room = SNIPPET_SOURCE_BYTES_MAX.saturating_sub(source.len());
            let (text, _) = text.split_at(text.floor_char_boundary(room));
            source.push_str(text);
            source.push('\n');
        });
    }
    let snippet = snippets.snippet(&source);
    let snippet =
        Snippet { text: snippet.fragment().to_owned(), matches: snippet.highlighted().to_vec() };
    Ok(Hit { table, key, score, snippet, row })
}

fn row(layout: &Layout, body: &Row) -> Row {
    let cells = read_cells(layout, body).into_iter().map(Option::unwrap_or_default);
    layout.columns.iter().map(|column| column.name.clone()).zip(cells).collect()
}

fn rows(view: &View, table: &str, rows_max: usize) -> Result<Vec<Row>> {
    let layout = layout_of(view, table)?;
    let mut rows = Vec::new();
    view.each(&Term::from_field_text(view.fields.table, table), |address| {
        if rows.len() >= rows_max {
            return Err(SearchError::TooManyRows { table: table.to_owned(), rows_max });
        }
        rows.push(row(layout, &view.document(address)?.1));
        Ok(())
    })?;
    rows.sort_by_cached_key(|row| serde_json::to_string(row).unwrap_or_default());
    Ok(rows)
}
