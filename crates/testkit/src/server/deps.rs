//! Where `scripts/bootstrap` put the servers: `$PENSTOCK_DEPS`, or `.deps` in the workspace.

use std::path::{Path, PathBuf};

use super::postgres::Version;

/// Returns the folder of everything that was fetched.
pub fn root() -> PathBuf {
    std::env::var_os("PENSTOCK_DEPS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.deps"), PathBuf::from)
}

/// Returns PostgreSQL's home: `bin/{initdb,pg_ctl,postgres}` and its libraries.
pub fn postgres(version: Version) -> PathBuf {
    existing(&format!("postgres/{}", version.major()))
}

/// Returns the `bin` folder of PostgreSQL 18's tools: `psql`, `pgbench`, `pg_basebackup` and others.
pub fn postgres_tools() -> PathBuf {
    existing("postgres/18-tools/bin")
}

/// Returns the folder of Kafka's jars.
pub fn kafka_jars() -> PathBuf {
    existing("kafka/lib")
}

/// Returns Apicurio's jar, which expects its libraries beside it.
pub fn apicurio_jar() -> PathBuf {
    existing("apicurio/apicurio-registry-app-2.6.13.Final-runner.jar")
}

/// Resolves links, because another user may only be able to enter the place itself.
fn existing(path: &str) -> PathBuf {
    let path = root().join(path);
    path.canonicalize().unwrap_or_else(|error| {
        panic!("{} is missing ({error}); please run `scripts/bootstrap test`", path.display())
    })
}
