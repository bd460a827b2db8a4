//! The address of somebody who asked to be told: sealed from the moment it came until it is used or erased.

use serde::{Deserialize, Serialize};

use super::model::Lane;
use super::pg::Notice;
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::texts::Language;

#[derive(Serialize, Deserialize)]
pub struct Wish {
    pub email: String,
    language: String,
}

impl Wish {
    pub fn language(&self) -> Language {
        Language::from_tag(&self.language)
    }
}

/// For the place `number` of a lane; `pg::park` stores it.
pub fn seal(
    app: &App,
    exhibition_id: i32,
    run: u32,
    (lane, number): (Lane, u32),
    email: &str,
    language: Language,
) -> Result<Notice> {
    let wish = Wish { email: email.to_owned(), language: language.tag().to_owned() };
    let plain = serde_json::to_vec(&wish).map_err(Error::bug)?;
    let (key_id, sealed) = app.secrets.seal(&about(exhibition_id, run, lane, number), &plain)?;
    Ok(Notice { code: String::new(), exhibition_id, run, lane, number, key_id, sealed })
}

pub fn open(app: &App, notice: &Notice) -> Result<Wish> {
    let about = about(notice.exhibition_id, notice.run, notice.lane, notice.number);
    serde_json::from_slice(&app.secrets.open(&notice.key_id, &about, &notice.sealed)?).map_err(Error::bug)
}

/// What a sealed address is bound to: the place, so that a second address for it opens like the first.
fn about(exhibition_id: i32, run: u32, lane: Lane, number: u32) -> [u8; 23] {
    let mut about = *b"queue turn\0\0\0\0\0\0\0\0\0\0\0\0\0";
    about[10..14].copy_from_slice(&exhibition_id.to_be_bytes());
    about[14..18].copy_from_slice(&run.to_be_bytes());
    about[18] = lane as u8;
    about[19..].copy_from_slice(&number.to_be_bytes());
    about
}
