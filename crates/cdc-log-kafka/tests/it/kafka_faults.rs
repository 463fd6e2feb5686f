//! Brokers that are away, die, freeze, or are no brokers.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cdc_log_kafka::{KafkaConfig, KafkaLog, KafkaReader, KafkaWriter};
use cdc_model::Topic;
use cdc_pipeline::port::{LogReader, LogWriter};
use cdc_pipeline::{Classify, ErrorClass};
use testkit::fixture::record;
use testkit::server::kafka::Kafka;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::support::{PATIENCE, batch, config, log, numbered, texts, unique};

/// Appends sequence after sequence up to `last`, as the capture loop does: after an error it opens
/// again and goes on from what the checkpoint says.
async fn append_through(writer: &mut KafkaWriter, topic: &Topic, last: u64) -> u32 {
    append_and_tell(writer, topic, last, &AtomicU64::new(0)).await
}

/// The same, telling in `done` how far it is.
async fn append_and_tell(
    writer: &mut KafkaWriter,
    topic: &Topic,
    last: u64,
    done: &AtomicU64,
) -> u32 {
    let mut errors = 0;
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    let deadline = Instant::now() + PATIENCE;
    let mut sequence = None;
    let mut told: Vec<String> = Vec::new();
    let started = Instant::now();
    loop {
        assert!(Instant::now() < deadline, "still at {sequence:?} of {last}: {told:#?}");
        let at = match sequence {
            Some(at) => at,
            None => match writer.open().await {
                Ok(checkpoint) => checkpoint.map_or(0, |checkpoint| checkpoint.sequence),
                Err(error) => {
                    assert!(
                        matches!(error.class(), ErrorClass::Transient | ErrorClass::Unknown),
                        "{error}"
                    );
                    told.push(format!("{:?} open: {error}", started.elapsed()));
                    pace.tick().await;
                    errors += 1;
                    continue;
                }
            },
        };
        done.store(at, Ordering::Relaxed);
        if at == last {
            return errors;
        }
        sequence = match writer.append(numbered(topic, at + 1)).await {
            Ok(()) => Some(at + 1),
            Err(error) => {
                assert_ne!(error.class(), ErrorClass::Fatal, "{error}");
                told.push(format!("{:?} append: {error}", started.elapsed()));
                errors += 1;
                None
            }
        };
    }
}

