//! The scenarios that are compared, each with what we write differently on purpose.
//!
//! `docs/debezium-compatibility.md` holds the same list for people.

use serde_json::{Value as Json, json};

/// A place where we write something else on purpose.
#[derive(Debug, Clone)]
pub struct Deviation {
    /// The topic after its prefix.
    pub topic: &'static str,
    /// The offsets there.
    pub offsets: &'static [usize],
    /// The place: `value.after.x`, `key`, `header`.
    pub path: &'static str,
    /// What we write; what Debezium writes is in the golden.
    pub ours: Json,
}

/// A recorded scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its folder's name.
    pub name: &'static str,
    /// Of the configurations' names: `precise_` in `precise_avro`.
    pub variant: &'static str,
    /// What differs on purpose.
    pub deviations: Vec<Deviation>,
    /// Columns of types that are not compared, by topic: taken out of both sides.
    pub left_out: Vec<(&'static str, Vec<&'static str>)>,
    /// Topics that are not compared.
    pub skipped: Vec<&'static str>,
    /// Subjects' schemas that differ, compared after an edit of the golden's text.
    pub schema_edits: Vec<(&'static str, &'static str)>,
}

fn deviation(
    topic: &'static str,
    offsets: &'static [usize],
    path: &'static str,
    ours: Json,
) -> Deviation {
    Deviation { topic, offsets, path, ours }
}

impl Scenario {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            variant: "",
            deviations: Vec::new(),
            left_out: Vec::new(),
            skipped: Vec::new(),
            schema_edits: Vec::new(),
        }
    }

    /// The order database of Debezium's tutorial, in short.
    pub fn inventory() -> Self {
        Self::new("inventory")
    }

    /// Unchanged values, key changes and every replica identity.
    pub fn toast_keys() -> Self {
        let mut scenario = Self::new("toast_keys");
        let index = |offsets, path, ours| deviation(".public.ri_index", offsets, path, ours);
        let key = |code: &str| json!({ "code": code });
        scenario.deviations = vec![
            index(&[0, 1, 2, 3], "key", key("k1")),
            index(&[4, 5, 6], "key", key("k2")),
            index(&[2, 3], "header", json!("{\"code\":\"k2\"}")),
            index(&[4], "header", json!("{\"code\":\"k1\"}")),
        ];
        scenario.schema_edits = vec![(
            "\"namespace\":\"toast_keys_avro.public.ri_index\",\"fields\":[{\"name\":\"id\",\"type\":\"int\"}]",
            "\"namespace\":\"toast_keys_avro.public.ri_index\",\"fields\":[{\"name\":\"code\",\"type\":\"string\"}]",
        )];
        scenario
    }

    /// Truncates and logical messages.
    pub fn truncate_messages() -> Self {
        Self::new("truncate_messages")
    }

    /// Transactions, without their metadata.
    pub fn transactions() -> Self {
        let mut scenario = Self::new("transactions");
        scenario.skipped = vec![".transaction"];
        scenario.deviations = vec![
            deviation(".public.x", &[1, 2, 3, 4, 5, 6, 7, 8, 10], "value.transaction", Json::Null),
            deviation(".public.y", &[0, 1], "value.transaction", Json::Null),
        ];
        scenario
    }

    /// Numbers.
    pub fn types_numeric() -> Self {
        let mut scenario = Self::new("types_numeric");
        scenario.variant = "precise_";
        scenario.left_out =
            vec![(".public.t_num", vec!["m", "o", "bit1", "bit7", "bit12", "vb", "vb9"])];
        let nneg = |offsets, base64: &str| {
            deviation(".public.t_num", offsets, "value.after.nneg", json!(base64))
        };
        let filled = |offsets, path| deviation(".public.t_def", offsets, path, Json::Null);
        scenario.deviations = vec![
            nneg(&[0, 8], "MAw="),
            nneg(&[1, 9], "/nnE"),
            nneg(&[2, 10], "AYY8"),
            filled(&[2], "value.after.inull"),
            filled(&[2], "value.after.b"),
            filled(&[2], "value.after.f"),
            filled(&[3], "value.before.inull"),
            filled(&[3], "value.before.b"),
            filled(&[3], "value.before.f"),
        ];
        scenario.schema_edits = vec![
            ("\"scale\":2046,\"precision\":3", "\"scale\":0,\"precision\":5"),
            (
                "{\"scale\":\"2046\",\"connect.decimal.precision\":\"3\"}",
                "{\"scale\":\"0\",\"connect.decimal.precision\":\"5\"}",
            ),
            (
                "{\"name\":\"bi\",\"type\":\"long\"}",
                "{\"name\":\"bi\",\"type\":{\"type\":\"long\",\"connect.default\":0},\"default\":0}",
            ),
            (
                "{\"name\":\"by\",\"type\":\"bytes\"}",
                "{\"name\":\"by\",\"type\":\"bytes\",\"penstock.default\":{\"literal\":\"\\\\x00ff\"}}",
            ),
            (
                "{\"name\":\"arr\",\"type\":{\"type\":\"array\",\"items\":[\"null\",\"int\"]}}",
                "{\"name\":\"arr\",\"type\":{\"type\":\"array\",\"items\":[\"null\",\"int\"]},\"penstock.default\":{\"literal\":\"{1,2}\"}}",
            ),
        ];
        scenario
    }

    /// Dates, times and intervals.
    pub fn types_temporal() -> Self {
        let mut scenario = Self::new("types_temporal");
        scenario.variant = "adaptive_";
        let date =
            |offsets, days: i32| deviation(".public.t_time", offsets, "value.after.d", json!(days));
        scenario.deviations =
            vec![date(&[4, 13], i32::MAX), date(&[5, 14], i32::MIN), date(&[6], -2_440_550)];
        scenario
    }

    /// Text, bytes, enums, networks, ranges, arrays.
    pub fn types_misc() -> Self {
        let mut scenario = Self::new("types_misc");
        scenario.left_out =
            vec![(".public.t_misc", vec!["pt", "h", "bx", "ln", "ls", "pa", "pg", "ce"])];
        let elements = json!([1, 2, 3, 4]);
        scenario.deviations =
            vec![deviation(".public.t_arr", &[0, 3], "value.after.a_i2", elements)];
        scenario
    }
}
