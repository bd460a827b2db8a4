//! Why Redis and Postgres do not say the same of a stock at one instant. Pure.

use serde::Serialize;
use utoipa::ToSchema;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StockCause {
    /// Takes of the last seconds, which Postgres does not know yet.
    InFlight,
    /// Takes that never became orders, and that the next audit gives back.
    Abandoned,
    /// It changed while it was looked at.
    Moving,
    /// Redis has lost it, or counts under another epoch; it is counted anew.
    Rebuilding,
    /// Redis does not answer.
    RedisAway,
    /// None of these. If it stays, the audit counts anew.
    Unexplained,
    /// Held by orders past their deadline, which give them back within a second.
    Lapsed,
    /// The stock's row is not what orders and tickets add up to.
    RowsDiffer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Explained {
    pub cause: StockCause,
    /// How much of the difference it is; of `lapsed` and `rows_differ`, how many places.
    pub places: i64,
}

/// What Redis said of a stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InRedis {
    Away,
    /// Not counted, or under another epoch.
    Unready,
    /// Free places before Postgres was read and after it, and what takes hold that Postgres did not know.
    Counted {
        before: i64,
        after: i64,
        in_flight: i64,
        abandoned: i64,
    },
}

/// What Postgres said of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InPostgres {
    pub free: i64,
    pub lapsed: i64,
    /// Held and sold places of the row, less what orders and tickets add up to.
    pub off: (i64, i64),
}

/// Causes that together are the difference, then what is worth knowing besides.
pub fn explain(redis: InRedis, postgres: InPostgres) -> Vec<Explained> {
    let one = |cause, places| Explained { cause, places };
    let mut explained = match redis {
        InRedis::Away => vec![one(StockCause::RedisAway, 0)],
        InRedis::Unready => vec![one(StockCause::Rebuilding, 0)],
        InRedis::Counted { before, after, in_flight, abandoned } => {
            let rest = if before == after { StockCause::Unexplained } else { StockCause::Moving };
            vec![
                one(StockCause::InFlight, -in_flight),
                one(StockCause::Abandoned, -abandoned),
                one(rest, before + in_flight + abandoned - postgres.free),
            ]
        }
    };
    explained.push(one(StockCause::Lapsed, postgres.lapsed));
    explained.push(one(StockCause::RowsDiffer, postgres.off.0.abs() + postgres.off.1.abs()));
    explained.retain(|one| one.places != 0 || matches!(one.cause, StockCause::RedisAway | StockCause::Rebuilding));
    explained
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(redis: InRedis, postgres: InPostgres) -> Vec<(StockCause, i64)> {
        explain(redis, postgres).into_iter().map(|one| (one.cause, one.places)).collect()
    }

    fn counted(before: i64, after: i64, in_flight: i64, abandoned: i64) -> InRedis {
        InRedis::Counted { before, after, in_flight, abandoned }
    }

    #[test]
    fn each_difference_has_its_cause() {
        use StockCause::*;
        let of = |free| InPostgres { free, ..InPostgres::default() };
        assert_eq!(told(counted(10, 10, 0, 0), of(10)), []);
        assert_eq!(told(counted(8, 8, 2, 0), of(10)), [(InFlight, -2)]);
        assert_eq!(told(counted(5, 5, 2, 3), of(10)), [(InFlight, -2), (Abandoned, -3)]);
        assert_eq!(told(counted(9, 8, 0, 0), of(10)), [(Moving, -1)]);
        assert_eq!(told(counted(12, 12, 1, 0), of(10)), [(InFlight, -1), (Unexplained, 3)]);
        assert_eq!(told(InRedis::Unready, of(10)), [(Rebuilding, 0)]);
        assert_eq!(told(InRedis::Away, of(10)), [(RedisAway, 0)]);
        let rows = InPostgres { free: 10, lapsed: 4, off: (-1, 2) };
        assert_eq!(told(counted(10, 10, 0, 0), rows), [(Lapsed, 4), (RowsDiffer, 3)]);
    }

    proptest! {
        #[test]
        fn the_causes_add_up_to_the_difference(before in -50..50i64, after in -50..50i64, in_flight in 0..50i64, abandoned in 0..50i64, free in 0..50i64) {
            let sum: i64 = told(counted(before, after, in_flight, abandoned), InPostgres { free, ..InPostgres::default() }).iter().map(|one| one.1).sum();
            prop_assert_eq!(sum, before - free);
        }
    }
}
