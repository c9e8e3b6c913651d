//! One key of one rule: its window, what it waits for, and its open alert.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    arrival::Arrival,
    contents::Contents,
    course::Course,
    firing::{Cuts, Facts, Firing},
    learned::{Learned, Lesson},
    open::Open,
    plan::Plan,
};
use crate::{
    alert::{Alert, State},
    event::{Position, Timestamp},
    rule::{Kept, ListWrite, ScriptError, Window},
};

/// Which state a signal belongs to. Another shape of the rule is another state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StateKey {
    pub rule: Arc<str>,
    pub shape: u64,
    pub key: Vec<Arc<str>>,
}

/// What a key remembers between signals. Most keys of most rules have a window and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyState {
    window: Contents,
    /// `None` where all of it is empty.
    rest: Option<Box<Rest>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Rest {
    course: Course,
    learned: Option<Learned>,
    open: Option<Open>,
}

impl Rest {
    fn is_empty(&self) -> bool {
        self.course.is_plain() && self.learned.is_none() && self.open.is_none()
    }
}

/// The signal that fired; for a timer, the last one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trigger {
    pub time: Timestamp,
    pub position: Position,
    pub element: u32,
    pub late: bool,
}

/// Named bounds of a partition's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Keys of one rule.
    pub keys_per_rule_max: usize,
    /// What all keys count for in memory.
    pub state_bytes_max: u64,
    /// Signals that a key keeps for each pattern; the oldest goes first, and is counted.
    pub signals_per_key_max: usize,
    /// Signals of each pattern that an alert shows: the first ones and the last.
    pub evidence_max: usize,
    /// Entries of a list that rules write: in a full one the entry that ends first makes room, and is counted.
    pub list_entries_max: usize,
}

/// What happened to a rule while its state changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub evicted: u64,
    /// Signals that went into an open alert.
    pub suppressed: u64,
    /// How the rule's scripts did; `None` where one was not asked.
    pub when: Option<Result<(), ScriptError>>,
    pub alert: Option<Result<(), ScriptError>>,
    pub then: Option<Result<(), ScriptError>>,
    /// What `then` adds to lists.
    pub writes: Vec<ListWrite>,
    /// What it would add, and is too long.
    pub unlisted: u64,
    /// The signal lacked a field that `first_seen` asks for.
    pub missing_value: u64,
    /// Combinations of one event's values that were not looked at: there were too many.
    pub combinations_cut: u64,
}

impl Tally {
    /// Whether there is nothing to book.
    pub fn is_empty(&self) -> bool {
        let has_asked = self.when.is_some() || self.alert.is_some() || self.then.is_some();
        let counted = self.evicted + self.suppressed + self.unlisted + self.missing_value + self.combinations_cut;
        counted == 0 && !has_asked && self.writes.is_empty()
    }

    pub fn has_failed(&self) -> bool {
        [&self.when, &self.alert, &self.then].into_iter().flatten().any(Result::is_err)
    }
}

/// What a key is told with every signal and timer.
pub(super) struct Walk<'a> {
    pub plan: &'a Plan,
    /// Packed.
    pub key: &'a [u8],
    pub limits: Limits,
    pub tally: &'a mut Tally,
    /// When keys of the rule were evicted last: a window that reaches back to it may lack signals.
    pub cut: Option<Timestamp>,
}

/// What a timer did.
#[derive(Debug, Default)]
pub(super) struct Expired {
    pub alert: Option<Box<Alert>>,
    /// The state is another one: a commit has to write it.
    pub has_changed: bool,
}

/// A window that is looked at: from when to when. The alert has the time of `end`.
#[derive(Clone, Copy)]
struct Look {
    start: Timestamp,
    end: Timestamp,
}

impl Trigger {
    pub fn of_signal(signal: &Arrival<'_>) -> Self {
        Trigger { time: signal.time, position: signal.position(), element: signal.element, late: signal.late }
    }

    fn of_kept(kept: Kept) -> Self {
        Trigger { time: kept.time, position: kept.position, element: kept.element, late: false }
    }
}

