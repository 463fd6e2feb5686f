//! What SQL says about one table: its definition, or changes to one that is not in the SQL.

use std::sync::Arc;

use cdc_model::{
    Column, ColumnType, DefaultValue, ReplicaIdentity, TableId, TableName, TableSchema,
};
use serde_json::{Value, json};
use sqlparser::ast::{
    AlterColumnOperation, AlterTableOperation, ColumnDef, ColumnOption, Expr, Ident, ObjectName,
    PrimaryKeyConstraint, Statement, TableConstraint, UnaryOperator, UserDefinedTypeRepresentation,
    Value as Literal,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::column::{Enums, column_type};

/// What the SQL came to.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) table: TableName,
    pub(super) shape: Shape,
    /// Columns whose type is not known, for the answer.
    pub(super) unknown_types: Vec<Value>,
    /// What was left out, for the answer.
    pub(super) notes: Vec<String>,
}

/// The table, as far as it is known.
#[derive(Debug)]
pub(super) enum Shape {
    Whole(TableSchema),
    Edits(Vec<Edit>),
}

/// One step from a definition to the next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Edit {
    Add(Column),
    Drop(String),
    Rename(String, String),
    Retype(String, ColumnType),
    SetNullable(String, bool),
    SetDefault(String, Option<DefaultValue>),
    SetKey(Vec<String>),
}

#[derive(Debug, Default)]
struct Reading {
    enums: Enums,
    table: Option<TableName>,
    columns: Vec<Column>,
    key: Vec<String>,
    is_whole: bool,
    edits: Vec<Edit>,
    unknown_types: Vec<Value>,
    notes: Vec<String>,
}

impl Definition {
    /// Reads statements in order.
    pub(super) fn parse(sql: &str) -> Result<Self, String> {
        let statements =
            Parser::parse_sql(&PostgreSqlDialect {}, sql).map_err(|error| error.to_string())?;
        let mut reading = Reading::default();
        for statement in statements {
            reading.statement(statement)?;
        }
        reading.finish()
    }
}

impl Reading {
    fn statement(&mut self, statement: Statement) -> Result<(), String> {
        match statement {
            Statement::CreateTable(create) => {
                if self.table.is_some() {
                    return Err("it is about several tables; give one at a time".to_owned());
                }
                self.table = Some(table_name(&create.name)?);
                self.is_whole = true;
                for column in &create.columns {
                    self.add_column(column);
                }
                for constraint in &create.constraints {
                    self.constraint(constraint);
                }
                Ok(())
            }
            Statement::AlterTable(alter) => {
                let name = table_name(&alter.name)?;
                if self.table.as_ref().is_some_and(|table| *table != name) {
                    return Err("it is about several tables; give one at a time".to_owned());
                }
                self.table = Some(name);
                alter.operations.iter().for_each(|operation| self.operation(operation));
                Ok(())
            }
            Statement::CreateType { name, representation } => {
                self.create_type(&name, representation);
                Ok(())
            }
            other => {
                let text: String = other.to_string().chars().take(60).collect();
                self.notes.push(format!("left out, for it shapes no schema: {text}"));
                Ok(())
            }
        }
    }

    fn create_type(
        &mut self,
        name: &ObjectName,
        representation: Option<UserDefinedTypeRepresentation>,
    ) {
        let parts = names(name);
        let (Some(last), Some(UserDefinedTypeRepresentation::Enum { labels })) =
            (parts.last(), representation)
        else {
            self.notes.push(format!("left out, for it is no enum: type {}", parts.join(".")));
            return;
        };
        let labels = labels.iter().map(|label| Arc::from(label.value.as_str())).collect();
        let qualified = if parts.len() > 1 { parts.join(".") } else { format!("public.{last}") };
        let ty = ColumnType::Enum { name: qualified.as_str().into(), labels };
        self.enums.insert(last.clone(), ty.clone());
        self.enums.insert(qualified, ty);
    }

    fn column(&mut self, column: &ColumnDef) -> Column {
        let name = identifier(&column.name);
        let ty = self.known_type(&name, &column.data_type);
        let is_serial = column_type(&column.data_type, &self.enums).is_serial;
        let mut made = Column::new(name.as_str(), ty);
        made.is_nullable = !is_serial;
        made.default = is_serial.then_some(DefaultValue::Expression);
        for option in &column.options {
            match &option.option {
                ColumnOption::NotNull => made.is_nullable = false,
                ColumnOption::PrimaryKey(_) => {
                    made.is_nullable = false;
                    self.edits.push(Edit::SetKey(vec![name.clone()]));
                }
                ColumnOption::Default(value) => made.default = default(value),
                ColumnOption::Generated { generation_expr, .. } => {
                    made.is_nullable &= generation_expr.is_some();
                    made.default = Some(DefaultValue::Expression);
                }
                _ => {}
            }
        }
        made
    }

