//! What is kept of a ticket that is given back: a table by days before the visit. Pure.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// So many days before the visit or earlier, this share of the price is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rule {
    pub days_before: i32,
    /// 0 to 100 [%]
    pub fee_pct: i32,
}

impl Rule {
    /// One that cannot be is left out.
    pub fn is_good(&self) -> bool {
        self.days_before >= 0 && (0..=100).contains(&self.fee_pct)
    }
}

/// The table of one exhibition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The most days first.
    rules: Vec<Rule>,
    /// So long after paying nothing is kept. [hours]
    free_h: i32,
}

impl Rules {
    /// From the catalogue's column. A table that cannot be read allows nothing, which an admin can still overrule.
    pub fn new(table: &serde_json::Value, free_h: i32) -> Rules {
        let mut rules: Vec<Rule> = serde_json::from_value(table.clone()).unwrap_or_default();
        rules.retain(Rule::is_good);
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.days_before));
        Rules { rules, free_h }
    }

    pub fn table(&self) -> &[Rule] {
        &self.rules
    }

    pub fn free_h(&self) -> i32 {
        self.free_h
    }

    /// The share that is kept today [%]; None: too late to give it back.
    pub fn fee_pct(&self, visit: Date, today: Date, paid_at: Timestamp, now: Timestamp) -> Option<i32> {
        let days = visit.since(today).ok()?.get_days();
        let rule = self.rules.iter().find(|rule| days >= rule.days_before)?;
        let just_paid = now <= paid_at + SignedDuration::from_hours(i64::from(self.free_h));
        Some(if just_paid { 0 } else { rule.fee_pct })
    }
}

/// Whole won, in the visitor's favour.
pub fn fee_won(price_won: i32, fee_pct: i32) -> i32 {
    i32::try_from(i64::from(price_won) * i64::from(fee_pct) / 100).unwrap_or(price_won)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::json;

    use super::*;

    fn rules() -> Rules {
        let table = json!([{"days_before": 3, "fee_pct": 20}, {"days_before": 10, "fee_pct": 0},
            {"days_before": 7, "fee_pct": 10}, {"days_before": 1, "fee_pct": 30}]);
        Rules::new(&table, 24)
    }

    #[test]
    fn the_table_is_read_by_whole_days() {
        let (visit, long_ago) = (date(2026, 12, 20), Timestamp::from_second(0).unwrap());
        let now = Timestamp::from_second(1_000_000).unwrap();
        let fee = |today| rules().fee_pct(visit, today, long_ago, now);
        assert_eq!(fee(date(2026, 11, 1)), Some(0));
        assert_eq!(fee(date(2026, 12, 10)), Some(0));
        assert_eq!(fee(date(2026, 12, 11)), Some(10));
        assert_eq!(fee(date(2026, 12, 13)), Some(10));
        assert_eq!(fee(date(2026, 12, 14)), Some(20));
        assert_eq!(fee(date(2026, 12, 18)), Some(30));
        assert_eq!(fee(date(2026, 12, 19)), Some(30));
        assert_eq!(fee(date(2026, 12, 20)), None);
        assert_eq!(fee(date(2026, 12, 21)), None);
        assert_eq!(Rules::new(&json!("nonsense"), 24).fee_pct(visit, date(2026, 1, 1), long_ago, now), None);
    }

    #[test]
    fn a_day_to_think_again_costs_nothing_but_does_not_open_the_day_itself() {
        let paid = Timestamp::from_second(1_000_000).unwrap();
        let fee = |after_h: i64, today| {
            rules().fee_pct(date(2026, 12, 20), today, paid, paid + SignedDuration::from_hours(after_h))
        };
        assert_eq!(fee(24, date(2026, 12, 19)), Some(0));
        assert_eq!(fee(25, date(2026, 12, 19)), Some(30));
        assert_eq!(fee(1, date(2026, 12, 20)), None);
    }

    #[test]
    fn fees_are_whole_won() {
        assert_eq!(fee_won(9_999, 10), 999);
        assert_eq!(fee_won(10_000_000, 100), 10_000_000);
        assert_eq!(fee_won(0, 30), 0);
    }
}
