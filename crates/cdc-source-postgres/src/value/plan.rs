//! A column's type compiled to the parser of its text.

use std::sync::Arc;

use cdc_model::ColumnType;

use crate::value::catalog::{TypeCatalog, TypeKind};

/// Deepest chain of domains and arrays followed.
const DEPTH_MAX: usize = 16;

/// How to read the values of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypePlan {
    pub(super) parser: Parser,
    pub(super) column_type: ColumnType,
}

/// The text form of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Parser {
    Bool,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Decimal,
    Text,
    Bytes,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
    Uuid,
    Array(Box<ArrayParser>),
}

/// The text form of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ArrayParser {
    pub(super) element: Parser,
    pub(super) delimiter: u8,
}

impl TypePlan {
    /// Compiles a plan for values of the type `oid` with `modifier` (`atttypmod`, -1 for none).
    ///
    /// A domain is read as the type it is over. A type neither built in nor in `catalog`, and every
    /// type whose structure is not modelled, is read as text under its name; see
    /// [`TypeCatalog::knows`].
    pub fn compile(catalog: &TypeCatalog, oid: u32, modifier: i32) -> Self {
        compile(catalog, oid, modifier, DEPTH_MAX).unwrap_or_else(|| {
            let name = match catalog.get(oid) {
                Some(info) => format!("{}.{}", info.schema, info.name).into(),
                None => builtin_name(oid),
            };
            Self { parser: Parser::Text, column_type: ColumnType::Other { name } }
        })
    }
}

fn compile(catalog: &TypeCatalog, oid: u32, modifier: i32, depth: usize) -> Option<TypePlan> {
    let depth = depth.checked_sub(1)?;
    if let Some((parser, column_type)) = builtin(oid, modifier) {
        return Some(TypePlan { parser, column_type });
    }
    if let Some(element) = builtin_element(oid) {
        return Some(array(compile(catalog, element, modifier, depth)?, b','));
    }
    let info = catalog.get(oid)?;
    match &info.kind {
        TypeKind::Enum(labels) => Some(TypePlan {
            parser: Parser::Text,
            column_type: ColumnType::Enum {
                name: format!("{}.{}", info.schema, info.name).into(),
                labels: labels.clone(),
            },
        }),
        TypeKind::Domain { base, modifier: own } => {
            compile_or_text(catalog, *base, if modifier == -1 { *own } else { modifier }, depth)
        }
        // The text of an array of arrays cannot be told from that of one with more dimensions.
        TypeKind::Array { element, delimiter } => {
            let element = compile_or_text(catalog, *element, modifier, depth)?;
            let is_array = matches!(element.parser, Parser::Array(_));
            (!is_array).then(|| array(element, *delimiter))
        }
        TypeKind::Other => None,
    }
}

/// Compiles a type that another is made of: as text under its own name if need be.
fn compile_or_text(
    catalog: &TypeCatalog,
    oid: u32,
    modifier: i32,
    depth: usize,
) -> Option<TypePlan> {
    depth.checked_sub(1)?;
    compile(catalog, oid, modifier, depth).or_else(|| {
        let name = match catalog.get(oid) {
            Some(info) => format!("{}.{}", info.schema, info.name).into(),
            None => builtin_name(oid),
        };
        Some(TypePlan { parser: Parser::Text, column_type: ColumnType::Other { name } })
    })
}

fn array(element: TypePlan, delimiter: u8) -> TypePlan {
    TypePlan {
        parser: Parser::Array(Box::new(ArrayParser { element: element.parser, delimiter })),
        column_type: ColumnType::Array(Box::new(element.column_type)),
    }
}

/// Returns how the built-in scalar type `oid` is read and what it becomes.
pub(super) fn builtin(oid: u32, modifier: i32) -> Option<(Parser, ColumnType)> {
    Some(match oid {
        16 => (Parser::Bool, ColumnType::Bool),
        17 => (Parser::Bytes, ColumnType::Bytes),
        // "char", name, text
        18 | 19 | 25 => (Parser::Text, ColumnType::Text),
        20 => (Parser::Int64, ColumnType::Int64),
        21 => (Parser::Int16, ColumnType::Int16),
        23 => (Parser::Int32, ColumnType::Int32),
        // oid: 32 bits without sign
        26 => (Parser::Int64, ColumnType::Int64),
        // json, jsonb
        114 | 3802 => (Parser::Text, ColumnType::Json),
        700 => (Parser::Float32, ColumnType::Float32),
        701 => (Parser::Float64, ColumnType::Float64),
        1042 => (Parser::Text, ColumnType::Char(length(modifier))),
        1043 => (Parser::Text, ColumnType::Varchar(length(modifier))),
        1082 => (Parser::Date, ColumnType::Date),
        1083 => (Parser::Time, ColumnType::Time(fraction_digits(modifier))),
        1114 => (Parser::Timestamp, ColumnType::Timestamp(fraction_digits(modifier))),
        1184 => (Parser::TimestampTz, ColumnType::TimestampTz(fraction_digits(modifier))),
        1186 => (Parser::Interval, ColumnType::Interval),
        1266 => (Parser::TimeTz, ColumnType::TimeTz(fraction_digits(modifier))),
        1700 => (Parser::Decimal, ColumnType::Decimal(precision_and_scale(modifier))),
        2950 => (Parser::Uuid, ColumnType::Uuid),
        _ => return None,
    })
}