impl KeyState {
    /// Applies the next signal of the total order; says what fired. An event that the key has fired on starts nothing
    /// with its further patterns: firing empties all of it.
    pub(super) fn apply(&mut self, signal: &Arrival<'_>, has_fired: bool, walk: &mut Walk<'_>) -> Option<Box<Alert>> {
        let alert = self.take(signal, has_fired, walk);
        self.tidy();
        alert
    }

    fn take(&mut self, signal: &Arrival<'_>, has_fired: bool, walk: &mut Walk<'_>) -> Option<Box<Alert>> {
        let window = &walk.plan.rule.window;
        let lesson = match window {
            Window::FirstSeen(_) | Window::Baseline(_) => {
                Learned::see(&mut self.rest.get_or_insert_default().learned, signal, walk)
            }
            _ => Lesson::New,
        };
        if lesson == Lesson::Ignored || (has_fired && !self.is_open()) {
            return None;
        }
        let begins = Course::is_of(window) && self.course_mut().see(window, signal);
        if let Some(open) = self.open_mut() {
            open.take(signal, walk);
            return None;
        }
        if begins {
            self.window.clear();
        }
        let start = self.enter(signal, walk).filter(|_| lesson == Lesson::New)?;
        self.look(Look { start, end: signal.time }, || Some(Trigger::of_signal(signal)), walk)
    }

    fn course(&self) -> &Course {
        self.rest.as_ref().map_or(&Course::Plain, |rest| &rest.course)
    }

    fn course_mut(&mut self) -> &mut Course {
        &mut self.rest.get_or_insert_default().course
    }

    fn learned(&self) -> Option<&Learned> {
        self.rest.as_ref()?.learned.as_ref()
    }

    fn open(&self) -> Option<&Open> {
        self.rest.as_ref()?.open.as_ref()
    }

    fn open_mut(&mut self) -> Option<&mut Open> {
        self.rest.as_mut()?.open.as_mut()
    }

    /// A state has one form.
    fn tidy(&mut self) {
        if self.rest.as_ref().is_some_and(|rest| rest.is_empty()) {
            self.rest = None;
        }
    }

    /// Puts a signal into its window. Gives the window's start where it is to be looked at now.
    fn enter(&mut self, signal: &Arrival<'_>, walk: &mut Walk<'_>) -> Option<Timestamp> {
        let time = signal.time;
        match walk.plan.rule.window {
            Window::Sliding(span) => {
                let start = time.minus(span);
                self.window.expire(walk.plan, start);
                self.window.enter(signal, walk);
                (!walk.plan.waits_for_absence()).then_some(start)
            }
            Window::Tumbling(_) | Window::FromFirst(_) | Window::Baseline(_) => {
                let KeyState { window, rest } = self;
                rest.get_or_insert_default().course.bucket(time, window).enter(signal, walk);
                None
            }
            Window::Session { .. } => {
                let start = self.course().run_to_look_at()?;
                self.window.enter(signal, walk);
                Some(start)
            }
            Window::Silent { .. } => {
                self.window.expire(walk.plan, time);
                self.window.enter(signal, walk);
                None
            }
            Window::None | Window::FirstSeen(_) => {
                self.window.clear();
                self.window.enter(signal, walk);
                Some(time)
            }
        }
    }

    /// Fires if the window satisfies the rule, which empties it.
    fn look(
        &mut self,
        look: Look,
        trigger: impl FnOnce() -> Option<Trigger>,
        walk: &mut Walk<'_>,
    ) -> Option<Box<Alert>> {
        if !self.window.meets(walk.plan, look.start) {
            return None;
        }
        let rule = &*walk.plan.rule;
        let facts = Facts { rule, key: walk.key, start: look.start, end: look.end, window: &self.window };
        if !facts.meet_when(walk.tally) {
            return None;
        }
        let trigger = trigger()?;
        let firing = Firing {
            facts,
            trigger: &trigger,
            time: look.end,
            fired_at: look.end,
            state: if rule.suppress.is_some() { State::Opened } else { State::Fired },
            suppressed: 0,
            cuts: Cuts { keys: walk.cut, learned: self.learned().and_then(Learned::cut) },
        };
        let alert = firing.alert(walk.limits, walk.tally);
        firing.write_lists(walk.tally);
        let total = std::mem::take(&mut self.window).into_total();
        if let Some(rest) = &mut self.rest {
            rest.course.fired();
        }
        if let Some(suppress) = rule.suppress {
            let open = Open::new(trigger, look.start, look.end, suppress, total);
            self.rest.get_or_insert_default().open = Some(open);
        }
        Some(alert)
    }