    fn known_type(&mut self, column: &str, ty: &sqlparser::ast::DataType) -> ColumnType {
        let known = column_type(ty, &self.enums);
        if known.is_unknown {
            let taken_as = "text";
            let unknown = json!({ "column": column, "type": ty.to_string(), "as": taken_as });
            self.unknown_types.push(unknown);
        }
        known.ty
    }

    fn add_column(&mut self, column: &ColumnDef) {
        let edits_before = self.edits.len();
        let made = self.column(column);
        // The key comes after the column that it is of.
        self.edits.insert(edits_before, Edit::Add(made));
        self.settle();
    }

    fn constraint(&mut self, constraint: &TableConstraint) {
        if let TableConstraint::PrimaryKey(PrimaryKeyConstraint { columns, .. }) = constraint {
            let name = |column: &sqlparser::ast::IndexColumn| match &column.column.expr {
                Expr::Identifier(name) => Some(identifier(name)),
                _ => None,
            };
            self.edits.push(Edit::SetKey(columns.iter().filter_map(name).collect()));
        }
        self.settle();
    }

    fn operation(&mut self, operation: &AlterTableOperation) {
        match operation {
            AlterTableOperation::AddColumn { column_def, .. } => self.add_column(column_def),
            AlterTableOperation::AddConstraint { constraint, .. } => self.constraint(constraint),
            AlterTableOperation::DropColumn { column_names, .. } => {
                self.edits.extend(column_names.iter().map(|name| Edit::Drop(identifier(name))));
            }
            AlterTableOperation::RenameColumn { old_column_name, new_column_name } => {
                let (old, new) = (identifier(old_column_name), identifier(new_column_name));
                self.edits.push(Edit::Rename(old, new));
            }
            AlterTableOperation::AlterColumn { column_name, op } => {
                let name = identifier(column_name);
                self.alter_column(name, op);
            }
            other => {
                let text: String = other.to_string().chars().take(60).collect();
                self.notes.push(format!("left out, for it shapes no schema here: {text}"));
            }
        }
        self.settle();
    }

    fn alter_column(&mut self, name: String, op: &AlterColumnOperation) {
        let edit = match op {
            AlterColumnOperation::SetNotNull => Edit::SetNullable(name, false),
            AlterColumnOperation::DropNotNull => Edit::SetNullable(name, true),
            AlterColumnOperation::SetDefault { value } => Edit::SetDefault(name, default(value)),
            AlterColumnOperation::DropDefault => Edit::SetDefault(name, None),
            AlterColumnOperation::SetDataType { data_type, .. } => {
                let ty = self.known_type(&name, data_type);
                Edit::Retype(name, ty)
            }
            AlterColumnOperation::AddGenerated { .. } => {
                Edit::SetDefault(name, Some(DefaultValue::Expression))
            }
        };
        self.edits.push(edit);
    }

    /// Applies what was read to the table, if the SQL made it.
    fn settle(&mut self) {
        if !self.is_whole {
            return;
        }
        for edit in std::mem::take(&mut self.edits) {
            if let Some(missing) = self.apply(edit) {
                self.notes.push(format!("left out, for there is no such column: {missing}"));
            }
        }
    }

    fn apply(&mut self, edit: Edit) -> Option<String> {
        let find = |columns: &mut Vec<Column>, name: &str| {
            columns.iter().position(|column| &*column.name == name)
        };
        let name = match &edit {
            Edit::Add(column) => {
                self.columns.push(column.clone());
                return None;
            }
            Edit::SetKey(names) => {
                for column in
                    self.columns.iter_mut().filter(|c| names.iter().any(|n| **n == *c.name))
                {
                    column.is_nullable = false;
                }
                self.key.clone_from(names);
                return None;
            }
            Edit::Drop(name)
            | Edit::Rename(name, _)
            | Edit::Retype(name, _)
            | Edit::SetNullable(name, _)
            | Edit::SetDefault(name, _) => name.clone(),
        };
        let Some(at) = find(&mut self.columns, &name) else { return Some(name) };
        match edit {
            Edit::Drop(_) => {
                self.columns.remove(at);
                self.key.retain(|key| *key != name);
            }
            Edit::Rename(_, new) => {
                let same = self.key.iter_mut().filter(|key| **key == name);
                same.for_each(|key| key.clone_from(&new));
                self.columns[at].name = new.as_str().into();
            }
            Edit::Retype(_, ty) => self.columns[at].ty = ty,
            Edit::SetNullable(_, is_nullable) => self.columns[at].is_nullable = is_nullable,
            Edit::SetDefault(_, default) => self.columns[at].default = default,
            Edit::Add(_) | Edit::SetKey(_) => {}
        }
        None
    }

