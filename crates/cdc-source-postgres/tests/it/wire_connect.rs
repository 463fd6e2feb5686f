//! Connecting to real servers: every way to authenticate, every sslmode, and how failures are told.

use std::path::Path;
use std::time::Duration;

use cdc_pipeline::error::{Classify, ErrorClass};
use cdc_source_postgres::wire::{
    AuthError, ConnectOptions, Connection, Error, OptionsError, PINNED_SETTINGS, Password,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use testkit::server::free_port;
use testkit::server::postgres::{Postgres, Version};

const SUPERUSER_HBA: &str = "host all postgres 127.0.0.1/32 trust";

async fn connect(dsn: &str) -> Result<Connection, Error> {
    Connection::connect(&dsn.parse().unwrap(), true).await
}

#[track_caller]
fn refused(outcome: Result<Connection, Error>, class: ErrorClass, code: Option<&str>) -> Error {
    let error = outcome.expect_err("the connection was to be refused");
    assert_eq!((error.class(), error.code()), (class, code), "{error:?}");
    assert!(class != ErrorClass::Fatal || error.remedy().is_some(), "{error:?}");
    error
}

async fn cell(connection: &mut Connection, sql: &str) -> String {
    let rows = connection.query(sql).await.unwrap();
    String::from_utf8(rows[0][0].clone().unwrap().to_vec()).unwrap()
}

/// Roles for every password method, and a `pg_hba.conf` that asks each for its own.
async fn with_roles(server: &Postgres) {
    server
        .sql(
            "SET password_encryption = 'scram-sha-256';
             CREATE ROLE trusty LOGIN REPLICATION;
             CREATE ROLE plain LOGIN REPLICATION PASSWORD 'open sesame';
             CREATE ROLE scrammy LOGIN REPLICATION PASSWORD 'p\u{e4}ss \u{2168}';
             SET password_encryption = 'md5';
             CREATE ROLE digest LOGIN REPLICATION PASSWORD 'md5 pass'",
        )
        .await;
    server
        .set_hba(&[
            SUPERUSER_HBA,
            "host all trusty 127.0.0.1/32 trust",
            "host all plain 127.0.0.1/32 password",
            "host all digest 127.0.0.1/32 md5",
            "host all scrammy 127.0.0.1/32 scram-sha-256",
        ])
        .await;
}

#[tokio::test]
async fn every_password_method_lets_in_who_knows_the_password() {
    for version in Version::ALL {
        let server = Postgres::start(version).await;
        with_roles(&server).await;
        let logins = [
            ("trusty", None),
            ("plain", Some("open sesame")),
            ("digest", Some("md5 pass")),
            ("scrammy", Some("p\u{e4}ss \u{2168}")),
            // SASLprep maps the Roman numeral nine to IX.
            ("scrammy", Some("p\u{e4}ss IX")),
        ];
        for (user, password) in logins {
            let mut options: ConnectOptions = server.dsn_as(user, "postgres").parse().unwrap();
            options.password = password.map(Password::new);
            let mut connection = Connection::connect(&options, true).await.unwrap();
            assert_eq!(cell(&mut connection, "SELECT current_user").await, user);
            assert_eq!(connection.server_version() / 10_000, version.major());
            assert!(!connection.is_encrypted());
            connection.close().await.unwrap();
        }
        for user in ["plain", "digest", "scrammy"] {
            let wrong = connect(&server.dsn_as(&format!("{user}:wrong"), "postgres")).await;
            let error = refused(wrong, ErrorClass::Fatal, Some("AUTH_FAILED"));
            assert_eq!(error.sqlstate(), Some("28P01"));
            assert!(!error.to_string().contains("wrong"));
            let none = connect(&server.dsn_as(user, "postgres")).await;
            let error = refused(none, ErrorClass::Fatal, Some("AUTH_FAILED"));
            assert!(matches!(error, Error::Auth(AuthError::PasswordMissing)));
        }
    }
}

#[tokio::test]
async fn what_is_missing_on_the_server_is_told() {
    let server = Postgres::start(Version::V18).await;
    let error =
        refused(connect(&server.dsn("nowhere")).await, ErrorClass::Fatal, Some("DATABASE_MISSING"));
    assert_eq!(error.sqlstate(), Some("3D000"));

    server.sql("CREATE ROLE reader LOGIN").await;
    let error = refused(
        connect(&server.dsn_as("reader", "postgres")).await,
        ErrorClass::Fatal,
        Some("PRIVILEGE_MISSING"),
    );
    assert_eq!(error.sqlstate(), Some("42501"));

    let dsn = format!("{}?sslmode=require", server.dsn("postgres"));
    let error = refused(connect(&dsn).await, ErrorClass::Fatal, Some("TLS_FAILED"));
    assert!(matches!(error, Error::TlsRefused { .. }));

    let dsn = format!("{}?channel_binding=require", server.dsn("postgres"));
    let error = refused(connect(&dsn).await, ErrorClass::Fatal, Some("AUTH_FAILED"));
    assert!(matches!(error, Error::Auth(AuthError::ChannelBindingUnavailable { .. })));
}

#[tokio::test]
async fn a_server_that_is_away_or_silent_is_transient() {
    let dsn = format!("postgres://u@127.0.0.1:{}/d", free_port());
    let error = refused(connect(&dsn).await, ErrorClass::Transient, None);
    assert!(matches!(error, Error::Unreachable { .. }));
    let error = refused(connect("postgres://u@host.invalid/d").await, ErrorClass::Transient, None);
    assert!(matches!(error, Error::Unreachable { .. }));

    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dsn = format!("postgres://u@{}/d", silent.local_addr().unwrap());
    let mut options: ConnectOptions = dsn.parse().unwrap();
    options.connect_timeout = Some(Duration::from_millis(50));
    let outcome = Connection::connect(&options, true).await;
    let error = refused(outcome, ErrorClass::Transient, None);
    assert!(matches!(error, Error::ConnectTimeout { .. }));
}

#[tokio::test]
async fn a_socket_in_the_file_system_serves_as_well() {
    let server = Postgres::start(Version::V18).await;
    let directory = server.data_dir().parent().unwrap().display().to_string();
    // TLS means nothing there, whatever sslmode says.
    let dsn = format!(
        "host={directory} port={} user=postgres dbname=postgres sslmode=verify-full \
         sslrootcert=system",
        server.port()
    );
    server.set_hba(&[SUPERUSER_HBA, "local all all trust"]).await;
    let mut connection = connect(&dsn).await.unwrap();
    assert_eq!(cell(&mut connection, "SELECT 1").await, "1");
}

#[tokio::test]
async fn a_roles_own_settings_do_not_reach_our_sessions() {
    for version in Version::ALL {
        let server = Postgres::start(version).await;
        server
            .sql(
                "CREATE ROLE hostile LOGIN REPLICATION;
                 ALTER ROLE hostile SET DateStyle = 'SQL, DMY';
                 ALTER ROLE hostile SET IntervalStyle = 'sql_standard';
                 ALTER ROLE hostile SET TimeZone = 'Asia/Kathmandu';
                 ALTER ROLE hostile SET bytea_output = 'escape';
                 ALTER ROLE hostile SET extra_float_digits = -3;
                 ALTER ROLE hostile SET search_path = 'public';
                 ALTER ROLE hostile SET standard_conforming_strings = off;
                 ALTER ROLE hostile SET statement_timeout = '1ms';
                 ALTER ROLE hostile SET client_encoding = 'LATIN1';
                 ALTER DATABASE postgres SET quote_all_identifiers = on",
            )
            .await;
        let query = "SELECT concat_ws('|', timestamptz '2024-07-01 00:00+00', \
                     interval '-1 day 2 hours', bytea '\\x01ff', 0.1::float8 + 0.2::float8, \
                     'pg_class'::regclass, pg_catalog.chr(233))";
        let expected = "2024-07-01 00:00:00+00|-1 days +02:00:00|\\x01ff|0.30000000000000004|\
                        pg_class|\u{e9}";
        // The user's own options come first, and lose.
        let dsn =
            format!("{}?options=-c%20DateStyle%3DGerman", server.dsn_as("hostile", "postgres"));
        let options: ConnectOptions = dsn.parse().unwrap();
        let mut connection = Connection::connect(&options, true).await.unwrap();
        assert_eq!(cell(&mut connection, query).await, expected);

        let (client, driver) =
            options.sql_config().connect(options.sql_tls().unwrap()).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(driver);
        let row = client.query_one(query, &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), expected);
        for (name, value) in PINNED_SETTINGS {
            let row = client.query_one("SELECT current_setting($1)", &[name]).await.unwrap();
            let shown: String = row.get(0);
            assert_eq!(shown.replace(", ", ","), *value, "{name}");
        }
    }
}