    /// When this key has to be looked at although no signal comes: its alert closes, its window ends or has passed, or
    /// something has been absent for long enough.
    pub(super) fn deadline(&self, plan: &Plan) -> Option<Timestamp> {
        if let Some(open) = self.open() {
            return Some(open.until);
        }
        match plan.rule.window {
            Window::Sliding(span) => {
                let passed = self.window.signals.last_time();
                passed.into_iter().chain(self.window.first_to_complete(plan)).min().map(|at| at.plus(span))
            }
            Window::None => self.window.signals.last_time(),
            Window::FirstSeen(_) => {
                let learned = Learned::deadline(self.learned(), &plan.rule.window);
                learned.into_iter().chain(self.window.signals.last_time()).min()
            }
            Window::Baseline(_) => {
                let learned = Learned::deadline(self.learned(), &plan.rule.window);
                learned.into_iter().chain(self.course().deadline(&plan.rule.window)).min()
            }
            Window::Tumbling(_) | Window::FromFirst(_) | Window::Session { .. } | Window::Silent { .. } => {
                self.course().deadline(&plan.rule.window)
            }
        }
    }

    /// What is due at `now`, after every signal of that time: the `closed` record of an alert whose time is over, the
    /// alert of a timer; and a window that no signal can join any more is forgotten.
    pub(super) fn expire(&mut self, now: Timestamp, walk: &mut Walk<'_>) -> Expired {
        let expired = self.take_timer(now, walk);
        self.tidy();
        expired
    }

    fn take_timer(&mut self, now: Timestamp, walk: &mut Walk<'_>) -> Expired {
        let window = &walk.plan.rule.window;
        if let Some(rest) = &mut self.rest
            && let Some(open) = rest.open.take_if(|open| open.until <= now)
        {
            // A timer that fell due meanwhile, or does now, is dropped.
            if rest.course.deadline(window).is_some_and(|due| due <= now) {
                rest.course = Course::Plain;
            }
            return Expired { alert: Some(open.close(rest.learned.as_ref(), walk)), has_changed: true };
        }
        if self.is_open() || self.deadline(walk.plan).is_none_or(|due| due > now) {
            return Expired::default();
        }
        let alert = match window {
            Window::Sliding(span) => self.expire_sliding(now, *span, walk),
            Window::Tumbling(span) | Window::FromFirst(span) => self.end_bucket(now, *span, true, walk),
            Window::Baseline(baseline) if !self.course().is_plain() => {
                let learned = &mut self.rest.get_or_insert_default().learned;
                let has_left = Learned::has_left(learned, baseline, now, walk);
                self.end_bucket(now, baseline.every, has_left, walk)
            }
            Window::Silent { after, .. } => self.fall_silent(now, *after, walk),
            Window::None | Window::Session { .. } | Window::FirstSeen(_) | Window::Baseline(_) => {
                if let Some(rest) = &mut self.rest {
                    Learned::expire(&mut rest.learned, window, now);
                }
                self.forget();
                None
            }
        };
        Expired { alert, has_changed: true }
    }

    fn expire_sliding(&mut self, now: Timestamp, span: Duration, walk: &mut Walk<'_>) -> Option<Box<Alert>> {
        let start = now.minus(span);
        self.window.expire(walk.plan, start);
        let mut alert = None;
        if self.window.first_to_complete(walk.plan).is_some_and(|first| first <= start) {
            alert = self.look_by_timer(start, now, walk);
            self.window.pass(start);
        }
        if !self.is_open() && self.window.signals.last_time().is_none_or(|last| last <= start) {
            self.forget();
        }
        alert
    }

