//! What is in effect, as a file that could be given back, with secrets starred out.

use crate::layer::Layers;
use crate::property::is_secret;

/// Writes every setting as a line of TOML, with where it stands as a comment. Passwords, also
/// within connection strings, are `***`.
pub fn print(layers: &Layers) -> String {
    let mut text = String::new();
    for (name, setting) in layers.iter() {
        let is_hidden = is_secret(name) && name != "source";
        let value = if is_hidden { "***".to_owned() } else { mask_dsn(&setting.value) };
        let value = toml::Value::String(value);
        text.push_str(&format!("{name} = {value} # {}\n", setting.origin));
    }
    text
}

/// Stars out the password of a URL, or of a list of `key=value`.
fn mask_dsn(text: &str) -> String {
    if let Some((scheme, rest)) = text.split_once("://") {
        let (authority, tail) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        // A password with a slash in it is no valid URL; hide all rather than show half.
        let rest = match authority.rsplit_once('@') {
            Some((credentials, host)) => match credentials.split_once(':') {
                Some((user, _)) => format!("{user}:***@{host}{}", mask_query(tail)),
                None => format!("{authority}{}", mask_query(tail)),
            },
            None if tail.contains('@') => "***".to_owned(),
            None => format!("{authority}{}", mask_query(tail)),
        };
        return format!("{scheme}://{rest}");
    }
    if text.contains("password") { "***".to_owned() } else { text.to_owned() }
}

fn mask_query(tail: &str) -> String {
    match tail.split_once('?') {
        Some((path, query)) if query.contains("password") => format!("{path}?***"),
        _ => tail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_never_shown() {
        for (text, expected) in [
            ("postgres://u:secret@h:5/d?x=1", "postgres://u:***@h:5/d?x=1"),
            ("postgres://u:se@cret@h/d", "postgres://u:***@h/d"),
            ("postgres://u@h/d", "postgres://u@h/d"),
            ("postgres://u:se/cret@h/d", "postgres://***"),
            ("postgres://u@h/d?password=secret", "postgres://u@h/d?***"),
            ("host=h password=secret", "***"),
            ("host=h user=u", "host=h user=u"),
        ] {
            assert_eq!(mask_dsn(text), expected);
        }
    }

    #[test]
    fn each_line_says_where_it_stands() {
        let mut layers = Layers::default();
        layers.add_flag("--source", "source", "postgres://u:p@h/d");
        layers.add_environment("PENSTOCK__DATABASE__PASSWORD", "DATABASE__PASSWORD", "p");
        layers.add_flag("f", "kafka_properties.sasl.password", "p");
        layers.add_flag("f", "kafka_properties.sasl.username", "u");
        let expected = "database.password = \"***\" \
                        # environment variable PENSTOCK__DATABASE__PASSWORD\n\
                        kafka_properties.sasl.password = \"***\" # flag f\n\
                        kafka_properties.sasl.username = \"u\" # flag f\n\
                        source = \"postgres://u:***@h/d\" # flag --source\n";
        assert_eq!(print(&layers), expected);
    }
}