#[test]
fn bad_options_are_fatal_with_a_remedy() {
    let error: Error = "postgres://u@h/d?sslmode=on".parse::<ConnectOptions>().unwrap_err().into();
    assert_eq!(error.class(), ErrorClass::Fatal);
    assert_eq!(error.code(), Some("SOURCE_SETTINGS_INVALID"));
    assert!(error.remedy().is_some());
    assert!(matches!(error, Error::Options(OptionsError::Value { .. })));
}

/// An authority, in PEM.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    /// Returns a certificate for `name`, and its key.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn write(&self, directory: &Path, name: &str) -> String {
        write(directory, name, &self.issuer.pem())
    }
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Starts a server whose certificate is signed by `authority` for `name`.
async fn tls_server(version: Version, authority: &Authority, name: &str) -> Postgres {
    let server = Postgres::start(version).await;
    with_roles(&server).await;
    let (certificate, key) = authority.sign(name);
    server.put_file("server.crt", certificate.as_bytes());
    server.put_file("server.key", key.as_bytes());
    server.put_file("root.crt", authority.issuer.pem().as_bytes());
    server.sql("ALTER SYSTEM SET ssl_ca_file = 'root.crt'").await;
    server.sql("ALTER SYSTEM SET ssl = on").await;
    server.sql("CREATE ROLE certy LOGIN REPLICATION; CREATE ROLE naked LOGIN REPLICATION").await;
    server
        .set_hba(&[
            SUPERUSER_HBA,
            "hostssl all scrammy 127.0.0.1/32 scram-sha-256",
            "hostssl all certy 127.0.0.1/32 cert",
            "hostnossl all naked 127.0.0.1/32 trust",
        ])
        .await;
    server
}

