//! Spreadsheets (.xlsx) that are sent while they are written: a zip that never goes back, so that a book of a million rows
//! takes as much memory as one page of them, and no file anywhere. Only what a table needs; why by ourselves:
//! docs/decisions/0018-looking-after-orders.md.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::civil::{Date, Time, date};
use zip::write::{SimpleFileOptions, StreamWriter, ZipWriter};

use super::table::Cell;

/// Rows that spreadsheets read of one sheet, its head among them. What is more goes on in another sheet.
pub const SHEET_ROWS_MAX: u32 = 1_048_576;
/// Days are counted from here, since spreadsheets believe in a 29 February 1900.
const DAY_NONE: Date = date(1899, 12, 30);
const DAY_S: f64 = 86_400.0;

const NAMESPACE: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
const RELATIONS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n";
/// Whatever is called .xml is a sheet, but for these: so it can be said before it is known how many there are.
const TYPES: &str = "<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\">\
    <Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>\
    <Default Extension=\"xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml\"/>\
    <Override PartName=\"/xl/workbook.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml\"/>\
    <Override PartName=\"/xl/styles.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml\"/></Types>";
/// `cellXfs` in the order of `Style`.
const STYLES: &str = "<numFmts count=\"3\"><numFmt numFmtId=\"164\" formatCode=\"yyyy\\-mm\\-dd\"/>\
    <numFmt numFmtId=\"165\" formatCode=\"yyyy\\-mm\\-dd\\ hh:mm:ss\"/><numFmt numFmtId=\"166\" formatCode=\"hh:mm\"/></numFmts>\
    <fonts count=\"2\"><font><sz val=\"11\"/><name val=\"Calibri\"/></font><font><b/><sz val=\"11\"/><name val=\"Calibri\"/></font></fonts>\
    <fills count=\"2\"><fill><patternFill patternType=\"none\"/></fill><fill><patternFill patternType=\"gray125\"/></fill></fills>\
    <borders count=\"1\"><border><left/><right/><top/><bottom/><diagonal/></border></borders>\
    <cellStyleXfs count=\"1\"><xf numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\"/></cellStyleXfs>\
    <cellXfs count=\"7\"><xf numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\"/>\
    <xf numFmtId=\"49\" fontId=\"1\" fillId=\"0\" borderId=\"0\" xfId=\"0\" applyNumberFormat=\"1\" applyFont=\"1\"/>\
    <xf numFmtId=\"49\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\" applyNumberFormat=\"1\"/>\
    <xf numFmtId=\"3\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\" applyNumberFormat=\"1\"/>\
    <xf numFmtId=\"164\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\" applyNumberFormat=\"1\"/>\
    <xf numFmtId=\"165\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\" applyNumberFormat=\"1\"/>\
    <xf numFmtId=\"166\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\" applyNumberFormat=\"1\"/></cellXfs>\
    <cellStyles count=\"1\"><cellStyle name=\"Normal\" xfId=\"0\" builtinId=\"0\"/></cellStyles>";
/// The head stays in sight.
const SHEET_BEGINS: &str = "<sheetViews><sheetView workbookViewId=\"0\"><pane ySplit=\"1\" topLeftCell=\"A2\" activePane=\"bottomLeft\" \
    state=\"frozen\"/></sheetView></sheetViews><sheetFormatPr defaultColWidth=\"20\" defaultRowHeight=\"15\"/><sheetData>";

#[derive(Clone, Copy)]
enum Style {
    Head = 1,
    Text,
    Won,
    Day,
    Moment,
    Time,
}

/// What is written and not yet taken away.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A book of one table, on as many sheets as it needs. Compressing is work: not for a thread that others wait for.
pub struct Book {
    zip: ZipWriter<StreamWriter<Written>>,
    written: Written,
    name: String,
    head: Vec<String>,
    sheets: usize,
    /// Of the sheet that is being written.
    rows: u32,
    rows_max: u32,
}

impl Book {
    /// `name`: of its sheets, which are counted from the second on.
    pub fn new(name: &str, head: &[&str]) -> io::Result<Book> {
        Book::of_sheets(name, head, SHEET_ROWS_MAX)
    }

    fn of_sheets(name: &str, head: &[&str], rows_max: u32) -> io::Result<Book> {
        let written = Written::default();
        let zip = ZipWriter::new_stream(written.clone());
        let head = head.iter().map(|&cell| cell.to_owned()).collect();
        let mut book = Book { zip, written, name: name.to_owned(), head, sheets: 0, rows: 0, rows_max };
        let relation =
            format!("<Relationship Id=\"rId1\" Type=\"{RELATIONS}/officeDocument\" Target=\"xl/workbook.xml\"/>");
        book.part("[Content_Types].xml", TYPES)?;
        book.part("_rels/.rels", &relations(&relation))?;
        book.part("xl/styles.xml", &format!("<styleSheet xmlns=\"{NAMESPACE}\">{STYLES}</styleSheet>"))?;
        book.begin_sheet()?;
        Ok(book)
    }

