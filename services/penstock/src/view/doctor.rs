//! What `penstock doctor` found, with the SQL that mends it.

use cdc_source_postgres::preflight::{Finding, Severity};

use crate::view::{Paint, wrap};

/// Renders findings, each ended with its remedy, and a last line that sums them up.
pub fn render(findings: &[Finding], paint: Paint) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.severity {
            Severity::Ok => paint.good("✓"),
            Severity::Warning => paint.warn("!"),
            Severity::Error => paint.bad("✗"),
        };
        let what = wrap(&finding.what, 76).join("\n    ");
        text.push_str(&format!("  {mark} {what}\n"));
        if finding.severity == Severity::Ok {
            continue;
        }
        let why = wrap(finding.why, 70).join("\n      ");
        text.push_str(&paint.dim(&format!("      {why}\n")));
        if let Some(sql) = &finding.fix_sql {
            // Never wrapped: it is there to be copied.
            text.push_str(&format!("      fix: {}\n", paint.head(sql)));
        }
    }
    let number = |severity| findings.iter().filter(|f| f.severity == severity).count();
    let (errors, warnings) = (number(Severity::Error), number(Severity::Warning));
    let verdict = match (errors, warnings) {
        (0, 0) => paint.good("ready to capture"),
        (0, warnings) => {
            paint.warn(&format!("ready to capture, with {}", plural(warnings, "warning")))
        }
        (errors, _) => paint.bad(&format!("not ready: {} to mend", plural(errors, "error"))),
    };
    text.push_str(&format!("\n{verdict}\n"));
    text
}

/// Renders findings as JSON.
pub fn json(findings: &[Finding]) -> serde_json::Value {
    let finding = |finding: &Finding| {
        let severity = match finding.severity {
            Severity::Ok => "ok",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        serde_json::json!({
            "code": finding.code,
            "severity": severity,
            "what": finding.what,
            "why": finding.why,
            "fix_sql": finding.fix_sql,
        })
    };
    findings.iter().map(finding).collect()
}

fn plural(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}
