//! A compacted topic as a table: order, tombstones, one writer at a time, topics that do not fit.

use bytes::Bytes;
use cdc_log_kafka::{CompactedReader, CompactedTopic, Error};
use cdc_model::Offset;
use cdc_pipeline::Classify;
use testkit::server::kafka::Kafka;

use crate::support::{PATIENCE, config, unique};

type Entry = (String, Option<String>);

fn entries(of: &[(&'static str, Option<&'static str>)]) -> Vec<(Bytes, Option<Bytes>)> {
    of.iter().map(|(key, value)| ((*key).into(), value.map(Bytes::from))).collect()
}

async fn read_to(reader: &mut CompactedReader, end: Offset) -> Vec<Entry> {
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let mut read = Vec::new();
    while reader.position() < end {
        let polled = tokio::time::timeout(PATIENCE, reader.poll()).await;
        let records = polled.expect("there is more to read").unwrap();
        read.extend(records.into_iter().map(|r| (text(r.key.unwrap()), r.value.map(text))));
    }
    read
}

fn entry(key: &str, value: Option<&str>) -> Entry {
    (key.to_owned(), value.map(str::to_owned))
}

#[tokio::test]
async fn what_was_appended_is_read_in_order_and_followed() {
    let kafka = Kafka::shared().await;
    let topic = CompactedTopic::new(config(kafka), &unique("table")).unwrap();
    topic.open().await.unwrap();
    let writer = topic.writer(&unique("writer")).await.unwrap();
    writer.append(entries(&[("a", Some("1")), ("b", Some("2"))])).await.unwrap();
    writer.append(entries(&[("a", None)])).await.unwrap();

    let mut reader = topic.reader(None).await.unwrap();
    let read = read_to(&mut reader, topic.end().await.unwrap()).await;
    assert_eq!(read, [entry("a", Some("1")), entry("b", Some("2")), entry("a", None)]);

    writer.append(entries(&[("c", Some("3"))])).await.unwrap();
    let at = reader.position();
    let end = topic.end().await.unwrap();
    assert_eq!(read_to(&mut reader, end).await, [entry("c", Some("3"))]);
    let mut again = topic.reader(Some(at)).await.unwrap();
    assert_eq!(read_to(&mut again, end).await, [entry("c", Some("3"))]);
}

#[tokio::test]
async fn a_second_writer_fences_the_first() {
    let kafka = Kafka::shared().await;
    let topic = CompactedTopic::new(config(kafka), &unique("table")).unwrap();
    topic.open().await.unwrap();
    let name = unique("writer");
    let first = topic.writer(&name).await.unwrap();
    first.append(entries(&[("a", Some("1"))])).await.unwrap();
    let second = topic.writer(&name).await.unwrap();
    let error = first.append(entries(&[("a", Some("lost"))])).await.unwrap_err();
    assert!(matches!(error, Error::Fenced { .. }), "{error}");
    second.append(entries(&[("a", Some("2"))])).await.unwrap();
    let mut reader = topic.reader(None).await.unwrap();
    let read = read_to(&mut reader, topic.end().await.unwrap()).await;
    assert_eq!(read, [entry("a", Some("1")), entry("a", Some("2"))]);
}

#[tokio::test]
async fn a_topic_that_forgets_is_refused() {
    let kafka = Kafka::shared().await;
    let name = unique("events");
    let log = cdc_log_kafka::KafkaLog::new(config(kafka)).unwrap();
    let mut writer = log.writer(&unique("pipeline"), "1");
    cdc_pipeline::port::LogWriter::open(&mut writer).await.unwrap();
    let topic = cdc_model::Topic::new(name.clone());
    let batch = crate::support::numbered(&topic, 1);
    cdc_pipeline::port::LogWriter::append(&mut writer, batch).await.unwrap();

    let error = CompactedTopic::new(config(kafka), &name).unwrap().open().await.unwrap_err();
    assert_eq!(error.code(), Some("KAFKA_TOPIC_UNFIT"), "{error}");
    assert!(error.remedy().unwrap().contains(&name));
}