    fn part(&mut self, name: &str, body: &str) -> io::Result<()> {
        self.zip.start_file(name, SimpleFileOptions::default())?;
        self.zip.write_all(XML.as_bytes())?;
        self.zip.write_all(body.as_bytes())
    }

    fn begin_sheet(&mut self) -> io::Result<()> {
        self.sheets += 1;
        self.rows = 0;
        let name = format!("xl/worksheets/sheet{}.xml", self.sheets);
        self.part(&name, &format!("<worksheet xmlns=\"{NAMESPACE}\">{SHEET_BEGINS}"))?;
        let mut head = String::new();
        for cell in &self.head {
            push_text(&mut head, cell, Style::Head);
        }
        self.row(&head)
    }

    fn end_sheet(&mut self) -> io::Result<()> {
        self.zip.write_all(b"</sheetData></worksheet>")
    }

    fn row(&mut self, cells: &str) -> io::Result<()> {
        self.rows += 1;
        write!(self.zip, "<row r=\"{}\">{cells}</row>", self.rows)
    }

    /// Adds rows; what can be sent by now.
    pub fn add(&mut self, rows: impl IntoIterator<Item = Vec<Cell>>) -> io::Result<Vec<u8>> {
        let mut cells = String::new();
        for row in rows {
            if self.rows >= self.rows_max {
                self.end_sheet()?;
                self.begin_sheet()?;
            }
            cells.clear();
            for cell in &row {
                push(&mut cells, cell);
            }
            self.row(&cells)?;
        }
        Ok(self.written.take())
    }

    /// The rest of the file.
    pub fn end(mut self) -> io::Result<Vec<u8>> {
        self.end_sheet()?;
        let (mut sheets, mut targets) = (String::new(), String::new());
        for n in 1..=self.sheets {
            let name = if n == 1 { self.name.clone() } else { format!("{} {n}", self.name) };
            sheets.push_str("<sheet name=\"");
            escape(&mut sheets, &name);
            sheets.push_str(&format!("\" sheetId=\"{n}\" r:id=\"rId{n}\"/>"));
            let target = format!("worksheets/sheet{n}.xml");
            targets
                .push_str(&format!("<Relationship Id=\"rId{n}\" Type=\"{RELATIONS}/worksheet\" Target=\"{target}\"/>"));
        }
        let styles = self.sheets + 1;
        targets
            .push_str(&format!("<Relationship Id=\"rId{styles}\" Type=\"{RELATIONS}/styles\" Target=\"styles.xml\"/>"));
        let names = format!("xmlns=\"{NAMESPACE}\" xmlns:r=\"{RELATIONS}\"");
        self.part("xl/workbook.xml", &format!("<workbook {names}><sheets>{sheets}</sheets></workbook>"))?;
        self.part("xl/_rels/workbook.xml.rels", &relations(&targets))?;
        let Book { zip, written, .. } = self;
        zip.finish()?;
        Ok(written.take())
    }
}

fn relations(all: &str) -> String {
    format!(
        "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">{all}</Relationships>"
    )
}

fn push(out: &mut String, cell: &Cell) {
    match cell {
        Cell::Empty => out.push_str("<c/>"),
        Cell::Text(text) => push_text(out, text, Style::Text),
        Cell::Number(number) => out.push_str(&format!("<c><v>{number}</v></c>")),
        Cell::Won(won) => push_number(out, won, Style::Won),
        Cell::Day(day) => push_number(out, days(*day), Style::Day),
        Cell::Time(time) => push_number(out, part_of_day(*time), Style::Time),
        Cell::Moment(at) => push_number(out, f64::from(days(at.date())) + part_of_day(at.time()), Style::Moment),
    }
}

fn push_number(out: &mut String, number: impl std::fmt::Display, style: Style) {
    out.push_str(&format!("<c s=\"{}\"><v>{number}</v></c>", style as u8));
}

/// Text of the cell's own kind: whatever it begins with, it is no formula, and stays none when somebody edits it.
fn push_text(out: &mut String, text: &str, style: Style) {
    out.push_str(&format!("<c t=\"inlineStr\" s=\"{}\"><is><t xml:space=\"preserve\">", style as u8));
    escape(out, text);
    out.push_str("</t></is></c>");
}

