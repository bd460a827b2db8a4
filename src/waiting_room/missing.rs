//! Those who were inside when Redis lost who was. They come back with their passes, at the latest when a pass without
//! activity would have ended; until then room is kept for them, less and less. Pure.

#[derive(Clone, Copy, Debug, Default)]
pub struct Missing {
    at_ms: i64,
    /// Inside before the loss, until it is seen how many of them Redis still knows.
    before: Option<u32>,
    lost: u32,
}

impl Missing {
    /// Redis may have lost something: so many were inside.
    pub fn after_loss(inside: u32, now_ms: i64) -> Missing {
        Missing { at_ms: now_ms, before: Some(inside), lost: 0 }
    }

    /// How many to reckon with, where Redis says that so many are inside and that so many of them came back.
    pub fn inside(&mut self, active: u32, back: u32, idle_ms: i64, now_ms: i64) -> u32 {
        if let Some(before) = self.before.take() {
            self.lost = before.saturating_sub(active) + back;
        }
        let left = 1.0 - (now_ms - self.at_ms) as f64 / idle_ms.max(1) as f64;
        let expected = (f64::from(self.lost) * left.clamp(0.0, 1.0)).ceil() as u32;
        active + expected.saturating_sub(back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_kept_for_those_who_are_missing() {
        assert_eq!(Missing::default().inside(7, 0, 1_000, 0), 7);
        let mut all = Missing::after_loss(100, 5_000);
        assert_eq!(all.inside(0, 0, 10_000, 5_250), 98);
        assert_eq!(all.inside(60, 60, 10_000, 6_000), 90);
        assert_eq!(all.inside(60, 60, 10_000, 10_000), 60, "more are back than were expected");
        assert_eq!(all.inside(20, 0, 10_000, 10_000), 70, "whoever is new is in nobody's place");
        assert_eq!(all.inside(20, 0, 10_000, 15_000), 20);
        assert_eq!(all.inside(20, 0, 10_000, 4_000), 120, "a clock that was set back");
        // Nothing was lost: whoever leaves makes room at once.
        let mut none = Missing::after_loss(100, 5_000);
        assert_eq!(none.inside(100, 0, 10_000, 5_250), 100);
        assert_eq!(none.inside(40, 0, 10_000, 6_000), 40);
    }
}
