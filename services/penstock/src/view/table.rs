//! An aligned table: columns as wide as they need, the widest narrowed until the line fits.

use crate::view::{Paint, WIDTH, fold};

const GAP: &str = "  ";

/// No column is narrowed below this.
const COLUMN_MIN: usize = 6;

/// A column's heading and how its cells stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The heading.
    pub name: String,
    /// Numbers stand to the right.
    pub is_right: bool,
}

impl Column {
    /// Makes a column of text.
    pub fn left(name: &str) -> Self {
        Self { name: name.to_owned(), is_right: false }
    }

    /// Makes a column of numbers.
    pub fn right(name: &str) -> Self {
        Self { name: name.to_owned(), is_right: true }
    }
}

/// Renders the table, each line ended; columns that do not fit at all fold into the next ones'
/// space from the widest on.
pub fn render(columns: &[Column], rows: &[Vec<String>], paint: Paint) -> String {
    let widths = widths(columns, rows);
    let mut text = String::new();
    let heads: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    text.push_str(&paint.head(&line(columns, &widths, &heads)));
    text.push('\n');
    let rules: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
    text.push_str(&paint.dim(&rules.join(GAP)));
    text.push('\n');
    for row in rows {
        text.push_str(&line(columns, &widths, row));
        text.push('\n');
    }
    text
}

fn line(columns: &[Column], widths: &[usize], cells: &[String]) -> String {
    let cells = columns.iter().zip(widths).zip(cells).map(|((column, width), cell)| {
        let cell = fold(cell, *width);
        if column.is_right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
    });
    cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
}

fn widths(columns: &[Column], rows: &[Vec<String>]) -> Vec<usize> {
    let needed = |index: usize, column: &Column| {
        let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).max(column.name.chars().count())
    };
    let mut widths: Vec<usize> = columns.iter().enumerate().map(|(i, c)| needed(i, c)).collect();
    let gaps = GAP.len() * columns.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > WIDTH {
        match widths.iter_mut().max() {
            Some(widest) if *widest > COLUMN_MIN => *widest -= 1,
            _ => break,
        }
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_table_fits_eighty_columns() {
        let columns = [Column::right("id"), Column::left("name"), Column::left("note")];
        let rows = [
            vec!["1".to_owned(), "Ann".to_owned(), "x".repeat(200)],
            vec!["20".to_owned(), "Bob".to_owned(), "y".to_owned()],
        ];
        let text = render(&columns, &rows, Paint::plain());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");
        assert_eq!(lines[0], "id  name  note");
        assert!(lines[2].starts_with(" 1  Ann   xxx") && lines[2].ends_with('…'), "{text}");
        assert_eq!(lines[3], "20  Bob   y");
    }
}
