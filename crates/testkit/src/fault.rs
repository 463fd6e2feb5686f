//! A wrapper that makes any port fail: before the effect, **after** it (a lost answer), late, or
//! not until told.
//!
//! A lost answer is what finds real bugs: the effect is there and the caller does not know.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cdc_model::{Offset, TopicPartition};
use cdc_pipeline::port::{
    AppendBatch, Checkpoint, Fetched, LogReader, LogWriter, ParkedRecord, SettleBatch, Sink,
    SinkBatch, SinkError, SinkKind, SinkState, TopicMeta,
};
use cdc_pipeline::{Classify, ErrorClass};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::Semaphore;

/// What happens to one call.
#[derive(Debug, Clone, Default)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// It fails, without an effect.
    Reject(ErrorClass),
    /// It takes effect, and its answer is lost.
    FailAfterWrite(ErrorClass),
    /// It begins only after this long.
    Delay(Duration),
    /// It begins once a permit is added.
    Hold(Arc<Semaphore>),
}

/// Where the faults of successive calls come from; clones share it.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Mutex<Supply>>);

#[derive(Debug)]
enum Supply {
    Script(VecDeque<Fault>),
    Dice { rate: f64, delay_max: Duration, dice: SmallRng },
}

impl Faults {
    /// The faults of `script`, one for each call, and none after them.
    pub fn script(script: impl IntoIterator<Item = Fault>) -> Self {
        Self(Arc::new(Mutex::new(Supply::Script(script.into_iter().collect()))))
    }

    /// A fault in a share `rate` of the calls (`0.0..=1.0`), decided by `seed`.
    pub fn dice(rate: f64, delay_max: Duration, seed: u64) -> Self {
        let dice = SmallRng::seed_from_u64(seed);
        Self(Arc::new(Mutex::new(Supply::Dice { rate, delay_max, dice })))
    }

    /// No faults from here on.
    #[expect(clippy::missing_panics_doc, reason = "no holder of the lock panics")]
    pub fn stop(&self) {
        *self.0.lock().expect("invariant: no holder panics") = Supply::Script(VecDeque::new());
    }

    /// Fails the test if faults of the script are left: the test did not test what it says.
    ///
    /// # Panics
    /// If so.
    pub fn assert_used(&self) {
        if let Supply::Script(left) = &*self.0.lock().expect("invariant: no holder panics") {
            assert!(left.is_empty(), "faults never happened: {left:?}");
        }
    }

    fn next(&self) -> Fault {
        match &mut *self.0.lock().expect("invariant: no holder panics") {
            Supply::Script(script) => script.pop_front().unwrap_or_default(),
            Supply::Dice { rate, delay_max, dice } => {
                if !dice.random_bool(*rate) {
                    return Fault::None;
                }
                match dice.random_range(0..4) {
                    0 => Fault::Reject(ErrorClass::Transient),
                    1 => Fault::Delay(delay_max.mul_f64(dice.random())),
                    _ => Fault::FailAfterWrite(ErrorClass::Transient),
                }
            }
        }
    }

    /// Runs `call` under the next fault.
    async fn around<T, E>(
        &self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, FaultError<E>> {
        match self.next() {
            Fault::None => {}
            Fault::Reject(class) => return Err(FaultError::Injected(class)),
            Fault::FailAfterWrite(class) => {
                call.await.map_err(FaultError::Real)?;
                return Err(FaultError::Injected(class));
            }
            Fault::Delay(delay) => tokio::time::sleep(delay).await,
            Fault::Hold(gate) => {
                gate.acquire().await.expect("invariant: the gate is never closed").forget();
            }
        }
        call.await.map_err(FaultError::Real)
    }
}

/// An error that was injected, or the port's own.
#[derive(Debug)]
pub enum FaultError<E> {
    /// Injected, with this class.
    Injected(ErrorClass),
    /// The port's own.
    Real(E),
}

impl<E: fmt::Display> fmt::Display for FaultError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Injected(class) => write!(f, "injected {class} fault"),
            Self::Real(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for FaultError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Injected(_) => None,
            Self::Real(error) => error.source(),
        }
    }
}

impl<E: Classify> Classify for FaultError<E> {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Injected(class) => *class,
            Self::Real(error) => error.class(),
        }
    }

    fn code(&self) -> Option<&'static str> {
        match self {
            Self::Injected(_) => Some("INJECTED"),
            Self::Real(error) => error.code(),
        }
    }
}

impl<E: SinkError> SinkError for FaultError<E> {
    fn poisoned(&self) -> Option<usize> {
        match self {
            Self::Injected(_) => None,
            Self::Real(error) => error.poisoned(),
        }
    }
}

/// A port under faults.
#[derive(Debug)]
pub struct Faulty<P> {
    port: P,
    faults: Faults,
}

impl<P> Faulty<P> {
    /// Puts `port` under `faults`.
    pub fn new(port: P, faults: Faults) -> Self {
        Self { port, faults }
    }
}

impl<W: LogWriter> LogWriter for Faulty<W> {
    type Error = FaultError<W::Error>;

    async fn open(&mut self) -> Result<Option<Checkpoint>, Self::Error> {
        self.faults.around(self.port.open()).await
    }

    async fn append(&mut self, batch: Arc<AppendBatch>) -> Result<(), Self::Error> {
        self.faults.around(self.port.append(batch)).await
    }
}

impl<R: LogReader> LogReader for Faulty<R> {
    type Error = FaultError<R::Error>;

    async fn topics(&mut self) -> Result<Vec<TopicMeta>, Self::Error> {
        self.port.topics().await.map_err(FaultError::Real)
    }

    async fn assign(&mut self, from: Vec<(TopicPartition, Offset)>) -> Result<(), Self::Error> {
        self.port.assign(from).await.map_err(FaultError::Real)
    }

    /// Only fails before the effect: a poll whose answer is lost ends the session all the same.
    async fn poll(&mut self, bytes_max: usize) -> Result<Fetched, Self::Error> {
        self.faults.around(self.port.poll(bytes_max)).await
    }
}

impl<K: Sink> Sink for Faulty<K> {
    type Error = FaultError<K::Error>;

    fn kind(&self) -> SinkKind {
        self.port.kind()
    }

    async fn resume(&mut self) -> Result<SinkState, Self::Error> {
        self.faults.around(self.port.resume()).await
    }

    async fn claim(&mut self, partitions: Vec<TopicPartition>) -> Result<SinkState, Self::Error> {
        self.faults.around(self.port.claim(partitions)).await
    }

    async fn apply(&mut self, batch: Arc<SinkBatch>) -> Result<(), Self::Error> {
        self.faults.around(self.port.apply(batch)).await
    }

    async fn parked(&mut self, limit: usize) -> Result<(Vec<ParkedRecord>, u64), Self::Error> {
        self.port.parked(limit).await.map_err(FaultError::Real)
    }

    async fn settle(&mut self, batch: Arc<SettleBatch>) -> Result<(), Self::Error> {
        self.faults.around(self.port.settle(batch)).await
    }
}
