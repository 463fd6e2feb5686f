//! Search: what is found, how it is shown, and what is refused.

use std::sync::Arc;

use cdc_model::{Column, ColumnType, Row, TableSchema, Value};
use cdc_sink_search::SearchError;
use proptest::prelude::*;
use testkit::fixture::{delete, insert, origin, table, update};

use crate::world::World;

async fn world() -> World {
    let mut world = World::new().await;
    let t = table("t");
    let texts = [
        "The quick brown fox jumps over the lazy dog",
        "Quick thinking, <b>bold</b> & loud",
        "Žluťoučký kůň úpěl ďábelské ódy",
    ];
    let rows = (1..).zip(texts).map(|(id, text)| insert(&t, origin(1, 0), id, text));
    world.apply(rows.collect()).await.unwrap();
    world
}

#[tokio::test]
async fn a_hit_tells_table_key_row_and_where_the_words_are() {
    let world = world().await;
    let hits = world.sink.query_handle().search("bold", 10).await.unwrap();
    assert_eq!(hits.len(), 1);
    let hit = &hits[0];
    assert_eq!(hit.table, "public.t");
    assert_eq!(serde_json::to_string(&hit.key).unwrap(), "{\"id\":2}");
    assert_eq!(hit.row["v"], "Quick thinking, <b>bold</b> & loud");
    assert!(hit.score > 0.0);
    let words: Vec<_> =
        hit.snippet.matches.iter().map(|range| hit.snippet.text.get(range.clone())).collect();
    assert_eq!(words, [Some("bold")], "{:?}", hit.snippet);
    assert!(hit.snippet.text.contains("<b>bold</b> & loud"), "plain text: {:?}", hit.snippet);
}

#[tokio::test]
async fn words_phrases_and_operators_find_what_they_say() {
    let world = world().await;
    let ids = async |query: &str| {
        let hits = world.sink.query_handle().search(query, 10).await.unwrap();
        let mut ids: Vec<_> = hits.iter().map(|hit| hit.key["id"].as_i64().unwrap()).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(ids("quick").await, [1, 2]);
    assert_eq!(ids("\"quick brown\"").await, [1]);
    assert_eq!(ids("\"brown quick\"").await, [0; 0]);
    assert_eq!(ids("+quick -fox").await, [2]);
    assert_eq!(ids("fox OR kůň").await, [1, 3]);
    assert_eq!(ids("table:\"public.t\" AND quick").await, [1, 2]);
    assert_eq!(ids("table:\"public.other\" AND quick").await, [0; 0]);
    assert_eq!(ids("*").await, [1, 2, 3]);
    assert_eq!(ids("").await, [0; 0]);
    assert_eq!(world.sink.query_handle().search("quick", 1).await.unwrap().len(), 1);
    assert_eq!(world.sink.query_handle().search("quick", 0).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_handle_sees_each_commit_at_once() {
    let mut world = world().await;
    let query = world.sink.query_handle();
    let t = table("t");
    for round in 0..10 {
        let word = format!("word{round}");
        world.apply(vec![insert(&t, origin(2, 0), 9, word.clone())]).await.unwrap();
        assert_eq!(query.search(&word, 5).await.unwrap().len(), 1);
        world.apply(vec![delete(&t, origin(3, 0), 9)]).await.unwrap();
        assert!(query.search(&word, 5).await.unwrap().is_empty());
        assert_eq!(query.clone().count("public.t").await.unwrap(), 3);
    }
}

#[tokio::test]
async fn text_in_arrays_json_and_uuids_is_found_and_bytes_are_not() {
    let mut world = World::new().await;
    let mut schema = TableSchema::clone(&table("t"));
    schema.columns.extend([
        Column::new("tags", ColumnType::Array(Box::new(ColumnType::Text))),
        Column::new("doc", ColumnType::Json),
        Column::new("uuid", ColumnType::Uuid),
        Column::new("raw", ColumnType::Bytes),
    ]);
    let elements = vec![Value::text("alpha"), Value::Null, Value::text("beta gamma")];
    let row = Row::new(vec![
        Value::Int64(1),
        Value::Null,
        Value::Array(cdc_model::Array { elements: elements.into(), exact: None }),
        Value::text("{\"name\": \"delta\"}"),
        Value::Uuid([0xab; 16]),
        Value::Bytes(bytes::Bytes::from_static(b"\xde\xad")),
    ]);
    world.apply(vec![update(&Arc::new(schema), origin(1, 0), row)]).await.unwrap();
    let query = world.sink.query_handle();
    for (word, count) in [("gamma", 1), ("delta", 1), ("abababab", 1), ("xdead", 0), ("x", 0)] {
        assert_eq!(query.search(word, 5).await.unwrap().len(), count, "{word}");
    }
    assert!(query.search("\"alpha beta\"", 5).await.unwrap().is_empty(), "over two elements");
}

#[tokio::test]
async fn a_query_that_cannot_be_read_says_what_to_do() {
    let world = world().await;
    let query = world.sink.query_handle();
    for text in ["\"open", "(open", "a AND", "text:[a TO"] {
        if let Err(error) = query.search(text, 5).await {
            assert!(matches!(error, SearchError::Syntax { .. }), "{text}: {error:?}");
            assert!(error.remedy().contains("quotes"), "{error}");
        }
    }
    assert!(matches!(query.search("(open", 5).await, Err(SearchError::Syntax { .. })));
    let error = query.search("color:red", 5).await.unwrap_err();
    assert!(matches!(&error, SearchError::UnknownField { field } if field == "color"), "{error:?}");
    assert!(error.remedy().contains("text or table"));
    for text in ["(".repeat(17), "a ".repeat(1_100)] {
        assert!(matches!(query.search(&text, 5).await, Err(SearchError::TooLarge)));
    }
    let error = query.rows("public.none", 5).await.unwrap_err();
    assert!(matches!(error, SearchError::UnknownTable { .. }));
    let error = query.rows("public.t", 2).await.unwrap_err();
    assert!(matches!(error, SearchError::TooManyRows { rows_max: 2, .. }), "{error}");
}

/// No text makes a search panic: a panic would show as an error of the index.
#[test]
fn any_text_is_answered_or_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(world());
    let query = world.sink.query_handle();
    let ask = |text: &str| match runtime.block_on(query.search(text, 5)) {
        Ok(hits) => {
            for hit in hits {
                for range in hit.snippet.matches {
                    assert!(hit.snippet.text.get(range).is_some(), "{text}");
                }
            }
        }
        Err(SearchError::Index(error)) => panic!("{text:?}: {error:?}"),
        Err(_) => {}
    };
    for part in
        ["-", "+", "NOT ", "((", "[", "\"", "a OR ", "text:", "^", "~", "\\", "!", "IN [", "*"]
    {
        for count in [1, 3, 100, 600] {
            ask(&part.repeat(count));
        }
    }
    let config = ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() };
    let texts = "[a-cžů 0-9\"'()\\[\\]{}:+*/~^<>&|!\\\\ANDORT-]{0,40}";
    proptest::test_runner::TestRunner::new(config)
        .run(&texts, |text| {
            ask(&text);
            Ok(())
        })
        .unwrap();
}
