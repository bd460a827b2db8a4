//! Types of the stock. Pure.

use std::collections::BTreeMap;

use crate::platform::secrets::{hex, unhex};

/// A keyed digest of a phone number: enough to count by, useless to call.
pub type PersonKey = [u8; 16];
/// `HMAC(exhibition, idempotency key)`, cut to 16 bytes.
pub type HoldId = [u8; 16];
/// Digest of what was asked, to tell a repeat from another request under the same key.
pub type Fingerprint = [u8; 16];

/// Places of one stock that an order needs. An order has one line per stock, sorted by stock id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub stock_id: i32,
    pub quantity: i32,
}

/// Adds up quantities per stock.
pub fn lines(parts: impl IntoIterator<Item = (i32, i32)>) -> Vec<Line> {
    let mut sums = BTreeMap::<i32, i32>::new();
    for (stock_id, quantity) in parts {
        *sums.entry(stock_id).or_default() += quantity;
    }
    sums.into_iter().map(|(stock_id, quantity)| Line { stock_id, quantity }).collect()
}

/// One stock row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    pub total: i32,
    pub offered: i32,
    pub held: i32,
    pub sold: i32,
    pub epoch: i64,
}

impl Level {
    /// What may still be taken. `offered` may be lowered below what is held and sold: then nothing, not less.
    pub fn free(&self) -> i32 {
        (self.total.min(self.offered) - self.held - self.sold).max(0)
    }
}

pub fn person_field(person: &PersonKey) -> String {
    hex(person)
}

/// A take that Redis remembers as in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    pub hold_id: HoldId,
    pub at_ms: i64,
    pub lines: Vec<Line>,
}

impl InFlight {
    /// Reads the record that `take.lua` writes.
    pub fn parse(hold_id: &str, record: &str) -> Option<InFlight> {
        let mut parts = record.split('|');
        let at_ms = parts.next()?.parse().ok()?;
        let taken = parts.nth(4)?;
        let lines = taken
            .split(',')
            .map(|pair| {
                let (stock_id, quantity) = pair.split_once(':')?;
                Some(Line { stock_id: stock_id.parse().ok()?, quantity: quantity.parse().ok()? })
            })
            .collect::<Option<_>>()?;
        Some(InFlight { hold_id: unhex(hold_id)?, at_ms, lines })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowering_the_offer_below_what_is_sold_frees_nothing() {
        let level = Level { total: 100, offered: 100, held: 10, sold: 20, epoch: 1 };
        assert_eq!(level.free(), 70);
        assert_eq!(Level { offered: 30, ..level }.free(), 0);
        assert_eq!(Level { offered: 5, ..level }.free(), 0);
        assert_eq!(Level { offered: 200, ..level }.free(), 70);
    }

    #[test]
    fn records_in_flight_are_read_back() {
        let id = "00112233445566778899aabbccddeeff";
        let take = InFlight::parse(id, "1700000000000|abcd|-|2|-|1:2,7:2").unwrap();
        assert_eq!(take.at_ms, 1_700_000_000_000);
        assert_eq!(take.lines, vec![Line { stock_id: 1, quantity: 2 }, Line { stock_id: 7, quantity: 2 }]);
        assert!(InFlight::parse(id, "garbage").is_none());
        assert!(InFlight::parse("xx", "1|a|-|2|1:2").is_none());
    }
}