/// Returns the element type of a built-in array type.
fn builtin_element(oid: u32) -> Option<u32> {
    Some(match oid {
        199 => 114,
        1000 => 16,
        1001 => 17,
        1002 => 18,
        1003 => 19,
        1005 => 21,
        1007 => 23,
        1009 => 25,
        1014 => 1042,
        1015 => 1043,
        1016 => 20,
        1021 => 700,
        1022 => 701,
        1028 => 26,
        1115 => 1114,
        1182 => 1082,
        1183 => 1083,
        1185 => 1184,
        1187 => 1186,
        1231 => 1700,
        1270 => 1266,
        2951 => 2950,
        3807 => 3802,
        _ => return None,
    })
}

/// Names a type the catalogue did not tell about.
fn builtin_name(oid: u32) -> Arc<str> {
    format!("oid {oid}").into()
}

/// `varchar(n)` and `char(n)`: the modifier counts its own four bytes.
fn length(modifier: i32) -> Option<u32> {
    u32::try_from(modifier.checked_sub(4)?).ok()
}

/// `timestamp(p)` and the like; six digits unless given.
fn fraction_digits(modifier: i32) -> u8 {
    u8::try_from(modifier).map_or(6, |digits| digits.min(6))
}

/// `numeric(p, s)`: 16 bits of precision over 11 bits of scale with sign, plus four.
fn precision_and_scale(modifier: i32) -> Option<(u16, i16)> {
    let packed = u32::try_from(modifier.checked_sub(4)?).ok()?;
    let precision = u16::try_from(packed >> 16).ok()?;
    let scale = i16::try_from((packed & 0x7FF) ^ 0x400).ok()? - 0x400;
    Some((precision, scale))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::TypeInfo;

    fn info(name: &str, kind: TypeKind) -> TypeInfo {
        TypeInfo { schema: "public".into(), name: name.into(), kind }
    }

    fn catalog() -> TypeCatalog {
        let mut catalog = TypeCatalog::default();
        let mut add = |oid, name, kind| catalog.insert(oid, info(name, kind));
        add(90_000, "mood", TypeKind::Enum(["sad".into(), "ok".into()].into()));
        add(90_001, "_mood", TypeKind::Array { element: 90_000, delimiter: b',' });
        add(90_002, "price", TypeKind::Domain { base: 1700, modifier: 786_438 });
        add(90_003, "cheap", TypeKind::Domain { base: 90_002, modifier: -1 });
        add(90_004, "tags", TypeKind::Domain { base: 1009, modifier: -1 });
        add(90_005, "_tags", TypeKind::Array { element: 90_004, delimiter: b',' });
        add(90_006, "citext", TypeKind::Other);
        add(90_007, "_citext", TypeKind::Array { element: 90_006, delimiter: b',' });
        add(90_008, "loop", TypeKind::Domain { base: 90_008, modifier: -1 });
        catalog
    }

    #[track_caller]
    fn check(oid: u32, modifier: i32, expected: &ColumnType) {
        assert_eq!(TypePlan::compile(&catalog(), oid, modifier).column_type(), expected);
    }

    fn other(name: &str) -> ColumnType {
        ColumnType::Other { name: name.into() }
    }

    #[test]
    fn modifiers_become_lengths_and_scales() {
        check(1043, 14, &ColumnType::Varchar(Some(10)));
        check(1042, -1, &ColumnType::Char(None));
        check(1184, 3, &ColumnType::TimestampTz(3));
        check(1083, -1, &ColumnType::Time(6));
        check(1700, -1, &ColumnType::Decimal(None));
        check(1700, (12 << 16 | 2) + 4, &ColumnType::Decimal(Some((12, 2))));
        check(1700, (3 << 16 | 0x7FE) + 4, &ColumnType::Decimal(Some((3, -2))));
        check(
            1231,
            (12 << 16 | 2) + 4,
            &ColumnType::Array(Box::new(ColumnType::Decimal(Some((12, 2))))),
        );
    }

    #[test]
    fn types_of_the_catalogue_are_resolved() {
        let mood = ColumnType::Enum {
            name: "public.mood".into(),
            labels: ["sad".into(), "ok".into()].into(),
        };
        check(90_000, -1, &mood);
        check(90_001, -1, &ColumnType::Array(Box::new(mood)));
        check(90_002, -1, &ColumnType::Decimal(Some((12, 2))));
        check(90_003, -1, &ColumnType::Decimal(Some((12, 2))));
        check(90_004, -1, &ColumnType::Array(Box::new(ColumnType::Text)));
        check(90_007, -1, &ColumnType::Array(Box::new(other("public.citext"))));
    }

    #[test]
    fn what_cannot_be_modelled_is_text_under_its_name() {
        check(90_005, -1, &other("public._tags"));
        check(90_006, -1, &other("public.citext"));
        check(90_008, -1, &other("public.loop"));
        check(91_000, -1, &other("oid 91000"));
    }

    #[test]
    fn knowing_a_type_means_knowing_its_parts() {
        let catalog = catalog();
        for oid in [23, 90_000, 90_001, 90_003, 90_007] {
            assert!(catalog.knows(oid), "{oid}");
        }
        for oid in [90_008, 91_000] {
            assert!(!catalog.knows(oid), "{oid}");
        }
    }
}
