//! What exactly-once rests on here: fencing, the checkpoint's topic, and who notices what.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cdc_log_kafka::{Error, KafkaConfig, KafkaLog};
use cdc_model::{Offset, Partition, Record, Topic, TopicPartition};
use cdc_pipeline::port::{AppendBatch, LogReader, LogWriter};
use cdc_pipeline::{Classify, ErrorClass};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use testkit::fixture::record;
use testkit::server::kafka::Kafka;
use tokio::time::MissedTickBehavior;

use crate::support::{PATIENCE, batch, config, log, numbered, read_all, texts, unique, update};

fn client(kafka: &Kafka) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", kafka.bootstrap());
    client
}

fn admin(kafka: &Kafka) -> AdminClient<DefaultClientContext> {
    client(kafka).create().unwrap()
}

async fn delete(kafka: &Kafka, topic: &Topic) {
    let results = admin(kafka).delete_topics(&[topic.as_str()], &AdminOptions::new()).await;
    results.unwrap().into_iter().for_each(|result| drop(result.unwrap()));
    let mut reader = log(kafka).reader();
    testkit::server::until("the topic is gone", PATIENCE, async || {
        reader.topics().await.is_ok_and(|topics| topics.iter().all(|meta| meta.topic != *topic))
    })
    .await;
}

