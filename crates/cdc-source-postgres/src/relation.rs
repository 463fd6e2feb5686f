//! A table as the log describes it, with what the catalogue adds: key, nullability, defaults.
//!
//! The log's description holds for the rows that follow it; the catalogue's holds now, which may be
//! long after. So a column's nullability and default are taken from the catalogue only where name,
//! type and modifier agree, and else it is nullable without a default.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cdc_model::{Column, ReplicaIdentity, Row, TableId, TableName, TableSchema, Value};
use tokio::time::Instant;

use crate::catalog::{self, Table};
use crate::config::Config;
use crate::error::Error;
use crate::pgoutput::{self, RelationIdentity, Tuple};
use crate::snapshot::view::Visibility;
use crate::sql::Sql;
use crate::value::{RowError, RowPlan, TypeCatalog, TypeInfo, TypePlan};

const VISIBLE_LIMIT: Duration = Duration::from_secs(1);
const VISIBLE_POLL: Duration = Duration::from_millis(2);

/// What is known of a table from the log, or from the catalogue where a snapshot is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) id: u32,
    pub(crate) name: TableName,
    pub(crate) identity: ReplicaIdentity,
    pub(crate) columns: Vec<ShapeColumn>,
}

/// A column of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShapeColumn {
    pub(crate) name: Arc<str>,
    pub(crate) type_oid: u32,
    pub(crate) modifier: i32,
    /// Whether it belongs to the replica identity.
    pub(crate) is_key: bool,
}

/// A table whose rows can be read. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    pub(crate) id: u32,
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) shape: Arc<Shape>,
    plan: Arc<RowPlan>,
    /// Whether the stream has given its schema out.
    pub(crate) is_announced: bool,
}

impl Shape {
    /// Reads a Relation message.
    pub(crate) fn of_message(message: &pgoutput::Relation) -> Self {
        let columns = message
            .columns
            .iter()
            .map(|column| ShapeColumn {
                name: column.name.clone(),
                type_oid: column.type_oid,
                modifier: column.type_modifier,
                is_key: column.is_key,
            })
            .collect();
        Self {
            id: message.id,
            name: TableName { schema: message.schema.clone(), table: message.name.clone() },
            identity: match message.identity {
                RelationIdentity::Default => ReplicaIdentity::Default,
                RelationIdentity::Nothing => ReplicaIdentity::Nothing,
                RelationIdentity::Full => ReplicaIdentity::Full,
                RelationIdentity::Index => ReplicaIdentity::Index,
            },
            columns,
        }
    }

    /// Makes what the log would say of a table as the catalogue has it now.
    pub(crate) fn of_table(table: &Table) -> Self {
        let is_full = table.identity == ReplicaIdentity::Full;
        let columns = table
            .columns
            .iter()
            .map(|column| ShapeColumn {
                name: column.name.clone(),
                type_oid: column.type_oid,
                modifier: column.modifier,
                is_key: is_full || table.key().contains(&column.number),
            })
            .collect();
        Self { id: table.oid, name: table.name.clone(), identity: table.identity, columns }
    }

    /// Returns the catalogue's column that is this one, as far as can be told.
    fn agreeing<'a>(&self, index: usize, table: Option<&'a Table>) -> Option<&'a catalog::Column> {
        let column = self.columns.get(index)?;
        table?.columns.iter().find(|found| {
            found.name == column.name
                && found.type_oid == column.type_oid
                && found.modifier == column.modifier
        })
    }

    /// Returns the indices of the record key's columns: those the log marks, except under replica
    /// identity full, where it marks all and the catalogue's primary key counts.
    fn key(&self, table: Option<&Table>) -> Vec<usize> {
        let is_full = self.identity == ReplicaIdentity::Full;
        let primary = table.map(|table| table.primary_key.as_slice()).unwrap_or_default();
        let found: Vec<usize> = (0..self.columns.len())
            .filter(|index| match is_full {
                false => self.columns.get(*index).is_some_and(|column| column.is_key),
                true => self.agreeing(*index, table).is_some_and(|c| primary.contains(&c.number)),
            })
            .collect();
        // A key that is only partly there identifies nothing.
        if is_full && found.len() != primary.len() { Vec::new() } else { found }
    }
}

impl Relation {
    fn resolve(shape: Shape, table: Option<&Table>, types: &TypeCatalog) -> Self {
        let plans: Vec<TypePlan> = shape
            .columns
            .iter()
            .map(|column| TypePlan::compile(types, column.type_oid, column.modifier))
            .collect();
        let columns = plans
            .iter()
            .zip(&shape.columns)
            .enumerate()
            .map(|(index, (plan, column))| {
                let found = shape.agreeing(index, table);
                Column {
                    name: column.name.clone(),
                    ty: plan.column_type().clone(),
                    is_nullable: found.is_none_or(|found| found.is_nullable),
                    default: found.and_then(|found| found.default.clone()),
                    missing: found.and_then(|found| found.missing.clone()),
                }
            })
            .collect();
        let schema = TableSchema {
            id: TableId(u64::from(shape.id)),
            name: shape.name.clone(),
            columns,
            key: shape.key(table),
            replica_identity: shape.identity,
        };
        Self {
            id: shape.id,
            schema: Arc::new(schema),
            shape: Arc::new(shape),
            plan: Arc::new(RowPlan::new(plans)),
            is_announced: false,
        }
    }

