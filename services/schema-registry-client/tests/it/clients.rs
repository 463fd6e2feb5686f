//! Clients that others wrote against a running service: Confluent's for Python, and Spring's for
//! Java, which reads with Avro's own library what our codec wrote.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use cdc_codec::{CodecConfig, Encoder};
use cdc_model::{
    ChangeEvent, Column, ColumnType, Decimal, Lsn, Op, Origin, Record, ReplicaIdentity, Row,
    TableId, TableName, TableSchema, Text, Timestamp, Transaction, Value,
};
use cdc_pipeline::port::Encode as _;
use cdc_registry::{Registry, RestConfig};
use tokio::process::Command;

use crate::world::{PATIENCE, Running, embedded};

/// Runs a client and returns what it printed.
async fn run(mut client: Command) -> String {
    client.env("NO_PROXY", "127.0.0.1").stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, client.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fetched(part: &str, sign: &str) -> PathBuf {
    let dir = testkit::server::deps::root().join(part);
    let hint = "is missing; please run `scripts/bootstrap test`";
    assert!(dir.join(sign).exists(), "{} {hint}", dir.join(sign).display());
    dir
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

#[tokio::test]
async fn confluents_python_client_finds_a_registry() {
    let packages = fetched("python", "confluent_kafka");
    let dir = tempfile::tempdir().unwrap();
    let registry = Running::start(embedded(dir.path())).await;
    let mut client = Command::new("python3");
    client.arg("-B").arg(script("python/clients.py")).arg(registry.url());
    client.env("PYTHONPATH", packages);
    assert_eq!(run(client).await.trim(), "done");
    registry.stop().await;
}

#[tokio::test]
async fn springs_java_client_finds_a_registry_and_avro_reads_our_records() {
    let jars = fetched("java", "avro-1.12.0.jar");
    let dir = tempfile::tempdir().unwrap();
    let registry = Running::start(embedded(&dir.path().join("registry"))).await;
    let records = dir.path().join("records");
    std::fs::write(&records, written(&registry.url()).await).unwrap();
    let mut client = Command::new("java");
    client.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-cp"]);
    client.arg(jars.join("*")).arg(script("java/Clients.java"));
    client.arg(registry.url()).arg(records);
    assert_eq!(run(client).await, "1 c 1 ein Stück 12.50\n2 c 2 null -0.05\n");
    registry.stop().await;
}

/// Encodes two rows as capture does, and returns keys and values as hex digits.
async fn written(url: &str) -> String {
    let registry = Registry::rest(RestConfig::new(url)).unwrap();
    let mut encoder = Encoder::new(CodecConfig::new("shop", "postgres"), Arc::new(registry));
    let table = Arc::new(TableSchema {
        id: TableId(16_384),
        name: TableName::new("public", "orders"),
        columns: vec![
            Column::new("id", ColumnType::Int64).not_null(),
            Column::new("note", ColumnType::Text),
            Column::new("amount", ColumnType::Decimal(Some((12, 2)))).not_null(),
        ],
        key: vec![0],
        replica_identity: ReplicaIdentity::Default,
    });
    encoder.prepare(&table).await.unwrap();
    let transaction = Arc::new(Transaction {
        id: 700,
        commit_lsn: Lsn(1 << 20),
        previous_commit_lsn: None,
        committed_at: Timestamp(1_700_000_000_000_000),
    });
    let mut records = Vec::new();
    let rows = [(1, Value::Text(Text::from("ein Stück")), "12.50"), (2, Value::Null, "-0.05")];
    for (seq, (id, note, amount)) in (0..).zip(rows) {
        let amount = Value::Decimal(Decimal::parse(Text::from(amount)).unwrap());
        let row = Row::new(vec![Value::Int64(id), note, amount]);
        let lsn = Lsn(transaction.commit_lsn.0 + seq);
        let origin = Origin { transaction: transaction.clone(), seq, lsn, snapshot: None };
        let event = ChangeEvent {
            table: table.clone(),
            op: Op::Create,
            before: None,
            after: Some(row),
            origin,
        };
        encoder.encode(&event, transaction.committed_at, &mut records).unwrap();
    }
    let hex = |bytes: &Option<bytes::Bytes>| -> String {
        bytes.as_ref().unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let line = |record: &Record| format!("{} {}\n", hex(&record.key), hex(&record.value));
    records.iter().map(line).collect()
}
