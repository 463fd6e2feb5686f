//! The only place that reads the environment.

/// Returns the variables that begin with `prefix`, as `(name, rest of the name, value)`, sorted.
/// One whose name or value is no Unicode is left out.
pub fn environment(prefix: &str) -> Vec<(String, String, String)> {
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        let rest = name.strip_prefix(prefix)?.to_owned();
        Some((name, rest, value.into_string().ok()?))
    });
    let mut variables: Vec<_> = variables.filter(|(_, rest, _)| !rest.is_empty()).collect();
    variables.sort_unstable();
    variables
}

/// Returns a variable that is set and not empty.
#[expect(clippy::disallowed_methods, reason = "this is service-kit")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
