//! Reads connection strings in libpq's two forms.
//!
//! Source: <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::wire::error::OptionsError;
use crate::wire::options::{
    ChannelBinding, ConnectOptions, Host, Password, RootCertificates, SslMode,
};

const KNOWN: &[&str] = &[
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// Names further away than this are no guess worth showing.
const NEAREST_DISTANCE_MAX: usize = 3;

/// Settings as they were written, before defaults.
#[derive(Default)]
struct Draft {
    settings: Vec<(String, String)>,
}

impl Draft {
    fn set(&mut self, name: &str, value: String) -> Result<(), OptionsError> {
        let name = if name == "ssl_mode" { "sslmode" } else { name };
        if !KNOWN.contains(&name) {
            return Err(unknown(name));
        }
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value));
        Ok(())
    }

    /// Takes a setting; an empty value means that it was not given, as in libpq.
    fn take(&mut self, name: &str) -> Option<String> {
        let index = self.settings.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.settings.swap_remove(index);
        (!value.is_empty()).then_some(value)
    }

    fn finish(mut self) -> Result<ConnectOptions, OptionsError> {
        let user = self.take("user").ok_or(OptionsError::Missing { part: "user" })?;
        let database = self.take("dbname").unwrap_or_else(|| user.clone());
        let host = host(self.take("host").as_deref().unwrap_or("localhost"))?;
        let mut options = ConnectOptions::new(host, user, database);
        if let Some(port) = self.take("port") {
            options.port = port_number(&port)?;
        }
        if let Some(seconds) = self.take("connect_timeout") {
            options.connect_timeout = timeout(&seconds)?;
        }
        if let Some(mode) = self.take("sslmode") {
            options.ssl_mode = ssl_mode(&mode)?;
        }
        if let Some(binding) = self.take("channel_binding") {
            options.channel_binding = channel_binding(&binding)?;
        }
        options.ssl_root_cert = self.take("sslrootcert").map(|path| match path.as_str() {
            "system" => RootCertificates::System,
            _ => RootCertificates::File(PathBuf::from(path)),
        });
        options.ssl_cert = self.take("sslcert").map(PathBuf::from);
        options.ssl_key = self.take("sslkey").map(PathBuf::from);
        if options.ssl_cert.is_some() != options.ssl_key.is_some() {
            let part = if options.ssl_key.is_some() { "sslcert" } else { "sslkey" };
            return Err(OptionsError::Missing { part });
        }
        options.password = self.take("password").map(Password::new);
        options.options = self.take("options");
        if let Some(name) = self.take("application_name") {
            options.application_name = name;
        }
        for value in [Some(&options.user), Some(&options.database), options.options.as_ref()] {
            if value.is_some_and(|value| value.contains('\0')) {
                return Err(part("user, database or options", "a zero byte is not allowed"));
            }
        }
        Ok(options)
    }
}

pub(super) fn parse(text: &str) -> Result<ConnectOptions, OptionsError> {
    let text = text.trim();
    let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    match rest {
        Some(rest) => parse_url(rest),
        None if text.contains('=') && !text.contains("://") => parse_pairs(text),
        None => Err(OptionsError::Syntax),
    }
}

fn parse_url(rest: &str) -> Result<ConnectOptions, OptionsError> {
    let mut draft = Draft::default();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (credentials, location) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    draft.set("user", decode("user", user)?)?;
    draft.set("password", decode("password", password)?)?;
    draft.set("dbname", decode("database", database)?)?;
    let (host, port) = split_location(location)?;
    draft.set("host", decode("host", host)?)?;
    draft.set("port", port.to_owned())?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| part("query", "settings are written name=value, joined by &"))?;
        draft.set(&decode("query", name)?, decode("query", value)?)?;
    }
    draft.finish()
}

/// Splits `host:port`, `[::1]:port`, or either without a port.
fn split_location(location: &str) -> Result<(&str, &str), OptionsError> {
    if location.contains(',') {
        return Err(part("host", "one host only"));
    }
    if let Some(rest) = location.strip_prefix('[') {
        let (host, rest) =
            rest.split_once(']').ok_or_else(|| part("host", "\"[\" is never closed by \"]\""))?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, port)),
            None if rest.is_empty() => Ok((host, "")),
            None => Err(part("host", "after \"]\" only \":PORT\" may follow")),
        };
    }
    match location.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            Err(part("host", "an IPv6 address is written in brackets: [::1]"))
        }
        Some(halves) => Ok(halves),
        None => Ok((location, "")),
    }
}

/// Reads `name = 'value with \' and \\'` pairs.
fn parse_pairs(text: &str) -> Result<ConnectOptions, OptionsError> {
    let mut draft = Draft::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or(OptionsError::Syntax)?;
        let (value, after) = pair_value(after.trim_start())?;
        draft.set(name.trim(), value)?;
        rest = after.trim_start();
    }
    draft.finish()
}

/// Reads one value, quoted or up to the next blank; returns it and what follows.
fn pair_value(text: &str) -> Result<(String, &str), OptionsError> {
    let mut value = String::new();
    let quoted = text.starts_with('\'');
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            '\'' if quoted => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            c if !quoted && c.is_ascii_whitespace() => {
                return Ok((value, text.get(at..).unwrap_or_default()));
            }
            c => value.push(c),
        }
    }
    if quoted {
        return Err(part("a quoted value", "the closing ' is missing"));
    }
    Ok((value, ""))
}

fn decode(name: &'static str, text: &str) -> Result<String, OptionsError> {
    percent_decode_str(text)
        .decode_utf8()
        .map(Cow::into_owned)
        .map_err(|_| part(name, "percent-encoded bytes must be UTF-8"))
}

