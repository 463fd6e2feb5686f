//! What the server's catalogue tells about types that are not built in.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::value::plan::builtin;

/// Types by oid; filled from the catalogue by [`TypeCatalog::QUERY`], and from Type messages for
/// types that are gone from it.
#[derive(Debug, Clone, Default)]
pub struct TypeCatalog {
    types: BTreeMap<u32, TypeInfo>,
}

/// One type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeInfo {
    /// Its schema.
    pub schema: Arc<str>,
    /// Its name there.
    pub name: Arc<str>,
    /// What it is.
    pub kind: TypeKind,
}

/// What a type is, as far as it shapes its text form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeKind {
    /// An enum, with its labels in order.
    Enum(Arc<[Arc<str>]>),
    /// A domain over the type with this oid, with its type modifier.
    Domain {
        /// Oid of the type it is over.
        base: u32,
        /// The modifier given there, -1 for none.
        modifier: i32,
    },
    /// An array of the type with this oid.
    Array {
        /// Oid of the elements' type.
        element: u32,
        /// What separates elements in text; a comma for all but `box`.
        delimiter: u8,
    },
    /// Anything else.
    Other,
}

impl TypeCatalog {
    /// Returns one row for each type that is not built in: `oid` (oid), `schema` (text), `name`
    /// (text), `kind` ("char": `e`num, `d`omain, `a`rray, `o`ther), `related` (oid: the domain's
    /// base or the array's element, else 0), `modifier` (int4: the domain's), `delimiter` ("char":
    /// the elements' in an array), `labels` (text[]: the enum's, in order, else empty).
    pub const QUERY: &str = "\
        SELECT t.oid, n.nspname::pg_catalog.text AS schema, t.typname::pg_catalog.text AS name, \
        CASE WHEN t.typtype IN ('e', 'd') THEN t.typtype \
             WHEN t.typelem <> 0 AND t.typoutput = 'pg_catalog.array_out'::pg_catalog.regproc \
             THEN 'a'::pg_catalog.\"char\" ELSE 'o'::pg_catalog.\"char\" END AS kind, \
        CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END AS related, \
        t.typtypmod AS modifier, coalesce(e.typdelim, ','::pg_catalog.\"char\") AS delimiter, \
        ARRAY(SELECT l.enumlabel::pg_catalog.text FROM pg_catalog.pg_enum l \
              WHERE l.enumtypid = t.oid ORDER BY l.enumsortorder) AS labels \
        FROM pg_catalog.pg_type t \
        JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
        LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem \
        WHERE t.typtype <> 'p'";

    /// Returns the kind that a row of [`TypeCatalog::QUERY`] tells.
    pub fn kind(kind: u8, related: u32, modifier: i32, delimiter: u8, labels: &[&str]) -> TypeKind {
        match kind {
            b'e' => TypeKind::Enum(labels.iter().copied().map(Arc::from).collect()),
            b'd' => TypeKind::Domain { base: related, modifier },
            b'a' => TypeKind::Array { element: related, delimiter },
            _ => TypeKind::Other,
        }
    }

    /// Adds or replaces a type.
    pub fn insert(&mut self, oid: u32, info: TypeInfo) {
        self.types.insert(oid, info);
    }

    /// Returns the type with this oid, if it was added.
    pub fn get(&self, oid: u32) -> Option<&TypeInfo> {
        self.types.get(&oid)
    }

    /// Returns whether everything is known to compile a plan for this type: it is built in, or was
    /// added and all it is made of is known too.
    pub fn knows(&self, oid: u32) -> bool {
        let mut oid = oid;
        // Domains and arrays nest at most as deep as there are types.
        for _ in 0..=self.types.len() {
            if builtin(oid, -1).is_some() {
                return true;
            }
            match self.get(oid).map(|info| &info.kind) {
                None => return false,
                Some(TypeKind::Enum(_) | TypeKind::Other) => return true,
                Some(
                    TypeKind::Domain { base: next, .. } | TypeKind::Array { element: next, .. },
                ) => {
                    oid = *next;
                }
            }
        }
        false
    }
}