async fn create(kafka: &Kafka, topic: &Topic, partitions: i32, settings: &[(&str, &str)]) {
    let mut new = NewTopic::new(topic.as_str(), partitions, TopicReplication::Fixed(1));
    for (name, value) in settings {
        new = new.set(name, value);
    }
    let results = admin(kafka).create_topics([&new], &AdminOptions::new()).await.unwrap();
    results.into_iter().for_each(|result| drop(result.unwrap()));
    let mut reader = log(kafka).reader();
    let at = TopicPartition { topic: topic.clone(), partition: Partition(0) };
    testkit::server::until("the topic is there", PATIENCE, async || {
        reader.assign(vec![(at.clone(), Offset(0))]).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_dropped_at_any_moment_is_settled_by_the_next_open() {
    let kafka = Kafka::shared().await;
    let log = log(kafka);
    let topic = Topic::new(unique("dropped"));
    let mut writer = log.writer(&unique("dropped"), "s");
    writer.open().await.unwrap();
    writer.append(numbered(&topic, 1)).await.unwrap();
    let mut expected = vec!["1".to_owned()];
    let mut outcomes = [0, 0];
    for round in 0..14_u32 {
        let sequence = expected.len() as u64 + 1;
        let patience = Duration::from_micros(200 + 600 * u64::from(round));
        let answer = tokio::time::timeout(patience, writer.append(numbered(&topic, sequence)));
        let was_answered = answer.await.is_ok();
        let stored = writer.open().await.unwrap().unwrap().sequence;
        assert!(stored == sequence || (stored == sequence - 1 && !was_answered));
        if stored == sequence {
            expected.push(sequence.to_string());
        }
        outcomes[usize::from(stored == sequence)] += 1;
        assert_eq!(texts(&log, &topic).await, expected, "round {round}");
    }
    assert!(outcomes[0] > 0, "no append was lost: {outcomes:?}");
}

/// Takes a pipeline over again and again and appends to it until it is fenced or `LAST` is there.
/// It pauses between appends for as long as a takeover takes, so that one falls into the other.
async fn fight(log: KafkaLog, pipeline: String, topic: Topic, millis: u64) {
    let mut writer = log.writer(&pipeline, "s");
    let mut pace = tokio::time::interval(Duration::from_millis(millis));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut stored = match writer.open().await {
            Ok(stored) => stored.map_or(0, |stored| stored.sequence),
            Err(error) => {
                assert_ne!(error.class(), ErrorClass::Fatal, "{error}");
                continue;
            }
        };
        while stored < FOUGHT_OVER {
            if writer.append(numbered(&topic, stored + 1)).await.is_err() {
                break;
            }
            stored += 1;
            pace.tick().await;
        }
        if stored == FOUGHT_OVER {
            return;
        }
        pace.tick().await;
    }
}

const FOUGHT_OVER: u64 = 40;

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_that_take_over_from_each_other_append_each_sequence_once() {
    let kafka = Kafka::shared().await;
    let log = log(kafka);
    let (topic, pipeline) = (Topic::new(unique("fight")), unique("fight"));
    let fight = |millis| fight(log.clone(), pipeline.clone(), topic.clone(), millis);
    tokio::join!(fight(310), fight(470));
    let expected: Vec<_> = (1..=FOUGHT_OVER).map(|sequence| sequence.to_string()).collect();
    assert_eq!(texts(&log, &topic).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checkpoint_survives_compaction() {
    let kafka = Kafka::start_with(&[
        ("log.cleaner.backoff.ms", "200"),
        ("log.cleaner.min.cleanable.ratio", "0.01"),
    ])
    .await;
    let log = log(&kafka);
    let mut writer = log.writer("p", "s");
    let position_topic = writer.position_topic().clone();
    // Small segments that roll by themselves: only closed ones are compacted.
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "200"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "0"),
    ];
    create(&kafka, &position_topic, 1, &settings).await;
    writer.open().await.unwrap();
    let mut sequence = 0;
    let held = async |from: i64| {
        let at = TopicPartition { topic: position_topic.clone(), partition: Partition(0) };
        let mut reader = log.reader();
        reader.assign(vec![(at, Offset(from))]).await.unwrap();
        reader.poll(1 << 20).await.unwrap().records.first().map_or(0, |record| record.offset.0)
    };
    testkit::server::until("compaction dropped the first records", PATIENCE, async || {
        sequence += 1;
        let entries = vec![(Arc::from("kept"), Some(Bytes::from_static(b"x")))];
        let entries = if sequence == 1 { entries } else { Vec::new() };
        let update = cdc_pipeline::port::CheckpointUpdate { entries, ..update(sequence) };
        let batch = AppendBatch { records: Vec::new(), update: Some(update) };
        writer.append(Arc::new(batch)).await.unwrap();
        // Offset 0 holds the entry, which is kept; 1 the first position.
        held(1).await > 3
    })
    .await;
    let checkpoint = log.writer("p", "s").open().await.unwrap().unwrap();
    assert_eq!(checkpoint.sequence, sequence);
    assert_eq!(checkpoint.position, update(sequence).position);
    assert_eq!(checkpoint.entries.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_an_aborted_or_open_transaction_are_not_read() {
    let kafka = Kafka::shared().await;
    let log = log(kafka);
    let topic = Topic::new(unique("aborted"));
    let mut writer = log.writer(&unique("aborted"), "s");
    writer.open().await.unwrap();
    writer.append(numbered(&topic, 1)).await.unwrap();
    let name = topic.clone();
    let mut settings = client(kafka);
    settings.set("transactional.id", unique("foreign"));
    let foreign = tokio::task::spawn_blocking(move || {
        let foreign: BaseProducer = settings.create().unwrap();
        foreign.init_transactions(PATIENCE).unwrap();
        foreign.begin_transaction().unwrap();
        foreign.send(BaseRecord::<str, str>::to(name.as_str()).payload("never")).unwrap();
        while foreign.in_flight_count() > 0 {
            foreign.poll(Duration::from_millis(1));
        }
        foreign
    });
    let foreign = foreign.await.unwrap();
    let mut reader = log.reader();
    let at = TopicPartition { topic: topic.clone(), partition: Partition(0) };
    reader.assign(vec![(at, Offset(0))]).await.unwrap();
    let first = reader.poll(1 << 20).await.unwrap();
    assert_eq!(first.records.len(), 1, "an open transaction is not read: {first:?}");
    let second = tokio::time::timeout(Duration::from_secs(1), reader.poll(1 << 20)).await;
    assert!(second.is_err() || second.unwrap().unwrap().records.is_empty());
    tokio::task::spawn_blocking(move || foreign.abort_transaction(PATIENCE).unwrap())
        .await
        .unwrap();
    writer.append(numbered(&topic, 2)).await.unwrap();
    assert_eq!(texts(&log, &topic).await, ["1", "2"], "nor is an aborted one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_over_the_topics_limit_halts_and_names_topic_and_setting() {
    let kafka = Kafka::shared().await;
    let topic = Topic::new(unique("small"));
    create(kafka, &topic, 1, &[("max.message.bytes", "5000")]).await;
    let mut writer = log(kafka).writer(&unique("small"), "s");
    // Incompressible, for the broker judges what is compressed.
    let mut noise = Vec::new();
    let mut state = 1_u64;
    while noise.len() < 20_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        noise.extend_from_slice(&state.to_be_bytes()[..4]);
    }
    let large = Record { value: Some(noise.into()), ..record(&topic, "k", "", 1) };
    // As a pipeline would: what heals by itself, on a broker that other tests keep busy, is tried
    // again.
    let mut error = None;
    for _ in 0..10 {
        writer.open().await.unwrap();
        let failure = writer.append(batch(1, vec![large.clone()])).await.unwrap_err();
        if failure.class() != ErrorClass::Transient {
            error = Some(failure);
            break;
        }
        eprintln!("tried again after: {failure}");
    }
    let error = error.expect("one that does not heal by itself");
    assert_eq!(
        (error.class(), error.code()),
        (ErrorClass::Fatal, Some("KAFKA_TOO_LARGE")),
        "{error}"
    );
    assert!(error.to_string().contains(topic.as_str()), "{error}");
    assert!(error.remedy().unwrap().contains("max.message.bytes"));
    assert_eq!(writer.open().await.unwrap(), None, "nothing of it was kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_over_our_own_limit_halts_too() {
    let kafka = Kafka::shared().await;
    let config = KafkaConfig { message_bytes_max: 10_000, ..config(kafka) };
    let topic = Topic::new(unique("limit"));
    let mut writer = KafkaLog::new(config).unwrap().writer(&unique("limit"), "s");
    writer.open().await.unwrap();
    let large = Record { value: Some(vec![0; 20_000].into()), ..record(&topic, "k", "", 1) };
    let error = writer.append(batch(1, vec![large])).await.unwrap_err();
    assert_eq!(error.code(), Some("KAFKA_TOO_LARGE"), "{error}");
    assert!(error.to_string().contains(topic.as_str()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_made_again_or_given_partitions_halts() {
    let kafka = Kafka::shared().await;
    let log = log(kafka);
    let pipeline = unique("topics");
    let (replaced, missing) = (Topic::new(unique("replaced")), Topic::new(unique("missing")));
    let grown = Topic::new(unique("grown"));
    for (sequence, topic) in [(1, &replaced), (2, &missing), (3, &grown)] {
        let mut writer = log.writer(&format!("{pipeline}-{topic}"), "s");
        assert!(writer.open().await.unwrap().is_none());
        writer.append(numbered(topic, sequence)).await.unwrap();
        writer.append(numbered(topic, sequence + 1)).await.unwrap();
    }
    delete(kafka, &replaced).await;
    create(kafka, &replaced, 1, &[]).await;
    delete(kafka, &missing).await;
    let more = NewPartitions::new(grown.as_str(), 2);
    let results = admin(kafka).create_partitions([&more], &AdminOptions::new()).await.unwrap();
    results.into_iter().for_each(|result| drop(result.unwrap()));

    for (topic, code) in [
        (&replaced, "TOPIC_RECREATED"),
        (&missing, "TOPIC_MISSING"),
        (&grown, "TOPIC_PARTITIONS_CHANGED"),
    ] {
        let mut writer = log.writer(&format!("{pipeline}-{topic}"), "s");
        let mut found = None;
        testkit::server::until("the broker shows the change", PATIENCE, async || {
            found = writer.open().await.err();
            found.is_some()
        })
        .await;
        let error = found.unwrap();
        assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some(code)), "{error}");
        assert!(error.to_string().contains(topic.as_str()), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_that_were_trimmed_halt_the_reader() {
    let kafka = Kafka::shared().await;
    let log = log(kafka);
    let topic = Topic::new(unique("trimmed"));
    let mut writer = log.writer(&unique("trimmed"), "s");
    writer.open().await.unwrap();
    for sequence in 1..=3 {
        writer.append(numbered(&topic, sequence)).await.unwrap();
    }
    let at = TopicPartition { topic: topic.clone(), partition: Partition(0) };
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(topic.as_str(), 0, rdkafka::Offset::Offset(4)).unwrap();
    admin(kafka).delete_records(&list, &AdminOptions::new()).await.unwrap();
    let error = log.reader().assign(vec![(at.clone(), Offset(1))]).await.unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("OFFSET_OUT_OF_RANGE")));
    assert!(error.to_string().contains("offset 1: it holds 4 to 6"), "{error}");

    let mut reader = log.reader();
    reader.assign(vec![(at, Offset(4))]).await.unwrap();
    assert_eq!(read_all(&mut reader, &topic).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_under_a_reader_halts_it() {
    let kafka = Kafka::shared().await;
    let log = log(kafka);
    let topic = Topic::new(unique("vanishing"));
    let mut writer = log.writer(&unique("vanishing"), "s");
    writer.open().await.unwrap();
    writer.append(numbered(&topic, 1)).await.unwrap();
    let mut reader = log.reader();
    let at = TopicPartition { topic: topic.clone(), partition: Partition(0) };
    reader.assign(vec![(at, Offset(0))]).await.unwrap();
    assert_eq!(reader.poll(1 << 20).await.unwrap().records.len(), 1);
    delete(kafka, &topic).await;
    let halted = async {
        loop {
            match reader.poll(1 << 20).await {
                Err(error) if error.class() == ErrorClass::Fatal => return error,
                Ok(_) | Err(_) => {}
            }
        }
    };
    let error = tokio::time::timeout(PATIENCE, halted).await.expect("the reader notices");
    assert_eq!(error.code(), Some("TOPIC_MISSING"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_topics_are_made_without_expiry_and_not_listed() {
    let kafka = Kafka::shared().await;
    let log = log(kafka);
    let topic = Topic::new(unique("made"));
    let mut writer = log.writer(&unique("made"), "s");
    writer.open().await.unwrap();
    writer.append(numbered(&topic, 1)).await.unwrap();
    let position = writer.position_topic().clone();
    let resources =
        [topic.as_str(), position.as_str()].map(rdkafka::admin::ResourceSpecifier::Topic);
    let described = admin(kafka).describe_configs(&resources, &AdminOptions::new()).await.unwrap();
    let settings: Vec<_> = described.into_iter().map(Result::unwrap).collect();
    let value = |index: usize, name| settings[index].get(name).unwrap().value.clone().unwrap();
    assert_eq!(value(0, "retention.ms"), "-1");
    assert_eq!(value(0, "retention.bytes"), "-1");
    assert_eq!(value(0, "cleanup.policy"), "delete");
    assert_eq!(value(1, "cleanup.policy"), "compact");
    let topics = log.reader().topics().await.unwrap();
    assert!(topics.iter().any(|meta| meta.topic == topic));
    assert!(topics.iter().all(|meta| meta.topic != position), "{topics:?}");
    assert!(topics.is_sorted_by(|a, b| a.topic < b.topic));
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_appended_without_a_checkpoint() {
    let kafka = Kafka::shared().await;
    let log = log(kafka);
    let topic = Topic::new(unique("dlq"));
    let mut writer = log.writer(&unique("dlq"), "s");
    writer.open().await.unwrap();
    let mut letter = record(&topic, "k", "letter", 1);
    letter.id = None;
    let batch = AppendBatch { records: vec![letter], update: None };
    writer.append(Arc::new(batch)).await.unwrap();
    assert_eq!(writer.open().await.unwrap(), None);
    assert_eq!(texts(&log, &topic).await, ["letter"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_is_of_no_use_before_it_is_opened() {
    let kafka = Kafka::shared().await;
    let mut writer = log(kafka).writer(&unique("unopened"), "s");
    let error = writer.append(batch(1, Vec::new())).await.unwrap_err();
    assert!(matches!(error, Error::NotOpen { .. }), "{error}");
}
