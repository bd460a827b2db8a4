//! Comma-separated values as spreadsheets read them.

/// Tells Excel that what follows is UTF-8; without it Korean is unreadable there.
const BOM: char = '\u{feff}';

/// The first line.
pub fn head(names: &[&str]) -> String {
    format!("{BOM}{}", line(names))
}

pub fn line(cells: &[&str]) -> String {
    let mut out = String::new();
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push(&mut out, cell);
    }
    out.push_str("\r\n");
    out
}

fn push(out: &mut String, cell: &str) {
    // A cell that begins like a formula is one, to a spreadsheet.
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if !formula && !cell.contains([',', '"', '\n', '\r']) {
        out.push_str(cell);
        return;
    }
    out.push('"');
    if formula {
        out.push('\'');
    }
    out.push_str(&cell.replace('"', "\"\""));
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_what_they_say_and_no_formulas() {
        assert_eq!(line(&["a", "한글", ""]), "a,한글,\r\n");
        assert_eq!(line(&["a,b", "say \"no\"", "two\nlines"]), "\"a,b\",\"say \"\"no\"\"\",\"two\nlines\"\r\n");
        assert_eq!(line(&["=1+1", "-5", "@x", "+82"]), "\"'=1+1\",\"'-5\",\"'@x\",\"'+82\"\r\n");
        assert!(head(&["at"]).starts_with('\u{feff}'));
    }
}
