//! The PDF as the programs that people have see it.

use std::process::Command;

use super::*;

const CODE: &str = "AD1.AQEBWlpaWlpaWlpaWlpaWlpaWgABAAAAAQnYCdjDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PD";

fn sheet<'a>(exhibition: &'a str, pages: &'a [Page<'a>]) -> Sheet<'a> {
    let note = "입구에서 이 코드를 보여 주세요.";
    Sheet { language: "ko", title: exhibition, exhibition, pages, note }
}

fn page<'a>(heading: &'a str, text: &'a str) -> Page<'a> {
    let fact = |label, value| Fact { label, value };
    let visit = fact("관람", "2026년 12월 3일 (목) 10:00–11:00");
    let facts = [fact("입장권", text), visit, fact("장소", text), fact("예매 번호", "A7K2-9MX4")];
    Page { heading, facts, mark: Mark::Code(CODE) }
}

fn a_pdf(text: &str) -> Vec<u8> {
    tickets(&sheet(text, &[page("티켓 1 / 1", text)])).unwrap()
}

/// What a program says about a PDF; None where the program is missing, which CI may not be.
fn asked(program: &str, name: &str, pdf: &[u8], before: &[&str], after: &[&str]) -> Option<String> {
    let file = std::env::temp_dir().join(format!("admit-{name}-{}.pdf", std::process::id()));
    std::fs::write(&file, pdf).unwrap();
    let output = Command::new(program).args(before).arg(&file).args(after).output();
    let _ = std::fs::remove_file(&file);
    match output {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            assert!(std::env::var_os("CI").is_none(), "{program} is missing");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn every_ticket_has_its_page_and_no_sheet_is_empty() {
    let pages: Vec<Page> = (0..10).map(|_| page("티켓", "어른")).collect();
    let pdf = tickets(&sheet("빛", &pages)).unwrap();
    let text = String::from_utf8_lossy(&pdf);
    assert!(text.contains("/Count 10"));
    assert_eq!(text.matches("/Type /Page\n").count(), 10);
    assert_eq!(pdf, tickets(&sheet("빛", &pages)).unwrap());
    assert!(tickets(&sheet("빛", &[])).is_err());
    let too_many: Vec<Page> = (0..=PAGES_MAX).map(|_| page("", "")).collect();
    assert!(tickets(&sheet("빛", &too_many)).is_err());
}

#[test]
fn text_can_be_copied() {
    // The last two are decomposed, as some keyboards write them.
    let pdf = a_pdf("빛을 그리다: 《똠방각하》 國寶展 Café, 「한\u{1100}\u{1173}\u{11af} e\u{301}」");
    let Some(text) = asked("pdftotext", "text", &pdf, &["-layout"], &["-"]) else { return };
    for part in [
        "티켓 1 / 1",
        "빛을 그리다: 《똠방각하》 國寶展 Café,",
        "「한글 é」",
        "2026년 12월 3일 (목) 10:00–11:00",
        "A7K2-9MX4",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let fonts = asked("pdffonts", "fonts", &pdf, &[], &[]).unwrap_or_default();
    assert_eq!(fonts.matches("CID Type 0C       Identity-H       yes yes yes").count(), 3, "{fonts}");
}

#[test]
fn no_name_panics_or_leaves_the_page() {
    let names = [
        String::new(),
        " \n\t".to_owned(),
        "가".repeat(200),
        "빛과 그림자 ".repeat(200),
        "W".repeat(5_000),
        "i\u{301}\u{302}\u{303}".repeat(300),
        "👩‍🎨🇰🇷❤️ 전시".to_owned(),
        "國寶 הצגה 龘 นิทรรศการ \u{10ffff}".to_owned(),
        (0..0xa0_u8).map(char::from).collect(),
        "\u{202e}거꾸로\u{200b}\u{feff}".to_owned(),
        (1..=600).map(|n| if n % 7 == 0 { ' ' } else { char::from_u32(0xac00 + n * 18).unwrap_or(' ') }).collect(),
    ];
    for name in names {
        let pdf = a_pdf(&name);
        let Some(boxes) = asked("pdftotext", "boxes", &pdf, &["-bbox"], &["-"]) else { continue };
        let edge = |line: &str, name: &str| -> f32 {
            line.split(&format!("{name}=\"")).nth(1).and_then(|v| v.split('"').next()?.parse().ok()).unwrap()
        };
        for line in boxes.lines().filter(|line| line.contains("<word")) {
            assert!(edge(line, "xMin") >= MARGIN - 2.0 && edge(line, "xMax") <= PAGE_W - MARGIN + 2.0, "{line}");
            let (top, bottom) = (edge(line, "yMin"), edge(line, "yMax"));
            let (code_top, code_end) = (PAGE_H - FACTS_BOTTOM, PAGE_H - CODE_BOTTOM);
            assert!(top > 30.0 && (bottom < code_top + 4.0 || top > code_end) && bottom < PAGE_H - 30.0, "{line}");
        }
    }
}

#[test]
fn a_ticket_without_a_code_says_why() {
    let without = Page { mark: Mark::Words("입장 완료"), ..page("티켓 1 / 1", "어른") };
    let pdf = tickets(&sheet("빛", &[without])).unwrap();
    assert!(pdf.len() + 1_000 < a_pdf("빛").len(), "a code was drawn");
    if let Some(text) = asked("pdftotext", "words", &pdf, &[], &["-"]) {
        assert!(text.contains("입장 완료") && !text.contains("보여 주세요"), "{text}");
    }
}

#[test]
fn zbarimg_reads_a_printed_page() {
    let image = std::env::temp_dir().join(format!("admit-page-{}", std::process::id()));
    let root = image.to_str().unwrap();
    let drawn = asked("pdftoppm", "page", &a_pdf("빛"), &["-r", "150", "-png", "-singlefile"], &[root]);
    if drawn.is_some() {
        let png = image.with_extension("png");
        let output = Command::new("zbarimg").args(["--quiet", "--raw"]).arg(&png).output();
        let _ = std::fs::remove_file(&png);
        match output {
            Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), CODE),
            Err(error) => assert!(std::env::var_os("CI").is_none(), "{error}"),
        }
    }
}
