//! Messages on the live board: the youngest of the counts that the workers told.

use serde::Serialize;
use utoipa::ToSchema;

use super::Heard;

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MessagesLive {
    /// Wait to be sent; those that fail among them.
    pending: i64,
    /// Were tried in vain, and will be tried again.
    failing: i64,
    /// Were given up.
    dead: i64,
    set_aside: i64,
    /// How long ago they were counted: some two seconds. [ms]
    age_ms: i64,
}

/// None: no process that counts was heard of lately.
pub fn live(heard: &Heard, exhibition_id: i32, now_ms: i64) -> Option<MessagesLive> {
    let counted =
        heard.iter().filter_map(|(_, picture)| picture.counted.as_ref()).max_by_key(|counted| counted.at_ms)?;
    let of = counted.messages.get(&exhibition_id).copied().unwrap_or_default();
    Some(MessagesLive {
        pending: of.pending,
        failing: of.failing,
        dead: of.dead,
        set_aside: of.set_aside,
        age_ms: now_ms - counted.at_ms,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::observability::pulse::{Counted, Messages, Picture};

    fn told(at_ms: i64, dead: i64) -> Picture {
        let messages = BTreeMap::from([(7, Messages { dead, ..Messages::default() })]);
        Picture { counted: Some(Counted { at_ms, messages }), ..Picture::default() }
    }

    #[test]
    fn the_youngest_count_is_shown_with_its_age() {
        let heard: Heard = vec![
            ("serve".into(), Picture::default()),
            ("work-2".into(), told(5_000, 3)),
            ("work-1".into(), told(4_000, 9)),
        ];
        let shown = live(&heard, 7, 6_500).unwrap();
        assert_eq!((shown.dead, shown.age_ms), (3, 1_500));
        // No row is none, not unknown.
        assert_eq!(live(&heard, 8, 6_500).unwrap().dead, 0);
        assert_eq!(live(&heard[..1].to_vec(), 7, 6_500), None, "nobody counts");
    }
}
