//! How long orders take and how many fail, over the last seconds of one instance: what the brake looks at.

use std::sync::Mutex;
use std::time::Duration;

const SECONDS: usize = 6;
/// Upper bounds of the classes of times. [ms]
const CLASSES_MS: [i64; 12] = [5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, i64::MAX];

#[derive(Clone, Copy, Default)]
struct Second {
    at_s: i64,
    classes: [u32; CLASSES_MS.len()],
    failed: u32,
}

#[derive(Default)]
pub struct OrderPace(Mutex<[Second; SECONDS]>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastSeconds {
    pub count: u32,
    pub failed: u32,
    /// Upper bound of the class in which the 99th percentile lies; 0: no orders.
    pub p99_ms: i64,
}

impl OrderPace {
    /// A refusal that says how things are (sold out, a limit) is a success; only our own trouble is a failure.
    pub fn record(&self, took: Duration, failed: bool, now_ms: i64) {
        let Ok(mut seconds) = self.0.lock() else { return };
        let at_s = now_ms.div_euclid(1000);
        let second = &mut seconds[at_s.rem_euclid(SECONDS as i64) as usize];
        if second.at_s != at_s {
            *second = Second { at_s, ..Second::default() };
        }
        let took_ms = took.as_millis() as i64;
        let class = CLASSES_MS.iter().position(|most| took_ms <= *most).unwrap_or(CLASSES_MS.len() - 1);
        second.classes[class] += 1;
        second.failed += u32::from(failed);
    }

    pub fn last_seconds(&self, now_ms: i64) -> LastSeconds {
        let Ok(seconds) = self.0.lock() else { return LastSeconds::default() };
        let now_s = now_ms.div_euclid(1000);
        let recent = seconds.iter().filter(|s| (0..SECONDS as i64).contains(&(now_s - s.at_s)));
        let (mut classes, mut failed) = ([0u32; CLASSES_MS.len()], 0);
        for second in recent {
            failed += second.failed;
            classes.iter_mut().zip(second.classes).for_each(|(sum, n)| *sum += n);
        }
        let count: u32 = classes.iter().sum();
        let mut before = 0;
        let at = classes.iter().position(|n| {
            before += n;
            f64::from(before) >= f64::from(count) * 0.99
        });
        let p99_ms = if count == 0 { 0 } else { at.map_or(0, |class| CLASSES_MS[class].min(60_000)) };
        LastSeconds { count, failed, p99_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_seconds_are_forgotten() {
        let pace = OrderPace::default();
        for n in 0..100 {
            pace.record(Duration::from_millis(if n < 98 { 3 } else { 300 }), n == 0, 10_000);
        }
        assert_eq!(pace.last_seconds(10_500), LastSeconds { count: 100, failed: 1, p99_ms: 500 });
        assert_eq!(pace.last_seconds(15_000).count, 100);
        assert_eq!(pace.last_seconds(17_000), LastSeconds::default());
        pace.record(Duration::from_millis(1), false, 16_000);
        assert_eq!(pace.last_seconds(16_000), LastSeconds { count: 1, failed: 0, p99_ms: 5 });
    }
}
