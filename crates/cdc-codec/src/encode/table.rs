//! A table's plan, and how its schemas come to be registered.

use std::sync::Arc;

use bytes::Bytes;
use cdc_model::{Row, TableSchema, Topic};
use cdc_pipeline::port::{SchemaId, SchemaRegistry, Subject};
use serde_json::Value as Json;

use crate::avro;
use crate::config::{CodecConfig, Format};
use crate::connect;
use crate::encode::layout::{Layout, Wrapping};
use crate::encode::row::{Misfit, Notes, Reading, RowPlan};
use crate::encode::source::SourcePlan;
use crate::error::Error;
use crate::json;
use crate::name;

/// Everything about a table's records that does not change from row to row.
#[derive(Debug)]
pub(crate) struct TablePlan {
    table: Arc<TableSchema>,
    pub(crate) topic: Topic,
    pub(crate) layout: Layout,
    key: Option<(Wrapping, RowPlan)>,
    /// The key's struct as plain JSON, for Debezium's headers.
    pub(crate) key_json: RowPlan,
    pub(crate) value: Wrapping,
    pub(crate) row: RowPlan,
    pub(crate) source: SourcePlan,
    /// The value's schema id in decimal, where the format does not carry it.
    pub(crate) schema_id: Option<Bytes>,
}

impl TablePlan {
    /// Registers the schemas of `table` and compiles its plan.
    pub(crate) async fn register<R: SchemaRegistry>(
        config: &CodecConfig,
        registry: &R,
        table: &Arc<TableSchema>,
    ) -> Result<Self, Error<R::Error>> {
        let topic = name::topic(&config.prefix, &table.name);
        let (written, value_id) = register_value(config, registry, table, &topic).await?;
        let key = match (table.has_key(), config.format) {
            (true, Format::Avro) => {
                let id = register_key(config, registry, table, &topic).await?;
                Some(Wrapping::frame(id.0))
            }
            (true, Format::Json) => Some(Wrapping::default()),
            (true, Format::JsonWithSchema) => {
                let schema = connect::key(&config.prefix, table);
                Some(Wrapping::schema(&json::schema::render(&schema)))
            }
            (false, _) => None,
        };
        let layout = Layout::of(config.format);
        let mut value = match config.format {
            Format::Avro => Wrapping::frame(value_id.0),
            Format::Json => Wrapping::default(),
            Format::JsonWithSchema => {
                let schema = connect::envelope(&config.prefix, &written);
                Wrapping::schema(&json::schema::render(&schema))
            }
        };
        if !layout.is_avro {
            value.open.extend_from_slice(b"{\"before\":");
        }
        Ok(Self {
            table: table.clone(),
            topic: Topic::new(topic),
            layout,
            key: key.map(|wrapping| (wrapping, RowPlan::key(layout, table))),
            key_json: RowPlan::key(Layout::JSON, table),
            value,
            row: RowPlan::new(layout, &written, &config.unavailable_value),
            source: SourcePlan::new(config, layout.is_avro, &table.name.schema, &table.name.table),
            schema_id: (!layout.is_avro).then(|| value_id.0.to_string().into()),
        })
    }

    /// Returns whether the plan was made for this definition.
    #[inline]
    pub(crate) fn serves(&mut self, table: &Arc<TableSchema>) -> bool {
        if Arc::ptr_eq(&self.table, table) {
            return true;
        }
        let equal = self.table == *table;
        if equal {
            // Spares the comparison of what is equal for the rows to come.
            self.table = table.clone();
        }
        equal
    }

    /// Appends a row's key; `false` if the table has none.
    pub(crate) fn push_key(
        &self,
        out: &mut Vec<u8>,
        row: &Row,
        older: Option<&Row>,
    ) -> Result<bool, Misfit> {
        let Some((wrapping, plan)) = &self.key else {
            return Ok(false);
        };
        out.extend_from_slice(&wrapping.open);
        plan.push_key(out, row, older)?;
        out.extend_from_slice(wrapping.close);
        Ok(true)
    }

    /// Returns whether an update left the row's key as it was.
    pub(crate) fn same_key(&self, older: &Row, newer: &Row) -> bool {
        self.key_json.same_key(older, newer)
    }

    /// Appends a row image, or that there is none.
    pub(crate) fn push_image(
        &self,
        out: &mut Vec<u8>,
        row: Option<&Row>,
        reading: Reading<'_>,
        notes: &mut Notes,
    ) -> Result<(), Misfit> {
        match row {
            None => {
                out.extend_from_slice(self.layout.image.0);
                Ok(())
            }
            Some(row) => {
                out.extend_from_slice(self.layout.image.1);
                self.row.push(out, row, reading, notes)
            }
        }
    }
}

/// Registers the value schema. A column that once could be null stays so: the table as it is then
/// written is returned beside the id.
async fn register_value<R: SchemaRegistry>(
    config: &CodecConfig,
    registry: &R,
    table: &TableSchema,
    topic: &str,
) -> Result<(TableSchema, SchemaId), Error<R::Error>> {
    let subject = Subject::new(format!("{topic}-value"));
    let refused = |source| Error::Register { subject: subject.clone(), source };
    let latest = registry.latest(&subject).await.map_err(refused)?;
    let mut table = table.clone();
    if let Some(latest) = latest.and_then(|l| serde_json::from_str::<Json>(&l.schema).ok()) {
        let nullable = avro::schema::nullable_columns(&latest);
        for column in &mut table.columns {
            column.is_nullable |= nullable.iter().any(|name| *name == *column.name);
        }
    }
    let schema = avro::schema::render(&connect::envelope(&config.prefix, &table)).to_string();
    let id = registry.register(&subject, &schema).await.map_err(refused)?;
    Ok((table, id))
}

/// Registers the key schema, or takes the one that is there while names and types are equal: its id
/// is part of every key's bytes (design D8).
async fn register_key<R: SchemaRegistry>(
    config: &CodecConfig,
    registry: &R,
    table: &TableSchema,
    topic: &str,
) -> Result<SchemaId, Error<R::Error>> {
    let subject = Subject::new(format!("{topic}-key"));
    let refused = |source| Error::Register { subject: subject.clone(), source };
    let schema = avro::schema::render(&connect::key(&config.prefix, table));
    if let Some(latest) = registry.latest(&subject).await.map_err(refused)? {
        let known = serde_json::from_str::<Json>(&latest.schema);
        if known.is_ok_and(|known| avro::schema::same_key(&known, &schema)) {
            return Ok(latest.id);
        }
    }
    registry.register(&subject, &schema.to_string()).await.map_err(refused)
}
