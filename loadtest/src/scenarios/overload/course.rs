//! What the brake did in the course of a run, and how the orders fared meanwhile. Pure.

use crate::tally::Times;

/// One picture of the leader's. [s since the run began]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    pub at_s: f64,
    pub brake: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Before,
    /// The brake is on, and the crowd still comes.
    Braking,
    /// … and nobody but the everyday visitors comes any more.
    Recovering,
    /// The brake was on and is off.
    Well,
}

impl Stage {
    pub const ALL: [Stage; 4] = [Stage::Before, Stage::Braking, Stage::Recovering, Stage::Well];

    pub fn order_step(self) -> &'static str {
        match self {
            Stage::Before => "5 order, before the brake",
            Stage::Braking => "5 order, while it brakes",
            Stage::Recovering => "5 order, … the crowd over",
            Stage::Well => "5 order, it is off again",
        }
    }
}

/// Moments in the order of time, each later than the one before.
#[derive(Default)]
pub struct Course(Vec<Moment>);

impl Course {
    pub fn add(&mut self, moment: Moment) {
        self.0.push(moment);
    }

    pub fn stage(&self, crowd_over_s: f64) -> Stage {
        let Some(last) = self.0.last() else { return Stage::Before };
        match (self.first_bite_s(), last.brake < 1.0) {
            (None, _) => Stage::Before,
            (Some(_), false) => Stage::Well,
            (Some(_), true) if last.at_s < crowd_over_s => Stage::Braking,
            (Some(_), true) => Stage::Recovering,
        }
    }

    pub fn first_bite_s(&self) -> Option<f64> {
        self.0.iter().find(|moment| moment.brake < 1.0).map(|moment| moment.at_s)
    }

    pub fn lowest(&self) -> f64 {
        self.0.iter().map(|moment| moment.brake).fold(1.0, f64::min)
    }

    /// How often it came down after it had begun to recover, the first time included.
    pub fn bites(&self) -> usize {
        let fell = |two: &[Moment]| two[1].brake < two[0].brake;
        let falls: Vec<bool> = self.0.windows(2).filter(|two| two[0].brake != two[1].brake).map(fell).collect();
        let turns = falls.windows(2).filter(|two| !two[0] && two[1]).count();
        turns + usize::from(falls.first() == Some(&true))
    }

    /// Since when it has been off for good; none: it is on in the end, or never was.
    pub fn back_s(&self) -> Option<f64> {
        let on = self.0.iter().rposition(|moment| moment.brake < 1.0)?;
        self.0.get(on + 1).map(|moment| moment.at_s)
    }

    /// Mean factor between two instants, each picture holding until the next.
    pub fn mean(&self, from_s: f64, upto_s: f64) -> f64 {
        let until = |at: usize| self.0.get(at + 1).map_or(upto_s, |next| next.at_s);
        let (mut sum, mut seconds) = (0.0, 0.0);
        for (at, moment) in self.0.iter().enumerate() {
            let held = (until(at).min(upto_s) - moment.at_s.max(from_s)).max(0.0);
            sum += moment.brake * held;
            seconds += held;
        }
        if seconds > 0.0 { sum / seconds } else { 1.0 }
    }
}

/// How orders fared in one stage.
#[derive(Default)]
pub struct Orders {
    pub times: Times,
    pub failed: u64,
}

impl Orders {
    pub fn add(&mut self, times: &Times, failed: u64) {
        self.times.add(times);
        self.failed += failed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(brakes: &[(f64, f64)]) -> Course {
        let mut course = Course::default();
        brakes.iter().for_each(|(at_s, brake)| course.add(Moment { at_s: *at_s, brake: *brake }));
        course
    }

    #[test]
    fn a_brake_that_never_came_on_has_no_stages() {
        let calm = course(&[(0.0, 1.0), (1.0, 1.0)]);
        assert_eq!((calm.first_bite_s(), calm.back_s(), calm.bites()), (None, None, 0));
        assert_eq!((calm.lowest(), calm.stage(0.5), calm.mean(0.0, 2.0)), (1.0, Stage::Before, 1.0));
        assert_eq!(course(&[]).mean(0.0, 2.0), 1.0);
    }

    #[test]
    fn the_course_tells_when_it_bit_how_far_and_when_it_was_off_for_good() {
        let seen = [(0.0, 1.0), (1.0, 0.5), (2.0, 0.25), (3.0, 0.5), (4.0, 1.0), (5.0, 0.5), (6.0, 0.5), (7.0, 1.0)];
        let whole = course(&seen);
        assert_eq!((whole.first_bite_s(), whole.back_s(), whole.bites()), (Some(1.0), Some(7.0), 2));
        assert_eq!((whole.lowest(), whole.mean(1.0, 3.0), whole.mean(6.5, 8.5)), (0.25, 0.375, 0.875));
        let stages: Vec<Stage> = (1..=seen.len()).map(|upto| course(&seen[..upto]).stage(5.5)).collect();
        use Stage::{Before, Braking, Recovering, Well};
        assert_eq!(stages, [Before, Braking, Braking, Braking, Well, Braking, Recovering, Well]);
        assert_eq!(course(&seen[..7]).back_s(), None);
    }
}
