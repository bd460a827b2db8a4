//! The page of a draw: what was promised before, what came out, and a button that computes it again in the visitor's
//! own browser, which also verifies that the visitor's number is in it. It says as plainly what it does not prove.

use axum::body::Body;
use axum::extract::State as AppState;
use axum::http::{Response, StatusCode};
use serde::Serialize;

use super::frame::{Frame, PageLanguage, page};
use super::words;
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, Result};
use crate::platform::http::Path;
use crate::platform::texts::{Language, filled, grouped};
use crate::waiting_room::draw::ALGORITHM;
use crate::waiting_room::model::{BeaconKind, DrawShown};
use crate::waiting_room::reply::PublicState;
use crate::waiting_room::{beacon, state};

#[derive(askama::Template)]
#[template(path = "draw.html")]
pub struct DrawPage {
    frame: Frame,
    code: String,
    name: String,
    run: u32,
    rehearsal: bool,
    /// Published before the draw; empty: there is none.
    before: Vec<Value>,
    after: Vec<Value>,
    m: u32,
    root: String,
    weak: bool,
    proves: Vec<&'static str>,
    rests: Vec<&'static str>,
    json: String,
}

struct Value {
    label: &'static str,
    text: String,
    /// A hash: set in a narrow face, and never read out letter by letter.
    is_hash: bool,
}

#[derive(Serialize)]
struct Published<'a> {
    exhibition_code: &'a str,
    run: u32,
    algorithm: &'static str,
    #[serde(flatten)]
    draw: &'a DrawShown,
}

pub async fn draw(
    AppState(app): AppState<App>,
    PageLanguage(language): PageLanguage,
    Path(code): Path<String>,
) -> Result<Response<Body>> {
    let e = app.catalogue.current().by_code(&code)?;
    page(&DrawPage::new(language, &e, &state::public(&app, &e))?, StatusCode::OK)
}

impl DrawPage {
    pub fn new(language: Language, e: &Exhibition, public: &PublicState) -> Result<DrawPage> {
        let draw = &public.draw;
        let (name, title) =
            (language.pick(&e.name_ko, &e.name_en).to_owned(), words::text(language, "page.draw.title"));
        let promised = !draw.seed_hash.is_empty();
        let published = Published { exhibition_code: &e.code, run: public.run, algorithm: ALGORITHM, draw };
        Ok(DrawPage {
            frame: Frame::new(language, format!("{title} · {name}"), format!("/{}/queue/draw", e.code)),
            code: e.code.clone(),
            name,
            run: public.run,
            rehearsal: public.rehearsal,
            before: if promised { before(language, draw) } else { Vec::new() },
            after: if draw.seed.is_empty() { Vec::new() } else { after(language, draw) },
            m: draw.m,
            root: draw.root.clone(),
            weak: draw.weak,
            proves: proves(draw).iter().map(|key| words::text(language, key)).collect(),
            rests: rests(draw).iter().map(|key| words::text(language, key)).collect(),
            json: data_block(&published)?,
        })
    }
}

/// JSON that no HTML parser finds an end tag in.
fn data_block(value: &impl Serialize) -> Result<String> {
    let json = serde_json::to_string(value).map_err(Error::bug)?;
    Ok(json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"))
}

fn hash(language: Language, key: &'static str, text: &str) -> Value {
    Value { label: words::text(language, key), text: text.to_owned(), is_hash: true }
}

fn before(language: Language, draw: &DrawShown) -> Vec<Value> {
    let source = match draw.beacon {
        BeaconKind::Local => "page.draw.beacon.local",
        BeaconKind::Drand => "page.draw.beacon.drand",
        BeaconKind::Manual => "page.draw.beacon.manual",
    };
    let text = filled(language, source, &[("round", grouped(draw.round))]);
    let mut values = vec![
        hash(language, "page.draw.seed_hash", &draw.seed_hash),
        Value { label: words::text(language, "page.draw.beacon"), text, is_hash: false },
    ];
    if !draw.root.is_empty() {
        let text = filled(language, "page.draw.m_value", &[("count", grouped(draw.m.into()))]);
        values.push(Value { label: words::text(language, "page.draw.m"), text, is_hash: false });
        values.push(hash(language, "page.draw.root", &draw.root));
    }
    values
}

fn after(language: Language, draw: &DrawShown) -> Vec<Value> {
    let mut values = Vec::new();
    if !draw.beacon_value.is_empty() {
        values.push(hash(language, "page.draw.beacon_value", &draw.beacon_value));
    }
    values.push(hash(language, "page.draw.server_seed", &draw.server_seed));
    values.push(hash(language, "page.draw.seed", &draw.seed));
    values
}

fn proves(draw: &DrawShown) -> Vec<&'static str> {
    let mut keys = vec!["page.draw.proves.seed", "page.draw.proves.root", "page.draw.proves.order"];
    if beacon::is_verified(draw.beacon) && !draw.weak {
        keys.push("page.draw.proves.drand");
    }
    keys
}

fn rests(draw: &DrawShown) -> Vec<&'static str> {
    let mut keys = vec!["page.draw.rests.people"];
    match draw.beacon {
        _ if draw.weak => keys.insert(0, "page.draw.rests.weak"),
        BeaconKind::Local => keys.insert(0, "page.draw.rests.local"),
        BeaconKind::Manual => keys.insert(0, "page.draw.rests.manual"),
        BeaconKind::Drand => {}
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_block_cannot_end_early() {
        let block = data_block(&"</script><!--&").unwrap();
        assert!(!block.contains(['<', '>', '&']), "{block}");
        assert_eq!(serde_json::from_str::<String>(&block).unwrap(), "</script><!--&");
    }

    #[test]
    fn what_is_not_proved_is_said() {
        let of = |beacon, weak| DrawShown { beacon, weak, ..DrawShown::default() };
        assert!(rests(&of(BeaconKind::Local, false)).contains(&"page.draw.rests.local"));
        assert!(rests(&of(BeaconKind::Manual, false)).contains(&"page.draw.rests.manual"));
        assert!(rests(&of(BeaconKind::Drand, true)).contains(&"page.draw.rests.weak"));
        assert!(!proves(&of(BeaconKind::Drand, true)).contains(&"page.draw.proves.drand"));
        assert!(proves(&of(BeaconKind::Drand, false)).contains(&"page.draw.proves.drand"));
    }
}
