//! The processes that are asked what became of an order. None of them is needed to sell.
//!
//! Each answers for the parts it runs: a status is the union of theirs, a trace the union of their
//! rungs, and a query or command goes to the first that does not say it has no such part.

use std::future::Future;
use std::time::Duration;

use cdc_control::{Client, v1};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::Code;

use crate::config::{Endpoint, Secret};
use crate::error::{Error, Result, chain};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a status is recent.
const RECENT: Duration = Duration::from_millis(500);

/// Rows of one answer to the business view.
const ROWS_MAX: u32 = 200;

/// The processes.
#[derive(Debug)]
pub(crate) struct Controls {
    seats: Vec<Seat>,
    recent: Mutex<Option<(Instant, Told)>>,
}

type Told = Result<Heard<v1::StatusReply>, Silence>;

/// What those say who answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Heard<T> {
    pub(crate) told: T,
    /// Who does not, and why.
    pub(crate) absent: Vec<String>,
}

#[derive(Debug)]
struct Seat {
    endpoint: Endpoint,
    token: Option<Secret>,
    /// A client of a socket ends with its connection, so it is made anew.
    client: Mutex<Option<Client>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Silence {
    /// There is nobody to ask.
    Nobody,
    /// No process answers; what the last one said.
    Away(String),
    /// The processes that answer do not run it.
    Absent,
    /// It was refused, in the process's own words.
    Refused(String),
}

impl Silence {
    /// Says it in one sentence.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Nobody => "This shop was told of no process to ask (--control).".to_owned(),
            Self::Away(said) => format!("No process answers: {said}."),
            Self::Absent => "No process that answers runs it.".to_owned(),
            Self::Refused(said) => format!("It was refused: {said}."),
        }
    }
}

impl Controls {
    /// Makes clients; nobody is asked yet.
    pub(crate) fn new(endpoints: &[Endpoint], token: Option<&Secret>) -> Result<Self> {
        let seat = |endpoint: &Endpoint| {
            let client = match endpoint {
                Endpoint::Address(address) => {
                    let client = Client::of_address(address, token.map(Secret::reveal));
                    let failed = |source| Error::Control { endpoint: endpoint.to_string(), source };
                    Some(client.map_err(failed)?)
                }
                Endpoint::DataDir(_) => None,
            };
            let client = Mutex::new(client);
            Ok(Seat { endpoint: endpoint.clone(), token: token.cloned(), client })
        };
        let seats = endpoints.iter().map(seat).collect::<Result<_>>()?;
        Ok(Self { seats, recent: Mutex::new(None) })
    }

    /// Returns a status of at most half a second ago. Who asks at the same time shares the answer.
    pub(crate) async fn recent_status(&self) -> Told {
        let mut recent = self.recent.lock().await;
        if let Some((at, told)) = recent.as_ref()
            && at.elapsed() < RECENT
        {
            return told.clone();
        }
        let told = self.status().await;
        *recent = Some((Instant::now(), told.clone()));
        told
    }

    /// Makes the next asking for a recent status ask anew: something was just changed.
    pub(crate) async fn forget_status(&self) {
        *self.recent.lock().await = None;
    }

    /// Returns the status of all that answer, put together.
    pub(crate) async fn status(&self) -> Told {
        let ask = |mut client: Client| async move { client.status().await };
        let Heard { told, absent } = self.all(ask).await?;
        Ok(Heard { told: cdc_control::merge(told), absent })
    }

    /// Returns the rungs that what was committed up to `position` has reached.
    pub(crate) async fn trace(&self, position: &str) -> Result<Vec<v1::TraceRung>, Silence> {
        let ask = |mut client: Client| {
            let position = position.to_owned();
            async move { client.trace(&position).await }
        };
        Ok(self.all(ask).await?.told.into_iter().flat_map(|reply| reply.rungs).collect())
    }