fn host(text: &str) -> Result<Host, OptionsError> {
    if text.contains(',') {
        return Err(part("host", "one host only"));
    }
    let is_directory = text.starts_with('/');
    Ok(if is_directory { Host::Unix(PathBuf::from(text)) } else { Host::Tcp(text.to_owned()) })
}

fn port_number(text: &str) -> Result<u16, OptionsError> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(part("port", "a number from 1 to 65535 is accepted")),
    }
}

fn timeout(text: &str) -> Result<Option<Duration>, OptionsError> {
    let seconds: u32 = text.parse().map_err(|_| OptionsError::Value {
        name: "connect_timeout".to_owned(),
        accepted: "whole seconds, 0 for no limit",
    })?;
    Ok((seconds > 0).then(|| Duration::from_secs(seconds.into())))
}

fn ssl_mode(text: &str) -> Result<SslMode, OptionsError> {
    Ok(match text {
        "disable" => SslMode::Disable,
        "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        _ => {
            return Err(OptionsError::Value {
                name: "sslmode".to_owned(),
                accepted: "disable, prefer, require, verify-ca, verify-full",
            });
        }
    })
}

fn channel_binding(text: &str) -> Result<ChannelBinding, OptionsError> {
    Ok(match text {
        "disable" => ChannelBinding::Disable,
        "prefer" => ChannelBinding::Prefer,
        "require" => ChannelBinding::Require,
        _ => {
            return Err(OptionsError::Value {
                name: "channel_binding".to_owned(),
                accepted: "disable, prefer, require",
            });
        }
    })
}

fn part(part: &'static str, reason: impl Into<String>) -> OptionsError {
    OptionsError::Part { part, reason: reason.into() }
}

fn unknown(name: &str) -> OptionsError {
    let nearest = KNOWN
        .iter()
        .map(|known| (strsim::levenshtein(name, known), *known))
        .min()
        .filter(|(distance, _)| *distance <= NEAREST_DISTANCE_MAX)
        .map(|(_, known)| known);
    OptionsError::Unknown { name: name.to_owned(), nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn read(text: &str) -> ConnectOptions {
        text.parse().unwrap()
    }

    #[track_caller]
    fn refused(text: &str, message: &str) {
        assert_eq!(text.parse::<ConnectOptions>().unwrap_err().to_string(), message);
    }

    #[test]
    fn a_full_url_is_read() {
        let options = read(
            "postgres://al%40ice:p%3Aw%2F@db.example:6543/shop?sslmode=verify-full&\
             sslrootcert=/ca.pem&channel_binding=require&connect_timeout=3&application_name=x&\
             options=-c%20work_mem%3D1MB",
        );
        assert_eq!(options.user, "al@ice");
        assert_eq!(options.password, Some(Password::new("p:w/")));
        assert_eq!(options.address(), "db.example:6543");
        assert_eq!(options.database, "shop");
        assert_eq!(options.ssl_mode, SslMode::VerifyFull);
        assert_eq!(options.ssl_root_cert, Some(RootCertificates::File("/ca.pem".into())));
        assert_eq!(options.channel_binding, ChannelBinding::Require);
        assert_eq!(options.connect_timeout, Some(Duration::from_secs(3)));
        assert_eq!(options.options.as_deref(), Some("-c work_mem=1MB"));
    }

    #[test]
    fn defaults_are_those_of_libpq() {
        let options = read("postgresql://bob@");
        assert_eq!(options, ConnectOptions::new(Host::Tcp("localhost".into()), "bob", "bob"));
    }

    #[test]
    fn hosts_are_read_in_every_form() {
        assert_eq!(read("postgres://u@[::1]:5/d").address(), "[::1]:5");
        assert_eq!(read("postgres://u@[::1]/d").address(), "[::1]:5432");
        assert_eq!(read("postgres://u@%2Frun%2Fpg/d").address(), "/run/pg/.s.PGSQL.5432");
        assert_eq!(read("postgres://u@/d?host=/run/pg&port=7").address(), "/run/pg/.s.PGSQL.7");
    }

    #[test]
    fn key_value_pairs_are_read() {
        let options = read(r"host=h port = 7 user='it\'s me' password=a\ b\\ dbname=''");
        assert_eq!(options.address(), "h:7");
        assert_eq!(options.user, "it's me");
        assert_eq!(options.password, Some(Password::new(r"a b\")));
        assert_eq!(options.database, "it's me");
    }

    #[test]
    fn mistakes_are_named() {
        refused("mysql://u@h/d", &OptionsError::Syntax.to_string());
        refused("nothing", &OptionsError::Syntax.to_string());
        refused("postgres://h/d", "the connection string names no user");
        refused(
            "postgres://u@h/d?sslmod=require",
            "unknown connection setting \"sslmod\"; did you mean \"sslmode\"?",
        );
        refused("postgres://u@h/d?zzzzzzzzz=1", "unknown connection setting \"zzzzzzzzz\"");
        refused(
            "postgres://u@h/d?sslmode=on",
            "sslmode of the connection string is not valid: accepted are disable, prefer, \
             require, verify-ca, verify-full",
        );
        refused(
            "postgres://u@h:70000/d",
            "port of the connection string is not valid: a number from 1 to 65535 is accepted",
        );
        refused(
            "postgres://u@::1/d",
            "host of the connection string is not valid: an IPv6 address is written in brackets: \
             [::1]",
        );
        refused("postgres://u@h/d?sslcert=/c", "the connection string names no sslkey");
        refused(
            "user='x",
            "a quoted value of the connection string is not valid: the closing ' is missing",
        );
    }

    #[test]
    fn a_password_never_shows() {
        let options = read("postgres://u:hunter2@h/d");
        assert!(!format!("{options:?}").contains("hunter2"));
        assert!(!format!("{:?}", options.sql_config()).contains("hunter2"));
    }
}