fn escape(out: &mut String, text: &str) {
    for (at, c) in text.char_indices() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // `_x0041_` would be read as a letter.
            '_' if text[at + 1..].starts_with('x') => out.push_str("_x005F_"),
            '\t' | '\n' => out.push(c),
            // No XML can say these.
            c if c.is_ascii_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

fn days(day: Date) -> i32 {
    day.since(DAY_NONE).map_or(0, |span| span.get_days())
}

fn part_of_day(time: Time) -> f64 {
    let seconds = i32::from(time.hour()) * 3600 + i32::from(time.minute()) * 60 + i32::from(time.second());
    f64::from(seconds) / DAY_S
}

#[cfg(test)]
mod tests {
    use calamine::{Data, Reader};
    use jiff::civil::time;

    use super::*;

    type Sheets = Vec<(String, Vec<Vec<Data>>)>;

    fn read(bytes: Vec<u8>) -> Sheets {
        let mut book: calamine::Xlsx<_> = calamine::open_workbook_from_rs(io::Cursor::new(bytes)).unwrap();
        let rows = |range: calamine::Range<Data>| range.rows().map(<[Data]>::to_vec).collect();
        book.worksheets().into_iter().map(|(name, range)| (name, rows(range))).collect()
    }

    fn text(text: &str) -> Data {
        Data::String(text.into())
    }

    #[test]
    fn cells_are_of_their_kind_and_no_formulas() {
        let mut book = Book::new("주문", &["글", "won", "at", "day", "time", "n"]).unwrap();
        let moment = date(2026, 12, 24).at(18, 30, 5, 0);
        let nothing = || Cell::Empty;
        let rows = vec![
            vec![
                Cell::text("=1+1"),
                Cell::Won(18_000),
                Cell::Moment(moment),
                Cell::Day(date(2026, 12, 25)),
                Cell::Time(time(9, 30, 0, 0)),
                Cell::Number(2),
            ],
            vec![
                Cell::text("+82 <&> \"한글\" _x\u{1} two\nlines"),
                nothing(),
                nothing(),
                nothing(),
                nothing(),
                Cell::Number(-1),
            ],
            vec![Cell::text("@SUM(A1)"), nothing(), nothing(), nothing(), nothing(), Cell::Number(0)],
        ];
        let bytes = [book.add(rows).unwrap(), book.end().unwrap()].concat();
        let sheets = read(bytes);
        let (name, rows) = &sheets[0];
        assert_eq!((sheets.len(), name.as_str(), rows.len()), (1, "주문", 4));
        assert_eq!(rows[0][..2], [text("글"), text("won")]);
        assert_eq!((&rows[1][0], &rows[3][0]), (&text("=1+1"), &text("@SUM(A1)")));
        assert_eq!((&rows[1][1], &rows[1][5]), (&Data::Float(18_000.0), &Data::Float(2.0)));
        for (cell, days) in
            [(&rows[1][2], 46_380.0 + 66_605.0 / DAY_S), (&rows[1][3], 46_381.0), (&rows[1][4], 0.395_833_333)]
        {
            let Data::DateTime(at) = cell else { panic!("no date: {cell:?}") };
            assert!((at.as_f64() - days).abs() < 1e-8, "{at:?} {days}");
        }
        assert_eq!((&rows[2][1], &rows[2][5]), (&Data::Empty, &Data::Float(-1.0)));
        let Data::String(odd) = &rows[2][0] else { panic!("{:?}", rows[2]) };
        assert!(odd.starts_with("+82 <&> \"한글\" _") && odd.ends_with("x\u{fffd} two\nlines"), "{odd}");
    }

    #[test]
    fn what_a_sheet_cannot_hold_goes_on_in_the_next() {
        let mut book = Book::of_sheets("a", &["n"], 4).unwrap();
        let mut bytes = Vec::new();
        for n in 0..8 {
            bytes.extend(book.add([vec![Cell::Number(n)]]).unwrap());
        }
        bytes.extend(book.end().unwrap());
        let sheets = read(bytes);
        let names: Vec<&str> = sheets.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "a 2", "a 3"]);
        let all: Vec<&Data> = sheets.iter().flat_map(|(_, rows)| rows.iter().skip(1).flatten()).collect();
        assert_eq!(all, (0..8).map(|n| Data::Float(f64::from(n))).collect::<Vec<_>>().iter().collect::<Vec<_>>());
        assert!(sheets.iter().all(|(_, rows)| rows[0] == [text("n")] && rows.len() <= 4));
    }

    #[test]
    fn pages_are_sent_as_they_are_written() {
        let mut book = Book::new("a", &["n"]).unwrap();
        let page = |from: i64| (from..from + 20_000).map(|n| vec![Cell::text(format!("{:x}", n * 0x9e37_79b9))]);
        let sizes: Vec<usize> = (0..5).map(|n| book.add(page(n * 20_000)).unwrap().len()).collect();
        assert!(sizes.iter().all(|size| *size > 10_000), "{sizes:?}");
        assert!(book.end().unwrap().len() < 100_000);
    }
}
