//! SQL connections beside the replication connection, and how names and literals are quoted.

use cdc_model::{Lsn, TableName};
use tokio::task::JoinSet;
use tokio_postgres::{Client, Row, SimpleQueryMessage};

use crate::error::{Error, Halt};
use crate::wire::ConnectOptions;

/// An SQL session; dropping it ends its connection and whatever transaction is open on it.
pub(crate) struct Sql {
    client: Client,
    // Drives the connection. Aborted on drop.
    _driver: JoinSet<()>,
}

impl Sql {
    /// Connects; the settings that shape text output are pinned, and row-level security raises an
    /// error where it would hide rows.
    pub(crate) async fn connect(options: &ConnectOptions) -> Result<Self, Error> {
        let tls = options.sql_tls().map_err(Error::wire("preparing TLS"))?;
        let (client, connection) =
            options.sql_config().connect(tls).await.map_err(Error::sql("connecting"))?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "an SQL connection ended");
            }
        });
        let sql = Self { client, _driver: driver };
        sql.execute("SET row_security = off", "setting row_security").await?;
        Ok(sql)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) async fn execute(&self, text: &str, doing: &'static str) -> Result<(), Error> {
        self.client.batch_execute(text).await.map_err(Error::sql(doing))
    }

    pub(crate) async fn query(
        &self,
        text: &str,
        parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)],
        doing: &'static str,
    ) -> Result<Vec<Row>, Error> {
        self.client.query(text, parameters).await.map_err(Error::sql(doing))
    }

    /// Returns the rows of a query as the text the server prints.
    pub(crate) async fn texts(
        &self,
        text: &str,
        doing: &'static str,
    ) -> Result<Vec<Vec<Option<String>>>, Error> {
        let messages = self.client.simple_query(text).await.map_err(Error::sql(doing))?;
        let mut rows = Vec::new();
        for message in messages {
            if let SimpleQueryMessage::Row(row) = message {
                rows.push((0..row.len()).map(|i| row.get(i).map(ToOwned::to_owned)).collect());
            }
        }
        Ok(rows)
    }

    /// Returns the one text that a query of one row and column gives.
    pub(crate) async fn text(&self, text: &str, doing: &'static str) -> Result<String, Error> {
        let rows = self.texts(text, doing).await?;
        Ok(rows.into_iter().flatten().next().flatten().unwrap_or_default())
    }

    /// Returns the one LSN that a query gives.
    pub(crate) async fn lsn(&self, text: &str, doing: &'static str) -> Result<Lsn, Error> {
        lsn(&self.text(text, doing).await?)
    }
}

/// Reads an LSN the server printed.
pub(crate) fn lsn(text: &str) -> Result<Lsn, Error> {
    text.parse().map_err(|_| {
        Error::Halt(Halt::CheckpointCorrupt { what: format!("\"{text}\" where an LSN belongs") })
    })
}

/// Quotes an identifier.
pub(crate) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a qualified name.
pub(crate) fn table(name: &TableName) -> String {
    format!("{}.{}", ident(&name.schema), ident(&name.table))
}

/// Quotes a text literal; standard_conforming_strings is pinned to on.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
