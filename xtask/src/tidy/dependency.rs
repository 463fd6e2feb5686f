//! Dependencies point one way, and a heavy one lives in one crate.

use std::path::Path;

use anyhow::Context;
use toml::Table;

use super::Finding;
use crate::workspace;

/// A heavy dependency and the crates that may have it. Tests may have any.
const HEAVY: [(&str, &[&str]); 8] = [
    ("rdkafka", &["cdc-log-kafka"]),
    ("duckdb", &["cdc-sink-duckdb"]),
    ("fjall", &["cdc-log-local", "cdc-registry"]),
    ("tokio-postgres", &["cdc-source-postgres", "cdc-sink-postgres", "penstock"]),
    ("apache-avro", &["cdc-codec", "cdc-registry"]),
    ("tantivy", &["cdc-sink-search"]),
    ("sqlx", &["storefront"]),
    ("tikv-jemallocator", &["service-kit"]),
];

/// Crates that no user gets, which may depend on anything.
const NOT_SHIPPED: [&str; 5] =
    ["testkit", "penstock-bench", "penstock-chaos", "penstock-stack", "xtask"];

/// What services share: it may name what they may.
const SHARED_BY_SERVICES: &str = "cdc-runtime";

/// The ports and what stands below them: which crates of ours each may see, and nothing else.
const CORE: [(&str, &[&str]); 2] = [("cdc-model", &[]), ("cdc-pipeline", &["cdc-model"])];

/// What the domain must not know.
const MODEL_BANS: [&str; 4] = ["serde", "serde_json", "tokio", "apache-avro"];

const ADAPTERS: [&str; 3] = ["cdc-source-", "cdc-log-", "cdc-sink-"];

/// Checks the manifest of every crate.
pub(super) fn check() -> anyhow::Result<Vec<Finding>> {
    let is_manifest = |path: &Path| path.ends_with("Cargo.toml");
    let mut findings = Vec::new();
    for dir in ["crates", "services", "xtask"] {
        for path in workspace::files(dir, is_manifest)? {
            let text = workspace::read(&path)?;
            let manifest = text.parse().with_context(|| format!("parsing {}", path.display()))?;
            let path = path.to_string_lossy();
            let messages = messages(&manifest, path.starts_with("services/"));
            findings.extend(messages.into_iter().map(|message| Finding::new(&path, 0, message)));
        }
    }
    Ok(findings)
}

fn messages(manifest: &Table, is_service: bool) -> Vec<String> {
    let name = manifest.get("package").and_then(|package| package.get("name"));
    let name = name.and_then(toml::Value::as_str).unwrap_or_default();
    let mut messages = habits(manifest);
    if NOT_SHIPPED.contains(&name) {
        return messages;
    }
    let is_service = is_service || name == SHARED_BY_SERVICES;
    for dependency in names(manifest, "dependencies") {
        let message = heavy(name, dependency)
            .or_else(|| core(name, dependency))
            .or_else(|| direction(name, dependency, is_service));
        messages.extend(message);
    }
    messages
}

fn names<'a>(manifest: &'a Table, section: &str) -> Vec<&'a str> {
    let section = manifest.get(section).and_then(toml::Value::as_table);
    section.into_iter().flat_map(Table::keys).map(String::as_str).collect()
}

fn heavy(name: &str, dependency: &str) -> Option<String> {
    let (_, homes) = HEAVY.iter().find(|(heavy, _)| *heavy == dependency)?;
    let message = || format!("{dependency} lives in {}: use its port", homes.join(", "));
    (!homes.contains(&name)).then(message)
}

fn core(name: &str, dependency: &str) -> Option<String> {
    let (_, allowed) = CORE.iter().find(|(core, _)| *core == name)?;
    let is_ours = dependency.starts_with("cdc-") && !allowed.contains(&dependency);
    let is_wire = name == "cdc-model" && MODEL_BANS.contains(&dependency);
    (is_ours || is_wire).then(|| format!("{name} must not know {dependency}: turn the arrow round"))
}

fn direction(name: &str, dependency: &str, is_service: bool) -> Option<String> {
    let is_adapter = |name: &str| ADAPTERS.iter().any(|prefix| name.starts_with(prefix));
    if dependency == "testkit" {
        return Some("testkit is a dev-dependency".to_owned());
    }
    if is_adapter(dependency) && !is_service {
        return Some(format!("{name} must not name the adapter {dependency}: take its port"));
    }
    let is_kit = dependency == "service-kit" && !is_service;
    is_kit.then(|| format!("service-kit is for services, not for {name}"))
}

/// What every manifest has in common.
fn habits(manifest: &Table) -> Vec<String> {
    let mut messages = Vec::new();
    if manifest.get("lints").and_then(|lints| lints.get("workspace")).is_none() {
        messages.push("add `[lints] workspace = true`".to_owned());
    }
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        for name in names(manifest, section) {
            let dependency = manifest.get(section).and_then(|section| section.get(name));
            if dependency.and_then(|dependency| dependency.get("workspace")).is_none() {
                messages.push(format!("{name}: put its version into the workspace's Cargo.toml"));
            }
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(name: &str, dependency: &str, is_service: bool) -> usize {
        let text = format!(
            "[package]\nname = \"{name}\"\n[dependencies]\n{dependency}.workspace = true\n\
             [lints]\nworkspace = true\n"
        );
        messages(&text.parse().unwrap(), is_service).len()
    }

    #[test]
    fn arrows_point_one_way() {
        assert_eq!(count("cdc-model", "serde", false), 1);
        assert_eq!(count("cdc-pipeline", "cdc-model", false), 0);
        assert_eq!(count("cdc-pipeline", "cdc-codec", false), 1);
        assert_eq!(count("cdc-sink-duckdb", "cdc-log-kafka", false), 1);
        assert_eq!(count("cdc-sink-duckdb", "testkit", false), 1);
        assert_eq!(count("penstock", "cdc-log-kafka", true), 0);
    }

    #[test]
    fn a_heavy_dependency_has_one_home() {
        assert_eq!(count("cdc-log-kafka", "rdkafka", false), 0);
        assert_eq!(count("penstock", "rdkafka", true), 1);
    }
}
