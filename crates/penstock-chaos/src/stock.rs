//! The topics as a stock client sees them: `kcat`, read_committed.

use std::collections::BTreeMap;
use std::process::Stdio;

use anyhow::{Context, ensure};
use cdc_model::{Partition, Topic, TopicPartition};
use tokio::process::Command;

use crate::audit::Agreed;

/// Checks that kcat reads the same identities as were compared, in the same order; returns how
/// many, or `None` if kcat is not installed.
pub(crate) async fn compare(brokers: &str, agreed: &Agreed) -> anyhow::Result<Option<u64>> {
    let mut read: BTreeMap<TopicPartition, Vec<String>> = BTreeMap::new();
    let topics: Vec<&Topic> = agreed.identities.keys().map(|partition| &partition.topic).collect();
    for topic in topics {
        let mut kcat = Command::new("kcat");
        kcat.args(["-C", "-q", "-e", "-o", "beginning", "-b", brokers, "-t", topic.as_str()]);
        kcat.args(["-X", "isolation.level=read_committed", "-f", "%p\\t%h\\n"]);
        let output = match kcat.stdin(Stdio::null()).output().await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            output => output.context("starting kcat")?,
        };
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kcat on {topic}: {said}");
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let (partition, headers) = line.split_once('\t').context("a line of kcat's")?;
            let source =
                TopicPartition { topic: topic.clone(), partition: Partition(partition.parse()?) };
            let id = headers.split("penstock.id=").nth(1).context("a record without identity")?;
            let id = id.split(',').next().unwrap_or(id);
            read.entry(source).or_default().push(id.to_owned());
        }
    }
    for (partition, ids) in &agreed.identities {
        let found = read.get(partition).map_or(&[][..], Vec::as_slice);
        let same = ids.iter().zip(found).take_while(|(a, b)| a == b).count();
        ensure!(
            same == ids.len() && same == found.len(),
            "{partition}: kcat reads {} records where {} were expected; at {same}: {:?} for {:?}",
            found.len(),
            ids.len(),
            found.get(same),
            ids.get(same),
        );
    }
    Ok(Some(u64::try_from(read.values().map(Vec::len).sum::<usize>())?))
}
