//! Secrets in files, as orchestrators mount them.

use std::path::Path;

use crate::report::Problem;

/// Reads the file that the setting `name` names, without the end of its last line.
///
/// # Errors
/// If the file cannot be read or is empty; names setting and file.
pub fn read_secret(name: &str, path: &Path) -> Result<String, Problem> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let what = format!("cannot read the file {} of \"{name}\"", path.display());
        let fix = format!("Give {name} the path of a file that this user may read.");
        Problem::usage(what, error.to_string(), fix)
    })?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        let what = format!("the file {} of \"{name}\" is empty", path.display());
        let fix = format!("Write the secret into it, or remove {name}.");
        return Err(Problem::usage(what, "it should hold a secret", fix));
    }
    Ok(secret.to_owned())
}

/// Returns the secret that is given as a text or in a file, each by its setting's name.
///
/// # Errors
/// If both are given, or as [`read_secret`].
pub fn secret(
    (name, text): (&str, Option<&str>),
    (file_name, path): (&str, Option<&Path>),
) -> Result<Option<String>, Problem> {
    match (text, path) {
        (Some(_), Some(_)) => Err(Problem::usage(
            format!("\"{name}\" and \"{file_name}\" cannot both be given"),
            "each says what the password is",
            "Remove one of them.",
        )),
        (Some(text), None) => Ok(Some(text.to_owned())),
        (None, Some(path)) => read_secret(file_name, path).map(Some),
        (None, None) => Ok(None),
    }
}