    /// The bucket ends, and is looked at if it is `notable`. What came at the very end belongs to the next one, unless
    /// firing emptied that too.
    fn end_bucket(&mut self, now: Timestamp, span: Duration, notable: bool, walk: &mut Walk<'_>) -> Option<Box<Alert>> {
        let next = std::mem::take(self.course_mut());
        let alert = if notable { self.look_by_timer(now.minus(span), now, walk) } else { None };
        if alert.is_none() {
            let course;
            (self.window, course) = next.next_bucket(span);
            *self.course_mut() = course;
        }
        alert
    }

    fn fall_silent(&mut self, now: Timestamp, after: Duration, walk: &mut Walk<'_>) -> Option<Box<Alert>> {
        let trigger = self.course().last_heard()?.clone();
        let alert = self.look(Look { start: now.minus(after), end: now }, || Some(trigger), walk);
        if alert.is_none() {
            self.forget();
        }
        alert
    }

    fn look_by_timer(&mut self, start: Timestamp, now: Timestamp, walk: &mut Walk<'_>) -> Option<Box<Alert>> {
        let trigger = Trigger::of_kept(self.window.signals.last(&walk.plan.rule)?);
        self.look(Look { start, end: now }, || Some(trigger), walk)
    }

    fn forget(&mut self) {
        self.window.clear();
        if let Some(rest) = &mut self.rest {
            rest.course = Course::Plain;
        }
    }

    /// Forgets what waits, and what was learnt too long ago by now: nothing is to fire.
    pub(super) fn give_up(&mut self, now: Timestamp, plan: &Plan) -> Expired {
        self.forget();
        if let Some(rest) = &mut self.rest {
            Learned::expire(&mut rest.learned, &plan.rule.window, now);
        }
        self.tidy();
        Expired { alert: None, has_changed: true }
    }

    /// Nothing that matters later.
    pub fn is_empty(&self) -> bool {
        self.window.is_empty() && self.rest.is_none()
    }

    pub fn is_open(&self) -> bool {
        self.open().is_some()
    }

    /// Signals that the key keeps.
    pub(super) fn signals(&self) -> u64 {
        self.window.signals.len() + self.open().map_or(0, |open| open.total().signals.len())
    }

    /// About what the state takes in memory: the same for the same state, wherever it is.
    pub(super) fn bytes(&self) -> usize {
        let rest = self.rest.as_ref().map_or(0, |rest| {
            let open = rest.open.as_ref().map_or(0, |open| open.total().bytes());
            size_of::<Rest>() + open + rest.learned.as_ref().map_or(0, Learned::bytes)
        });
        size_of::<Self>() + self.window.bytes() + rest
    }

    /// How near the key is to firing, and when it was seen last.
    pub(super) fn nearness(&self, plan: &Plan) -> Nearness {
        let kept = self.window.signals.len();
        let lessons = self.learned().map_or(0, Learned::lessons);
        let step = match (self.open(), self.course().sightings()) {
            (Some(_), _) => Step::Open,
            (None, Some(1)) => Step::Single,
            (None, Some(_)) => Step::Last,
            (None, None) if kept <= 1 && lessons <= 1 => Step::Single,
            (None, None) => match self.window.missing(plan) {
                Some((missing, _)) if missing <= 1 => Step::Last,
                Some((missing, needed)) if missing * 2 <= needed => Step::Half,
                _ => Step::Some,
            },
        };
        let of_open = self.open().and_then(|open| open.total().signals.last_time());
        Nearness { step, last: self.window.signals.last_time().max(of_open).max(self.course().last_time()) }
    }
}

/// How near a key is to firing; the least goes first where keys have to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Nearness {
    step: Step,
    last: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// One signal, or none, and nothing learnt but that.
    Single,
    Some,
    /// Half of what the rule asks for.
    Half,
    /// All but one signal; for `silent`, a key that was heard more than once.
    Last,
    Open,
}