    /// Asks the warehouse.
    pub(crate) async fn query(&self, sql: &str) -> Result<v1::QueryReply, Silence> {
        self.first(|mut client| {
            let sql = sql.to_owned();
            async move { client.query(&sql, ROWS_MAX).await }
        })
        .await
    }

    /// Holds a projection.
    pub(crate) async fn pause(&self, target: &str) -> Result<(), Silence> {
        self.first(|mut client| {
            let target = target.to_owned();
            async move { client.pause(&target).await }
        })
        .await
    }

    /// Lets it go on.
    pub(crate) async fn resume(&self, target: &str) -> Result<(), Silence> {
        self.first(|mut client| {
            let target = target.to_owned();
            async move { client.resume(&target).await }
        })
        .await
    }

    /// Asks all at once; those that do not run it are left out.
    async fn all<T, F>(&self, ask: impl Fn(Client) -> F) -> Result<Heard<Vec<T>>, Silence>
    where
        F: Future<Output = cdc_control::Result<T>>,
    {
        let asked = self.seats.iter().map(|seat| seat.ask(&ask));
        let (mut told, mut absent) = (Vec::new(), Vec::new());
        let (mut silence, mut has_answer) = (Silence::Nobody, false);
        for answer in futures_util::future::join_all(asked).await {
            match answer {
                Ok(answer) => told.push(answer),
                Err(Silence::Absent) => has_answer = true,
                Err(why) => {
                    if let Silence::Away(said) = &why {
                        absent.push(said.clone());
                    }
                    silence = why;
                }
            }
        }
        has_answer |= !told.is_empty();
        if has_answer { Ok(Heard { told, absent }) } else { Err(silence) }
    }

    /// Asks one after the other until one runs it.
    async fn first<T, F>(&self, ask: impl Fn(Client) -> F) -> Result<T, Silence>
    where
        F: Future<Output = cdc_control::Result<T>>,
    {
        let mut silence = Silence::Nobody;
        for seat in &self.seats {
            match seat.ask(&ask).await {
                Ok(answer) => return Ok(answer),
                Err(why @ Silence::Refused(_)) => return Err(why),
                // Who is away may be the one that runs it.
                Err(Silence::Absent) if matches!(silence, Silence::Away(_)) => {}
                Err(why) => silence = why,
            }
        }
        Err(silence)
    }
}

impl Seat {
    async fn ask<T, F>(&self, ask: &impl Fn(Client) -> F) -> Result<T, Silence>
    where
        F: Future<Output = cdc_control::Result<T>>,
    {
        let client = self.client().await?;
        let answer = tokio::time::timeout(PATIENCE, ask(client)).await;
        let error = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(_) => return Err(self.away(&format!("no answer within {} s", PATIENCE.as_secs()))),
        };
        match &error {
            cdc_control::Error::Refused(status) => Err(match status.code() {
                Code::Unimplemented | Code::NotFound => Silence::Absent,
                Code::DeadlineExceeded | Code::Unavailable => self.away(status.message()),
                _ => Silence::Refused(status.message().trim_end_matches('.').to_owned()),
            }),
            _ => {
                if matches!(self.endpoint, Endpoint::DataDir(_)) {
                    *self.client.lock().await = None;
                }
                Err(self.away(&chain(&error)))
            }
        }
    }

    async fn client(&self) -> Result<Client, Silence> {
        let mut held = self.client.lock().await;
        if let Some(client) = held.as_ref() {
            return Ok(client.clone());
        }
        let made = match &self.endpoint {
            Endpoint::Address(address) => {
                Client::of_address(address, self.token.as_ref().map(Secret::reveal))
            }
            Endpoint::DataDir(dir) => Client::connect(dir).await,
        };
        let client = made.map_err(|error| self.away(&chain(&error)))?;
        Ok(held.insert(client).clone())
    }

    fn away(&self, said: &str) -> Silence {
        Silence::Away(format!("{} ({said})", self.endpoint))
    }
}
