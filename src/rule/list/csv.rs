//! Comma-separated values, as RFC 4180 has them: quoted fields may hold commas, line breaks and doubled quotes.

/// A row, and the line that it starts in.
pub(super) type Row = (usize, Vec<String>);

/// The rows of a text; rows without any sign are left out.
///
/// # Errors
/// The line of a quote that is never closed.
pub(super) fn rows(text: &str) -> Result<Vec<Row>, usize> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut start) = (1, 1);
    let mut quoted = None;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        line += usize::from(char == '\n');
        match (char, quoted) {
            ('"', Some(_)) if chars.next_if_eq(&'"').is_some() => field.push('"'),
            ('"', Some(_)) => quoted = None,
            (char, Some(_)) => field.push(char),
            ('"', None) if field.trim().is_empty() => {
                field.clear();
                quoted = Some(line);
            }
            (',', None) => row.push(std::mem::take(&mut field)),
            ('\r', None) => {}
            ('\n', None) => {
                row.push(std::mem::take(&mut field));
                push(&mut rows, start, std::mem::take(&mut row));
                start = line;
            }
            (char, None) => field.push(char),
        }
    }
    row.push(field);
    push(&mut rows, start, row);
    quoted.map_or(Ok(rows), Err)
}

fn push(rows: &mut Vec<Row>, line: usize, row: Vec<String>) {
    if row.iter().any(|field| !field.trim().is_empty()) {
        rows.push((line, row.into_iter().map(|field| field.trim().to_owned()).collect()));
    }
}
