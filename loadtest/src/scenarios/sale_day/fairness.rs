//! Was the line kept, and did people get in when they were told? Pure.

/// Pairs in which the one who is further behind was called first, by more than `tolerance_ms`. Each call is a rank and
/// the instant it was called. [ms]
pub fn inversions(calls: &[(u32, i64)], tolerance_ms: i64) -> u64 {
    let mut by_rank = calls.to_vec();
    by_rank.sort_unstable();
    // From the end of the line: the instants of all who are further behind, sorted.
    let mut behind: Vec<i64> = Vec::with_capacity(by_rank.len());
    let mut pairs = 0;
    for (_, called_ms) in by_rank.iter().rev() {
        pairs += behind.partition_point(|earlier| *earlier < called_ms - tolerance_ms) as u64;
        let at = behind.partition_point(|earlier| earlier < called_ms);
        behind.insert(at, *called_ms);
    }
    pairs
}

/// A span that somebody was shown, and when. [ms, s]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    pub at_ms: i64,
    pub from_s: i64,
    pub to_s: i64,
}

impl Promise {
    pub fn holds(&self, called_ms: i64) -> bool {
        (self.at_ms + self.from_s * 1_000..=self.at_ms + self.to_s * 1_000).contains(&called_ms)
    }
}

/// How many spans held the instant of the call, and how many there were. [(promise, called at ms)]
pub fn kept(promises: impl Iterator<Item = (Promise, i64)>) -> (u64, u64) {
    promises.fold((0, 0), |(kept, all), (promise, called_ms)| (kept + u64::from(promise.holds(called_ms)), all + 1))
}

pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn by_looking_at_every_pair(calls: &[(u32, i64)], tolerance_ms: i64) -> u64 {
        let overtaken = |one: &(u32, i64)| {
            calls.iter().filter(|other| other.0 > one.0 && other.1 + tolerance_ms < one.1).count() as u64
        };
        calls.iter().map(overtaken).sum()
    }

    #[test]
    fn inversions_are_counted_as_by_hand() {
        assert_eq!(inversions(&[], 0), 0);
        assert_eq!(inversions(&[(1, 100), (2, 100), (3, 200)], 0), 0);
        assert_eq!(inversions(&[(3, 100), (1, 200), (2, 300)], 0), 2);
        assert_eq!(inversions(&[(3, 100), (1, 200), (2, 300)], 100), 1);
        let mut rng = SmallRng::seed_from_u64(3);
        for _ in 0..50 {
            let calls: Vec<(u32, i64)> = (0..60).map(|rank| (rank, rng.random_range(0..5_000))).collect();
            let tolerance_ms = rng.random_range(0..3_000);
            assert_eq!(inversions(&calls, tolerance_ms), by_looking_at_every_pair(&calls, tolerance_ms));
        }
    }

    #[test]
    fn a_span_holds_what_lies_in_it() {
        let promise = Promise { at_ms: 10_000, from_s: 30, to_s: 60 };
        assert!(promise.holds(40_000) && promise.holds(70_000));
        assert!(!promise.holds(39_999) && !promise.holds(70_001));
        let called = [39_000, 45_000, 50_000, 71_000];
        assert_eq!(kept(called.into_iter().map(|called_ms| (promise, called_ms))), (2, 4));
        assert_eq!((share(2, 4), share(0, 0)), (0.5, 0.0));
    }
}
