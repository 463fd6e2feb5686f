//! A replica's seat in a consumer group: which partitions are dealt to it, and nothing else.
//!
//! ```text
//!  broker's coordinator ── rebalance ──> client's thread ── share ──> KafkaMember::next
//!                                             │                            │
//!                                             └── waits in the callback <──┘ held
//! ```
//!
//! # Where it sits
//! The client here joins the group and reads nothing: what is assigned to it is paused at once.
//! Records are read by [`crate::KafkaReader`], from the offsets that the sink tells; the group keeps
//! no offset.
//!
//! # Delivery
//! The strategy is cooperative-sticky: a partition is first taken from its owner and dealt to the next
//! in a second round, so that partitions which stay are never stopped. A revocation is answered only
//! once the loop holds none of its partitions any more. Meanwhile heartbeats go on; after
//! `max.poll.interval.ms` the group goes on without us.
//!
//! # Failure
//! A process that is frozen or cut off for `session.timeout.ms` is taken for dead, and its partitions
//! are dealt out while it may still believe in them: the sink fences it, not the group. With a
//! `group.instance.id` a process that ends keeps its seat for that long, and a restart finds it.
//!
//! Source: <https://docs.confluent.io/platform/current/clients/librdkafka/html/rdkafka_8h.html>
//! (`rd_kafka_conf_set_rebalance_cb`), and KIP-429, KIP-345.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use cdc_model::{Partition, Topic, TopicPartition};
use cdc_pipeline::port::{Membership, Share};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::Notify;

use crate::code::{Kind, kind};
use crate::context::Context;
use crate::{Error, KafkaConfig, Result};

/// How long a poll waits; also how soon a seat is left.
const POLL: Duration = Duration::from_millis(100);

/// One replica's membership in a consumer group. Made by [`crate::KafkaLog::member`].
pub struct KafkaMember {
    config: Arc<KafkaConfig>,
    group: Group,
    seat: Option<Seat>,
}

/// Which group, and of which topics.
#[derive(Debug, Clone)]
struct Group {
    name: String,
    instance: Option<String>,
    /// A pattern, as the client takes it.
    topics: String,
}

/// A thread that is in the group; leaves it when dropped.
struct Seat(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// The share has changed, or the seat was lost.
    dealt: Notify,
    /// What is held has changed, or the seat is given up.
    told: Condvar,
}

#[derive(Default)]
struct State {
    share: BTreeSet<TopicPartition>,
    held: BTreeSet<TopicPartition>,
    is_closed: bool,
    failure: Option<Error>,
}

impl KafkaMember {
    /// Names a seat in the group `name` of the topics whose names begin with `prefix`.
    pub(crate) fn new(
        config: Arc<KafkaConfig>,
        name: &str,
        instance: Option<&str>,
        prefix: &str,
    ) -> Self {
        let topics = format!("^{}.*", prefix.replace('.', "[.]"));
        let group = Group { name: name.to_owned(), instance: instance.map(Into::into), topics };
        Self { config, group, seat: None }
    }

    fn seat(&mut self) -> Result<Arc<Shared>> {
        if let Some(Seat(shared)) = &self.seat {
            return Ok(Arc::clone(shared));
        }
        let Seat(shared) = self.seat.insert(Seat::take(&self.config, &self.group)?);
        Ok(Arc::clone(shared))
    }
}

impl Membership for KafkaMember {
    type Error = Error;

    async fn next(&mut self, held: &Share) -> Result<Share> {
        // What a replica that has everything holds beyond its share, nobody can say.
        let Share::Only(held) = held else { return Ok(Share::nothing()) };
        loop {
            let shared = self.seat()?;
            let dealt = shared.dealt.notified();
            tokio::pin!(dealt);
            dealt.as_mut().enable();
            {
                let mut state = shared.lock();
                if let Some(error) = state.failure.take() {
                    drop(state);
                    self.seat = None;
                    return Err(error);
                }
                if state.held != *held {
                    state.held.clone_from(held);
                    shared.told.notify_all();
                }
                if state.share != *held {
                    let share = state.share.clone();
                    // From now on it may be written, and a revocation waits for that too.
                    state.held.extend(share.iter().cloned());
                    return Ok(Share::Only(share));
                }
            }
            dealt.await;
        }
    }
}

