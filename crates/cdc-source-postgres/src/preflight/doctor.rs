//! What the doctor looks at, and what it says of it.

use cdc_pipeline::error::{Classify, chain};

use crate::catalog::{Kind, Table};
use crate::config::Config;
use crate::error::Error;
use crate::preflight::{Server, matched};
use crate::sql::{self, Sql};
use crate::{publication, slot};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Works, with a risk that is named.
    Warning,
    /// The pipeline will not start.
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable code; where a halt has the same cause, the halt's.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub what: String,
    /// Why it matters.
    pub why: &'static str,
    /// The SQL that mends it, where SQL does.
    pub fix_sql: Option<String>,
}

/// Looks at everything and changes nothing. A server that cannot be reached is a finding too.
pub async fn check(config: &Config) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    if let Err(error) = look(config, &mut findings).await {
        findings.0.push(Finding {
            code: error.code().unwrap_or("UNREACHABLE"),
            severity: Severity::Error,
            what: chain(&error),
            why: "nothing else can be checked",
            fix_sql: None,
        });
    }
    findings.0
}

async fn look(config: &Config, findings: &mut Findings) -> Result<(), Error> {
    let sql = Sql::connect(&config.connect).await?;
    let server = Server::read(&sql).await?;
    findings.server(&server);
    findings.budget(&server);
    findings.transactions(&server);
    let matched = matched(&sql, config).await?;
    findings.tables(config, &matched);
    let slot = slot::find(&sql, &config.slot).await?;
    let publication = publication::find(&sql, &config.publication).await?;
    findings.names(config, slot.as_ref(), publication.is_some(), &matched);
    Ok(())
}

/// Findings so far.
struct Findings(Vec<Finding>);

impl Findings {
    /// Adds a finding: `Ok` with `good` if `is_good`, else what `bad` says.
    fn add(&mut self, code: &'static str, why: &'static str, verdict: Result<String, Bad>) {
        let (severity, what, fix_sql) = match verdict {
            Ok(what) => (Severity::Ok, what, None),
            Err(Bad { severity, what, fix_sql }) => (severity, what, fix_sql),
        };
        self.0.push(Finding { code, severity, what, why, fix_sql });
    }

    fn server(&mut self, server: &Server) {
        self.add(
            "SERVER_UNSUPPORTED",
            "messages and skipped empty transactions need PostgreSQL 14",
            ok(server.version >= 140_000, format!("PostgreSQL {}", server.version_text), || {
                error(format!("PostgreSQL {} is too old", server.version_text), None)
            }),
        );
        self.add(
            "WAL_LEVEL",
            "only then does the log carry row changes",
            ok(server.wal_level == "logical", "wal_level is logical".into(), || {
                let fix = "ALTER SYSTEM SET wal_level = logical; -- then restart the server";
                error(format!("wal_level is {}", server.wal_level), Some(fix.into()))
            }),
        );
        self.add(
            "PRIVILEGE_MISSING",
            "a slot is made and read by a role with REPLICATION",
            ok(server.can_replicate, format!("role {} may replicate", server.role), || {
                error(
                    format!("role {} may not replicate", server.role),
                    Some(server.replication_fix()),
                )
            }),
        );
        self.add(
            "PRIVILEGE_MISSING",
            "the pipeline makes its own publication",
            ok(server.can_create, "the role may make a publication".into(), || {
                error("the role may not make a publication".into(), Some(server.create_fix()))
            }),
        );
        self.add(
            "ENCODING",
            "text is read as UTF-8",
            ok(server.encoding != "SQL_ASCII", format!("encoding is {}", server.encoding), || {
                warning("SQL_ASCII: text that is no UTF-8 halts the pipeline".into(), None)
            }),
        );
    }

    fn budget(&mut self, server: &Server) {
        let free = |(used, max): (i64, i64)| used < max;
        let used = |(used, max): (i64, i64)| format!("{used} of {max} in use");
        self.add(
            "SLOT_BUDGET",
            "the pipeline needs one replication slot",
            ok(free(server.slots), format!("replication slots: {}", used(server.slots)), || {
                error(
                    format!("replication slots: {}", used(server.slots)),
                    Some("ALTER SYSTEM SET max_replication_slots = 20; -- then restart".into()),
                )
            }),
        );
        self.add(
            "SENDER_BUDGET",
            "the pipeline needs one WAL sender",
            ok(free(server.senders), format!("WAL senders: {}", used(server.senders)), || {
                error(
                    format!("WAL senders: {}", used(server.senders)),
                    Some("ALTER SYSTEM SET max_wal_senders = 20; -- then restart".into()),
                )
            }),
        );
        self.add(
            "WAL_KEEP_SIZE",
            "a small limit loses the slot while the pipeline is away; none \
            lets the log fill the disk",
            match server.keep_size_mb {
                -1 => Err(warning(
                    "max_slot_wal_keep_size is unlimited".into(),
                    Some(
                        "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; -- what the disk can \
                        spare; then SELECT pg_reload_conf();"
                            .into(),
                    ),
                )),
                mb if mb < 1024 => Err(warning(
                    format!("max_slot_wal_keep_size is only {mb} MB"),
                    Some(
                        "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT \
                        pg_reload_conf();"
                            .into(),
                    ),
                )),
                mb => Ok(format!("max_slot_wal_keep_size is {mb} MB")),
            },
        );
        self.add(
            "IDLE_SLOT_TIMEOUT",
            "a stopped pipeline loses its slot after this time",
            match &server.idle_slot_timeout {
                None => Ok("unused slots are kept".into()),
                Some(time) => {
                    Err(warning(format!("idle_replication_slot_timeout is {time}"), None))
                }
            },
        );
    }