    fn finish(self) -> Result<Definition, String> {
        let Some(table) = self.table else {
            return Err("it has no CREATE TABLE and no ALTER TABLE".to_owned());
        };
        let shape = if self.is_whole {
            let key = self.key.iter();
            let find = |name: &String| self.columns.iter().position(|c| *c.name == **name);
            let mut key: Vec<usize> = key.filter_map(find).collect();
            key.sort_unstable();
            Shape::Whole(TableSchema {
                id: TableId(1),
                name: table.clone(),
                columns: self.columns,
                key,
                replica_identity: ReplicaIdentity::Default,
            })
        } else {
            Shape::Edits(self.edits)
        };
        let (unknown_types, notes) = (self.unknown_types, self.notes);
        Ok(Definition { table, shape, unknown_types, notes })
    }
}

/// Returns a name as the server keeps it: folded unless it is quoted.
fn identifier(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

pub(super) fn names(name: &ObjectName) -> Vec<String> {
    name.0.iter().filter_map(|part| part.as_ident()).map(identifier).collect()
}

fn table_name(name: &ObjectName) -> Result<TableName, String> {
    match names(name).as_slice() {
        [table] => Ok(TableName::new("public", table.as_str())),
        [.., schema, table] => Ok(TableName::new(schema.as_str(), table.as_str())),
        [] => Err("a table has no name".to_owned()),
    }
}

/// A constant as the server prints it; anything else is an expression. NULL is no default.
fn default(value: &Expr) -> Option<DefaultValue> {
    let literal = |text: &str| Some(DefaultValue::Literal(text.into()));
    match value {
        Expr::Value(value) => match &value.value {
            Literal::Null => None,
            Literal::Boolean(true) => literal("t"),
            Literal::Boolean(false) => literal("f"),
            Literal::Number(number, _) => literal(&number.to_string()),
            Literal::SingleQuotedString(text) => literal(text),
            _ => Some(DefaultValue::Expression),
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match default(expr) {
            Some(DefaultValue::Literal(text)) => literal(&format!("-{text}")),
            _ => Some(DefaultValue::Expression),
        },
        Expr::Cast { expr, .. } => default(expr),
        _ => Some(DefaultValue::Expression),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_what_its_statements_come_to() {
        let definition = Definition::parse(
            "CREATE TYPE mood AS ENUM ('ok', 'bad');
             CREATE TABLE shop.\"Orders\" (Id bigserial, total numeric(10,2) NOT NULL DEFAULT 0,
                 m mood, tags text[], place geometry, PRIMARY KEY (id));
             ALTER TABLE shop.\"Orders\" ADD note varchar(20), RENAME COLUMN total TO sum;
             ALTER TABLE shop.\"Orders\" ALTER sum TYPE numeric(12,4), DROP COLUMN tags;
             CREATE INDEX i ON shop.\"Orders\" (id)",
        )
        .unwrap();
        assert_eq!(definition.table, TableName::new("shop", "Orders"));
        let Shape::Whole(table) = definition.shape else { panic!("it is whole") };
        let columns: Vec<_> = table.columns.iter().map(|column| &*column.name).collect();
        assert_eq!(columns, ["id", "sum", "m", "place", "note"]);
        assert_eq!(table.key, [0]);
        assert_eq!(table.columns[1].ty, ColumnType::Decimal(Some((12, 4))));
        assert_eq!(table.columns[1].default, Some(DefaultValue::Literal("0".into())));
        assert!(!table.columns[0].is_nullable && table.columns[4].is_nullable);
        assert!(
            matches!(&table.columns[2].ty, ColumnType::Enum { name, .. } if &**name == "public.mood")
        );
        assert_eq!(definition.unknown_types.len(), 1);
        assert_eq!(definition.unknown_types[0]["column"], "place");
        assert_eq!(definition.notes.len(), 1);
    }

    #[test]
    fn what_is_about_no_table_or_several_is_refused() {
        for sql in
            ["SELECT 1", "CREATE TABLE", "", "CREATE TABLE a (i int); CREATE TABLE b (i int)"]
        {
            assert!(Definition::parse(sql).is_err(), "{sql}");
        }
        let nested =
            format!("CREATE TABLE t (i int DEFAULT {}1{})", "(".repeat(5_000), ")".repeat(5_000));
        assert!(Definition::parse(&nested).is_err());
    }
}
