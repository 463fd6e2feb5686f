//! Text for people.

/// Returns whether the user allows colour at all.
pub fn wants_colour() -> bool {
    service_kit::variable("NO_COLOR").is_none()
        && service_kit::variable("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// Breaks text at spaces into lines of at most `width` characters; a longer word stands alone.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let length = line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && length > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}