fn numbers(last: u64) -> Vec<String> {
    (1..=last).map(|n| n.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_under_load_loses_and_doubles_nothing() {
    let kafka = Kafka::start().await;
    let log = log(&kafka);
    let topic = Topic::new("killed");
    let mut writer = log.writer("killed", "s");
    append_through(&mut writer, &topic, 50).await;
    let done = AtomicU64::new(0);
    let load = append_and_tell(&mut writer, &topic, 600, &done);
    // Each under load: a broker that is killed before it is done recovering may leave a transaction
    // hanging for ever.
    let faults = async {
        for at in [60, 200] {
            testkit::server::until("the load goes on", PATIENCE, async || {
                done.load(Ordering::Relaxed) >= at
            })
            .await;
            kafka.kill9().await;
            kafka.start_again().await;
        }
    };
    tokio::join!(load, faults);
    assert_eq!(texts(&log, &topic).await, numbers(600));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_frozen_for_ten_seconds_loses_and_doubles_nothing() {
    let kafka = Kafka::start().await;
    let log = log(&kafka);
    let topic = Topic::new("frozen");
    let mut writer = log.writer("frozen", "s");
    append_through(&mut writer, &topic, 20).await;
    kafka.pause();
    let mut load = pin!(append_through(&mut writer, &topic, 40));
    let early = tokio::time::timeout(Duration::from_secs(10), &mut load).await;
    assert!(early.is_err(), "nobody acknowledges while the broker is frozen");
    kafka.resume();
    load.await;
    assert_eq!(texts(&log, &topic).await, numbers(40));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_goes_on_after_its_broker_was_away() {
    let kafka = Kafka::start().await;
    let log = log(&kafka);
    let topic = Topic::new("away");
    let mut writer = log.writer("away", "s");
    append_through(&mut writer, &topic, 3).await;
    let mut reader = log.reader();
    let metas = reader.topics().await.unwrap();
    let from = metas[0].topic_partitions().map(|at| (at, cdc_model::Offset(0))).collect();
    reader.assign(from).await.unwrap();
    let mut read: Vec<String> = Vec::new();
    let mut errors = 0;
    let reading = async {
        while read.len() < 6 {
            match reader.poll(1 << 20).await {
                Ok(fetched) => read.extend(fetched.records.iter().map(crate::support::text)),
                Err(error) => {
                    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
                    errors += 1;
                }
            }
        }
    };
    let fault = async {
        kafka.kill9().await;
        kafka.start_again().await;
        append_through(&mut writer, &topic, 6).await;
    };
    let both = async { tokio::join!(reading, fault) };
    tokio::time::timeout(PATIENCE, both).await.expect("the reader goes on");
    assert_eq!(read, numbers(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_ask_while_a_broker_restarts_get_answers_once_it_serves() {
    const READERS: usize = 30;
    let kafka = Kafka::start().await;
    let log = log(&kafka);
    let mut writer = log.writer("asked", "s");
    writer.open().await.unwrap();
    let records = (0..10).map(|n| record(&Topic::new(format!("asked-{n}")), "k", "v", n)).collect();
    writer.append(batch(1, records)).await.unwrap();

    let mut readers: Vec<_> = (0..READERS).map(|_| log.reader()).collect();
    for _ in 0..3 {
        let has_started = AtomicBool::new(false);
        let ask = async |reader: &mut KafkaReader| {
            let mut pace = tokio::time::interval(Duration::from_millis(50));
            loop {
                pace.tick().await;
                let was_started = has_started.load(Ordering::Relaxed);
                match reader.topics().await {
                    Ok(topics) if was_started => return assert_eq!(topics.len(), 10),
                    Ok(_) => {}
                    Err(error) => assert_ne!(error.class(), ErrorClass::Fatal, "{error}"),
                }
            }
        };
        let asking = futures_util::future::join_all(readers.iter_mut().map(ask));
        // They see its leaders go, too: librdkafka may remember that for ever.
        let restarting = async {
            kafka.stop().await;
            kafka.start_again().await;
            has_started.store(true, Ordering::Relaxed);
        };
        let both = async { tokio::join!(asking, restarting) };
        tokio::time::timeout(PATIENCE, both).await.expect("all get answers");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_where_nobody_listens_is_named_at_once() {
    let server = format!("127.0.0.1:{}", testkit::server::free_port());
    let log = KafkaLog::new(KafkaConfig::new(&*server)).unwrap();
    let started = Instant::now();
    for error in
        [log.writer("p", "s").open().await.unwrap_err(), log.reader().topics().await.unwrap_err()]
    {
        assert_eq!(error.class(), ErrorClass::Transient);
        assert!(error.to_string().contains(&server), "{error}");
        assert!(cdc_pipeline::error::chain(&error).contains("refused"), "{error:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn something_else_that_listens_is_not_taken_for_a_broker() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let web = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    };
    let mut writer = KafkaLog::new(KafkaConfig::new(&*server)).unwrap().writer("p", "s");
    let error = tokio::select! {
        opened = writer.open() => opened.unwrap_err(),
        () = web => unreachable!("never ends"),
    };
    assert_eq!(error.class(), ErrorClass::Unknown);
    assert!(cdc_pipeline::error::chain(&error).contains("no Kafka broker"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_writer_of_a_dead_broker_hangs_nobody() {
    let kafka = Kafka::start().await;
    let topic = Topic::new(unique("dead"));
    let mut writer = log(&kafka).writer("dead", "s");
    writer.open().await.unwrap();
    writer.append(numbered(&topic, 1)).await.unwrap();
    kafka.kill9().await;
    let lost = tokio::time::timeout(Duration::from_secs(1), writer.append(numbered(&topic, 2)));
    assert!(lost.await.is_err(), "nobody can answer");
    let started = Instant::now();
    // Waiting for the append would take `message_timeout`, 45 s.
    drop(writer);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_halts_and_is_not_shown_and_the_right_one_works() {
    // The helper's map names the listener PLAINTEXT; what it speaks is ours to say.
    let jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                username=\"cdc\" password=\"right\" user_cdc=\"right\";";
    let kafka = Kafka::start_with(&[
        ("listener.security.protocol.map", "PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT"),
        ("sasl.enabled.mechanisms", "PLAIN"),
        ("sasl.mechanism.inter.broker.protocol", "PLAIN"),
        ("inter.broker.listener.name", "PLAINTEXT"),
        ("listener.name.plaintext.plain.sasl.jaas.config", jaas),
    ])
    .await;
    let log = |password: &str| {
        let mut config = config(&kafka);
        for (name, value) in [
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "cdc"),
            ("sasl.password", password),
        ] {
            config.properties.insert(name.to_owned(), value.to_owned());
        }
        KafkaLog::new(config).unwrap()
    };
    let error = log("hunter2").writer("p", "s").open().await.unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("KAFKA_AUTH")), "{error}");
    assert!(!cdc_pipeline::error::chain(&error).contains("hunter2"));

    let topic = Topic::new("sasl");
    let mut writer = log("right").writer("p", "s");
    writer.open().await.unwrap();
    writer.append(numbered(&topic, 1)).await.unwrap();
    assert_eq!(texts(&log("right"), &topic).await, ["1"]);
}