    fn transactions(&mut self, server: &Server) {
        self.add(
            "PREPARED_TRANSACTIONS",
            "a forgotten one keeps the log from being removed",
            ok(server.prepared == 0, "no prepared transactions".into(), || {
                warning(
                    format!("{} prepared transactions", server.prepared),
                    Some("SELECT gid, prepared, owner FROM pg_prepared_xacts;".into()),
                )
            }),
        );
        let seconds = server.oldest_transaction_seconds;
        self.add(
            "LONG_TRANSACTION",
            "the slot can be made only after every older transaction ends",
            ok(seconds < 60.0, "no long transactions".into(), || {
                warning(format!("a transaction has been open for {seconds:.0} s"), Some(
                    "SELECT pid, xact_start, query FROM pg_stat_activity WHERE backend_xid IS NOT \
                     NULL ORDER BY xact_start LIMIT 1;".into()))
            }),
        );
    }

    fn tables(&mut self, config: &Config, matched: &[Table]) {
        let plain: Vec<&Table> = matched.iter().filter(|table| table.kind == Kind::Plain).collect();
        self.add(
            "NO_TABLES",
            "these are captured",
            ok(
                !plain.is_empty(),
                format!("{} tables match {}", plain.len(), config.tables),
                || error(format!("no table matches {}", config.tables), None),
            ),
        );
        for table in matched {
            if let Some((code, why, bad)) = table_finding(table) {
                self.add(code, why, Err(bad));
            }
        }
    }

    fn names(
        &mut self,
        config: &Config,
        slot: Option<&slot::Slot>,
        has_publication: bool,
        matched: &[Table],
    ) {
        let tables: Vec<Table> = matched
            .iter()
            .filter(|table| table.kind == Kind::Plain && table.has_identity())
            .cloned()
            .collect();
        let (slot_text, lost) = match slot {
            None => (format!("slot {} will be made", config.slot), None),
            Some(slot) => (describe(&config.slot, slot), slot.lost.clone()),
        };
        self.add(
            "SLOT_LOST",
            "the slot keeps the log for the pipeline",
            ok(lost.is_none(), slot_text, || {
                error(
                    format!("slot {} is lost ({})", config.slot, lost.clone().unwrap_or_default()),
                    Some(format!(
                        "SELECT pg_drop_replication_slot({});",
                        sql::literal(&config.slot)
                    )),
                )
            }),
        );
        let state = if has_publication { "exists" } else { "will be made" };
        let what = format!("publication {} {state}", config.publication);
        // Half of a pair is left when a data directory or the other half was removed.
        self.add(
            "PUBLICATION_MISSING",
            "slot and publication belong together",
            ok(slot.is_none() || has_publication || tables.is_empty(), what, || {
                error(
                    format!(
                        "slot {} exists without publication {}",
                        config.slot, config.publication
                    ),
                    None,
                )
            }),
        );
    }
}

fn describe(name: &str, slot: &slot::Slot) -> String {
    let mut text = format!("slot {name} exists");
    if let Some(bytes) = slot.retained_bytes {
        text.push_str(&format!(", keeps {} MiB of log", bytes >> 20));
    }
    if let Some(pid) = slot.active_pid {
        text.push_str(&format!(", in use by server process {pid}"));
    }
    text
}

fn table_finding(table: &Table) -> Option<(&'static str, &'static str, Bad)> {
    let name = &table.name;
    let quoted = sql::table(name);
    match table.kind {
        Kind::Partitioned => {
            return Some((
                "PARTITIONED",
                "each partition is captured under its own name; partitions added later are not",
                warning(format!("{name} is partitioned"), None),
            ));
        }
        Kind::Unlogged => {
            return Some((
                "UNLOGGED",
                "its changes are not in the log",
                warning(
                    format!("{name} is unlogged and not captured"),
                    Some(format!("ALTER TABLE {quoted} SET LOGGED;")),
                ),
            ));
        }
        Kind::Plain => {}
    }
    if !table.has_identity() {
        return Some((
            "REPLICA_IDENTITY_MISSING",
            "published, its updates and deletes would fail for the application",
            error(
                format!("{name} has no replica identity"),
                Some(format!("ALTER TABLE {quoted} REPLICA IDENTITY FULL;")),
            ),
        ));
    }
    if table.has_rls {
        return Some((
            "RLS_ENABLED",
            "policies would hide rows from the snapshot",
            error(
                format!("row-level security applies to us on {name}"),
                Some("ALTER ROLE CURRENT_USER BYPASSRLS; -- as a superuser".into()),
            ),
        ));
    }
    if !table.can_select {
        return Some((
            "PRIVILEGE_MISSING",
            "the snapshot reads it",
            error(
                format!("{name} may not be read"),
                Some(format!("GRANT SELECT ON {quoted} TO CURRENT_USER; -- as its owner")),
            ),
        ));
    }
    if !table.is_owned {
        return Some((
            "PRIVILEGE_MISSING",
            "only its owner may publish it",
            error(format!("{name} is not ours to publish"), None),
        ));
    }
    None
}

/// Why a verdict is not `Ok`.
struct Bad {
    severity: Severity,
    what: String,
    fix_sql: Option<String>,
}

fn ok(is_good: bool, good: String, bad: impl FnOnce() -> Bad) -> Result<String, Bad> {
    if is_good { Ok(good) } else { Err(bad()) }
}

fn error(what: String, fix_sql: Option<String>) -> Bad {
    Bad { severity: Severity::Error, what, fix_sql }
}

fn warning(what: String, fix_sql: Option<String>) -> Bad {
    Bad { severity: Severity::Warning, what, fix_sql }
}