    /// Reads a row of the stream.
    pub(crate) fn row(&self, tuple: &Tuple) -> Result<Row, Error> {
        self.plan.row(tuple).map_err(|source| self.unreadable(source))
    }

    /// Reads a line of COPY output.
    pub(crate) fn copy_row(&self, line: &Bytes) -> Result<Row, Error> {
        if self.plan.columns().is_empty() {
            return Ok(Row::new(Vec::new()));
        }
        self.plan.copied_row(line).map_err(|source| self.unreadable(source))
    }

    /// Reads one value of column `index`.
    pub(crate) fn value(&self, index: usize, text: &str) -> Option<Value> {
        self.plan.columns().get(index)?.parse(&Bytes::copy_from_slice(text.as_bytes())).ok()
    }

    fn unreadable(&self, source: RowError) -> Error {
        Error::Row { table: self.schema.name.clone(), source }
    }
}

/// Resolves shapes against the catalogue, over a connection of its own.
pub(crate) struct Resolver {
    config: Arc<Config>,
    sql: Option<Sql>,
    types: TypeCatalog,
}

impl Resolver {
    pub(crate) fn new(config: Arc<Config>) -> Self {
        Self { config, sql: None, types: TypeCatalog::default() }
    }

    /// Resolves a shape that the log sent in the transaction `xid`, again where `known` is an
    /// earlier resolution of it.
    pub(crate) async fn resolve(
        &mut self,
        shape: Shape,
        known: Option<&Relation>,
        xid: Option<u32>,
    ) -> Result<Relation, Error> {
        if let Some(xid) = xid {
            self.wait_until_visible(xid).await?;
        }
        self.learn(&shape).await?;
        let tables = catalog::tables(self.connected().await?, Some(&[shape.id])).await?;
        let resolved = Relation::resolve(shape, tables.first(), &self.types);
        Ok(match known {
            Some(known) if known.schema == resolved.schema => {
                Relation { is_announced: known.is_announced, ..resolved }
            }
            _ => resolved,
        })
    }

    /// Resolves tables of which a snapshot will be read.
    pub(crate) async fn resolve_tables(
        &mut self,
        tables: &[Table],
    ) -> Result<Vec<Relation>, Error> {
        let mut relations = Vec::with_capacity(tables.len());
        for table in tables {
            let shape = Shape::of_table(table);
            self.learn(&shape).await?;
            relations.push(Relation::resolve(shape, Some(table), &self.types));
        }
        Ok(relations)
    }

    /// Waits until new queries see the transaction: its commit can reach us through the log an
    /// instant before. Not without end, for a commit that waits for a synchronous standby may be
    /// waiting for us; the catalogue then counts as not agreeing.
    async fn wait_until_visible(&mut self, xid: u32) -> Result<(), Error> {
        let deadline = Instant::now() + VISIBLE_LIMIT;
        let sql = self.connected().await?;
        while Instant::now() < deadline {
            let seen = sql.text("SELECT pg_current_snapshot()", "reading the catalogue").await?;
            if Visibility::parse(&seen)?.sees(xid) {
                break;
            }
            tokio::time::sleep(VISIBLE_POLL).await;
        }
        Ok(())
    }

    /// Loads the types anew where one is not known, or is an enum, whose labels may have grown.
    async fn learn(&mut self, shape: &Shape) -> Result<(), Error> {
        const FIRST_OF_USERS: u32 = 16_384;
        let used: BTreeSet<u32> = shape.columns.iter().map(|column| column.type_oid).collect();
        let is_stale = |oid: &u32| *oid >= FIRST_OF_USERS || !self.types.knows(*oid);
        if !used.iter().any(is_stale) {
            return Ok(());
        }
        let rows = self.connected().await?.query(TypeCatalog::QUERY, &[], "reading types").await?;
        for row in rows {
            let labels: Vec<String> = row.get("labels");
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            let letter = |name: &str| row.get::<_, i8>(name).cast_unsigned();
            let kind = TypeCatalog::kind(
                letter("kind"),
                row.get("related"),
                row.get("modifier"),
                letter("delimiter"),
                &labels,
            );
            let info = TypeInfo {
                schema: row.get::<_, &str>("schema").into(),
                name: row.get::<_, &str>("name").into(),
                kind,
            };
            self.types.insert(row.get("oid"), info);
        }
        Ok(())
    }

    async fn connected(&mut self) -> Result<&Sql, Error> {
        let open = self.sql.take().filter(|sql| !sql.client().is_closed());
        let sql = match open {
            Some(sql) => sql,
            None => Sql::connect(&self.config.connect).await?,
        };
        Ok(self.sql.insert(sql))
    }
}
