//! Where and how to connect, in libpq's vocabulary.
//!
//! Source: <https://www.postgresql.org/docs/current/libpq-connect.html>

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::wire::error::{Error, OptionsError};
use crate::wire::tls::{self, MakeTls};
use crate::wire::uri;

/// Session settings that shape text output or could end a long read, pinned at start-up.
///
/// Given in the start-up packet they override what `ALTER ROLE … SET` or `ALTER DATABASE … SET`
/// say, and come last there, so that they override `options` of the connection string as well.
pub const PINNED_SETTINGS: &[(&str, &str)] = &[
    ("DateStyle", "ISO,MDY"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
    ("quote_all_identifiers", "off"),
    ("search_path", "pg_catalog"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
];

/// How long the start of a connection may take when the settings do not say.
const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// Everything needed to open a connection; reads libpq's URLs and key=value lists.
///
/// Its `Debug` output never shows the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectOptions {
    /// The server's machine.
    pub host: Host,
    /// Its port, default 5432; with a socket directory, the number in the socket's name.
    pub port: u16,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: Option<Password>,
    /// The database, by default named like the role.
    pub database: String,
    /// How much TLS, default prefer. Means nothing on a socket in the file system.
    pub ssl_mode: SslMode,
    /// Who may sign the server's certificate.
    pub ssl_root_cert: Option<RootCertificates>,
    /// Client certificate chain, PEM.
    pub ssl_cert: Option<PathBuf>,
    /// Its private key, PEM, unencrypted.
    pub ssl_key: Option<PathBuf>,
    /// Whether SCRAM is bound to the TLS channel, default prefer.
    pub channel_binding: ChannelBinding,
    /// How long the start of a connection may take, authentication included; default 10 s, zero in
    /// the connection string means without end.
    pub connect_timeout: Option<Duration>,
    /// Shown in `pg_stat_activity`, default `penstock`.
    pub application_name: String,
    /// Command-line options for the server, such as `-c work_mem=64MB`.
    pub options: Option<String>,
}

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name or an address without brackets.
    Tcp(String),
    /// The directory of a socket in the file system.
    Unix(PathBuf),
}

/// A password that never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Takes a password.
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How much TLS, with libpq's meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// None.
    Disable,
    /// TLS if the server offers it and lets us in by it, else none.
    #[default]
    Prefer,
    /// TLS; the certificate is checked only if `sslrootcert` is given.
    Require,
    /// TLS with a certificate signed by a trusted authority.
    VerifyCa,
    /// The same, and the certificate carries the host's name.
    VerifyFull,
}

/// Whether SCRAM is bound to the TLS channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where both sides can.
    #[default]
    Prefer,
    /// Always; a server that cannot is refused.
    Require,
}

/// Who may sign the server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCertificates {
    /// The authorities in a PEM file.
    File(PathBuf),
    /// The authorities the system trusts (`sslrootcert=system`).
    System,
}

impl ConnectOptions {
    /// Makes options for `user` and `database` at `host` with every default.
    pub fn new(host: Host, user: impl Into<String>, database: impl Into<String>) -> Self {
        Self {
            host,
            port: 5432,
            user: user.into(),
            password: None,
            database: database.into(),
            ssl_mode: SslMode::default(),
            ssl_root_cert: None,
            ssl_cert: None,
            ssl_key: None,
            channel_binding: ChannelBinding::default(),
            connect_timeout: Some(CONNECT_TIMEOUT_DEFAULT),
            application_name: "penstock".to_owned(),
            options: None,
        }
    }

    /// Returns where the server is, for messages: `host:port`, or the socket's path.
    pub fn address(&self) -> String {
        match &self.host {
            Host::Tcp(host) if host.contains(':') => format!("[{host}]:{}", self.port),
            Host::Tcp(host) => format!("{host}:{}", self.port),
            Host::Unix(_) => self.socket_path().display().to_string(),
        }
    }

    /// Returns the path of the socket in the file system; an empty one for TCP.
    pub(crate) fn socket_path(&self) -> PathBuf {
        match &self.host {
            Host::Tcp(_) => PathBuf::new(),
            Host::Unix(directory) => directory.join(format!(".s.PGSQL.{}", self.port)),
        }
    }

    /// Returns the `options` of the start-up packet: the user's own, then [`PINNED_SETTINGS`].
    pub(crate) fn startup_options(&self) -> String {
        let mut options = self.options.clone().unwrap_or_default();
        for (name, value) in PINNED_SETTINGS {
            if !options.is_empty() {
                options.push(' ');
            }
            options.push_str(&format!("-c {name}={value}"));
        }
        options
    }

    /// Returns the same options for `tokio-postgres`, pinned settings included; to be used with
    /// [`ConnectOptions::sql_tls`].
    pub fn sql_config(&self) -> tokio_postgres::Config {
        use tokio_postgres::config as sql;

        let mut config = tokio_postgres::Config::new();
        match &self.host {
            Host::Tcp(host) => config.host(host),
            Host::Unix(directory) => config.host_path(directory),
        };
        config
            .port(self.port)
            .user(&self.user)
            .dbname(&self.database)
            .application_name(&self.application_name)
            .options(self.startup_options())
            .keepalives_idle(Duration::from_secs(30))
            .ssl_mode(match self.ssl_mode {
                SslMode::Disable => sql::SslMode::Disable,
                SslMode::Prefer => sql::SslMode::Prefer,
                SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => sql::SslMode::Require,
            })
            .channel_binding(match self.channel_binding {
                ChannelBinding::Disable => sql::ChannelBinding::Disable,
                ChannelBinding::Prefer => sql::ChannelBinding::Prefer,
                ChannelBinding::Require => sql::ChannelBinding::Require,
            });
        if matches!(self.host, Host::Unix(_)) {
            config.ssl_mode(sql::SslMode::Disable);
        }
        if let Some(password) = &self.password {
            config.password(password.expose());
        }
        if let Some(timeout) = self.connect_timeout {
            config.connect_timeout(timeout);
        }
        config
    }

    /// Returns the TLS side of [`ConnectOptions::sql_config`].
    ///
    /// # Errors
    /// Fatal if a certificate or key file cannot be used.
    pub fn sql_tls(&self) -> Result<MakeTls, Error> {
        Ok(MakeTls::new(tls::client_config(self)?))
    }
}

impl FromStr for ConnectOptions {
    type Err = OptionsError;

    /// Reads `postgres://user:password@host:port/database?setting=value`, or `key=value` pairs
    /// separated by blanks.
    fn from_str(text: &str) -> Result<Self, OptionsError> {
        uri::parse(text)
    }
}