/// Returns a URL for a TLS server by name, so that its certificate can be checked against it.
fn dsn(server: &Postgres, user: &str, settings: &str) -> String {
    format!("postgres://{user}@localhost:{}/postgres?{settings}", server.port())
}

const SCRAMMY: &str = "scrammy:p%C3%A4ss%20IX";

#[tokio::test]
async fn tls_is_checked_as_far_as_sslmode_says() {
    for version in Version::ALL {
        let files = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let ours = authority.write(files.path(), "ca.pem");
        let other = Authority::new().write(files.path(), "other.pem");
        let server = tls_server(version, &authority, "localhost").await;

        let accepted = [
            "sslmode=prefer".to_owned(),
            "sslmode=require".to_owned(),
            format!("sslmode=verify-ca&sslrootcert={ours}"),
            format!("sslmode=verify-full&sslrootcert={ours}&channel_binding=require"),
            format!("sslmode=verify-full&sslrootcert={ours}&channel_binding=disable"),
        ];
        for settings in accepted {
            let mut connection = connect(&dsn(&server, SCRAMMY, &settings)).await.unwrap();
            assert!(connection.is_encrypted(), "{settings}");
            let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            assert_eq!(cell(&mut connection, sql).await, "t");
        }
        // With sslrootcert, require means verify-ca, as in libpq.
        for mode in ["require", "verify-ca", "verify-full"] {
            let settings = format!("sslmode={mode}&sslrootcert={other}");
            let outcome = connect(&dsn(&server, SCRAMMY, &settings)).await;
            let error = refused(outcome, ErrorClass::Fatal, Some("TLS_FAILED"));
            assert!(matches!(error, Error::Tls { .. }), "{error:?}");
        }
        // pg_hba.conf lets this role in without TLS only, that one with TLS only.
        assert!(!connect(&dsn(&server, "naked", "")).await.unwrap().is_encrypted());
        let outcome = connect(&dsn(&server, SCRAMMY, "sslmode=disable")).await;
        assert_eq!(
            refused(outcome, ErrorClass::Fatal, Some("AUTH_FAILED")).sqlstate(),
            Some("28000")
        );
        let outcome = connect(&dsn(&server, "scrammy:wrong", "sslmode=require")).await;
        assert_eq!(
            refused(outcome, ErrorClass::Fatal, Some("AUTH_FAILED")).sqlstate(),
            Some("28P01")
        );
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_passes_verify_ca_only() {
    let files = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let ca = authority.write(files.path(), "ca.pem");
    let server = tls_server(Version::V18, &authority, "db.example").await;
    let settings = |mode: &str| format!("sslmode={mode}&sslrootcert={ca}");
    connect(&dsn(&server, SCRAMMY, &settings("verify-ca"))).await.unwrap();
    let outcome = connect(&dsn(&server, SCRAMMY, &settings("verify-full"))).await;
    refused(outcome, ErrorClass::Fatal, Some("TLS_FAILED"));
}

#[tokio::test]
async fn a_self_signed_certificate_can_be_trusted_as_itself() {
    let files = tempfile::tempdir().unwrap();
    let server = tls_server(Version::V18, &Authority::new(), "localhost").await;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    // What `openssl req -x509` makes, and webpki takes for an authority only.
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    server.put_file("server.crt", certificate.as_bytes());
    server.put_file("server.key", key.serialize_pem().as_bytes());
    server.sql("SELECT pg_reload_conf()").await;
    let root = write(files.path(), "server.pem", &certificate);
    let settings = format!("sslmode=verify-full&sslrootcert={root}&channel_binding=require");
    connect(&dsn(&server, SCRAMMY, &settings)).await.unwrap();
    let by_address = dsn(&server, SCRAMMY, &settings).replace("localhost", "127.0.0.1");
    refused(connect(&by_address).await, ErrorClass::Fatal, Some("TLS_FAILED"));
}

#[tokio::test]
async fn a_client_certificate_takes_the_place_of_a_password() {
    let files = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let ca = authority.write(files.path(), "ca.pem");
    let server = tls_server(Version::V18, &authority, "localhost").await;
    let (certificate, key) = authority.sign("certy");
    let certificate = write(files.path(), "client.pem", &certificate);
    let key = write(files.path(), "client.key", &key);
    let base = format!("sslmode=verify-full&sslrootcert={ca}");
    let settings = format!("{base}&sslcert={certificate}&sslkey={key}");
    let mut connection = connect(&dsn(&server, "certy", &settings)).await.unwrap();
    assert_eq!(cell(&mut connection, "SELECT current_user").await, "certy");
    let outcome = connect(&dsn(&server, "certy", &base)).await;
    refused(outcome, ErrorClass::Fatal, Some("AUTH_FAILED"));
    let missing = format!("{base}&sslcert={certificate}&sslkey=/nowhere.key");
    let outcome = connect(&dsn(&server, "certy", &missing)).await;
    refused(outcome, ErrorClass::Fatal, Some("TLS_FAILED"));
}

#[tokio::test]
async fn sql_connections_use_the_same_tls_settings() {
    let files = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let ca = authority.write(files.path(), "ca.pem");
    let other = Authority::new().write(files.path(), "other.pem");
    let server = tls_server(Version::V15, &authority, "localhost").await;
    let options = |root: &str| -> ConnectOptions {
        let settings = format!("sslmode=verify-full&sslrootcert={root}&channel_binding=require");
        dsn(&server, SCRAMMY, &settings).parse().unwrap()
    };
    let ours = options(&ca);
    let (client, driver) = ours.sql_config().connect(ours.sql_tls().unwrap()).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(driver);
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert!(client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0));
    let other = options(&other);
    assert!(other.sql_config().connect(other.sql_tls().unwrap()).await.is_err());
}