impl Seat {
    fn take(config: &Arc<KafkaConfig>, group: &Group) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (own, config, group) = (Arc::clone(&shared), Arc::clone(config), group.clone());
        thread::Builder::new()
            .name("kafka-member".to_owned())
            .spawn(move || {
                if let Err(error) = sit(&config, &group, &own) {
                    let mut state = own.lock();
                    state.share.clear();
                    state.failure = Some(error);
                    own.dealt.notify_waiters();
                }
            })
            .map_err(|source| Error::Unreachable { servers: "(no thread)".into(), source })?;
        Ok(Self(shared))
    }
}

/// Stays in the group until the seat is given up, or lost for good.
fn sit(config: &KafkaConfig, group: &Group, shared: &Arc<Shared>) -> Result<()> {
    let client = Sitting { client: Context::default(), shared: Arc::clone(shared) };
    let consumer: BaseConsumer<Sitting> = config
        .member(&group.name, group.instance.as_deref())
        .create_with_context(client)
        .map_err(|error| Error::of_property(&error))?;
    let failed = |error: &KafkaError| {
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        let reason = consumer.client().context().client.last_error().map(|(_, text)| text);
        Error::of_code("sharing out partitions", &config.bootstrap_servers, code, reason)
    };
    consumer.subscribe(&[&group.topics]).map_err(|error| failed(&error))?;
    while !shared.lock().is_closed {
        let Some(Err(error)) = consumer.poll(POLL) else { continue };
        let is_lost = match kind(error.rdkafka_error_code().unwrap_or(Code::Unknown)) {
            Kind::Authentication | Kind::Authorization | Kind::Refused => true,
            Kind::Transient | Kind::Fenced | Kind::TooLarge | Kind::OutOfRange | Kind::Unknown => {
                matches!(error, KafkaError::MessageConsumptionFatal(_))
            }
        };
        if is_lost {
            return Err(failed(&error));
        }
        tracing::debug!(error = %error, group = group.name, "the group is not served just now");
    }
    Ok(())
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deal(&self, partitions: &BTreeSet<TopicPartition>) {
        self.lock().share.extend(partitions.iter().cloned());
        self.dealt.notify_waiters();
    }

    /// Takes partitions away, and waits until the loop has let go of them, or until `is_lost` says
    /// that there is nothing to wait for.
    fn take_away(&self, partitions: &BTreeSet<TopicPartition>, is_lost: impl Fn() -> bool) {
        let mut state = self.lock();
        state.share.retain(|partition| !partitions.contains(partition));
        self.dealt.notify_waiters();
        while !state.is_closed && !state.held.is_disjoint(partitions) && !is_lost() {
            let waited = self.told.wait_timeout(state, POLL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What the client tells while it sits in the group.
struct Sitting {
    client: Context,
    shared: Arc<Shared>,
}

impl ClientContext for Sitting {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.client.log(level, facility, text);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.client.error(error, reason);
    }
}

impl ConsumerContext for Sitting {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            self.shared.take_away(&named(list), || consumer.assignment_lost());
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            // Fetching what is dropped anyway would cost, and no more.
            if let Err(error) = consumer.pause(list) {
                tracing::warn!(error = %error, "what is assigned is fetched in vain");
            }
            self.shared.deal(&named(list));
        }
    }
}

fn named(list: &TopicPartitionList) -> BTreeSet<TopicPartition> {
    let partition =
        |element: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| TopicPartition {
            topic: Topic::new(element.topic()),
            partition: Partition(element.partition()),
        };
    list.elements().into_iter().map(partition).collect()
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.told.notify_all();
    }
}

impl fmt::Debug for KafkaMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaMember").field("group", &self.group).finish_non_exhaustive()
    }
}
