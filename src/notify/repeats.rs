//! The same complaint once, then counted: a phone that rings forty times is switched off. Pure.

use std::collections::BTreeMap;

use super::alert::Alert;
use super::render::duration;
use crate::core::{Nanos, Span};

/// Complaints watched at once; one more ends the oldest early.
const GROUPS: usize = 1024;

struct Group {
    until: Nanos,
    since: Nanos,
    first: Alert,
    last: Option<Alert>,
    more: u64,
}

/// Counts repetitions within a window that starts at the first.
pub(super) struct Repeats {
    window: Span,
    groups: BTreeMap<String, Group>,
    /// Counts of windows that ended when a new one began.
    ended: Vec<Alert>,
}

impl Repeats {
    /// With this window.
    pub(super) const fn new(window: Span) -> Self {
        Self { window, groups: BTreeMap::new(), ended: Vec::new() }
    }

    /// True when the alert is to be sent; false when it repeats one that was, and is counted.
    pub(super) fn admit(&mut self, alert: &Alert, now: Nanos) -> bool {
        if alert.group.is_empty() {
            return true;
        }
        if let Some(group) = self.groups.get_mut(&alert.group).filter(|group| now < group.until) {
            // The same occurrence read again after a restart is no repetition.
            if group.first.id != alert.id && group.last.as_ref().is_none_or(|last| last.id != alert.id) {
                group.more += 1;
                group.last = Some(alert.clone());
            }
            return group.first.id == alert.id;
        }
        let group = Group { until: now.plus(self.window), since: now, first: alert.clone(), last: None, more: 0 };
        let before = self.groups.insert(alert.group.clone(), group);
        self.ended.extend(before.and_then(|before| before.count(now)));
        true
    }

    /// The counts of windows that ended, one alert each; groups in which nothing was repeated end silently.
    pub(super) fn expired(&mut self, now: Nanos) -> Vec<Alert> {
        let surplus = self.groups.len().saturating_sub(GROUPS);
        let mut early: Vec<(Nanos, String)> = Vec::new();
        if surplus > 0 {
            early = self.groups.iter().map(|(name, group)| (group.until, name.clone())).collect();
            early.sort();
            early.truncate(surplus);
        }
        let mut told = std::mem::take(&mut self.ended);
        self.groups.retain(|name, group| {
            if now < group.until && !early.iter().any(|(_, early)| early == name) {
                return true;
            }
            told.extend(group.count(now));
            false
        });
        told
    }
}

impl Group {
    fn count(&self, now: Nanos) -> Option<Alert> {
        let last = self.last.as_ref()?;
        let mut alert = last.clone();
        let span = duration(now.since(self.since).0);
        alert.id = format!("{}+{}", self.first.id, self.more);
        alert.title = format!("{}: {} more in {span}", self.first.title, self.more);
        Some(alert)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(id: u32, group: &str) -> Alert {
        Alert { id: id.to_string(), group: group.into(), title: "stale".into(), ..Alert::default() }
    }

    #[test]
    fn the_first_is_sent_and_the_rest_are_one_count() {
        let mut repeats = Repeats::new(Span::seconds(300));
        let at = |seconds: u64| Nanos(1_000_000_000 * (1000 + seconds));
        assert!(repeats.admit(&alert(1, "g"), at(0)));
        assert!(repeats.admit(&alert(2, "other"), at(1)));
        for id in 3..40 {
            assert!(!repeats.admit(&alert(id, "g"), at(u64::from(id))));
        }
        assert!(!repeats.admit(&alert(39, "g"), at(50)), "the same record read again is not counted twice");
        assert!(repeats.expired(at(299)).is_empty());
        let told: Vec<String> = repeats.expired(at(301)).into_iter().map(|alert| alert.title).collect();
        assert_eq!(told, ["stale: 37 more in 5m 01s"]);
        assert!(repeats.admit(&alert(41, "g"), at(302)), "a new window");
        assert!(!repeats.admit(&alert(42, "g"), at(303)));
        assert!(repeats.admit(&alert(43, "g"), at(700)), "a window that nobody asked about in time");
        let told: Vec<String> = repeats.expired(at(701)).into_iter().map(|alert| alert.title).collect();
        assert_eq!(told, ["stale: 1 more in 6m 38s"]);
    }

    #[test]
    fn what_has_no_group_is_always_news_and_groups_are_bounded() {
        let mut repeats = Repeats::new(Span::seconds(300));
        assert!((0..50).all(|id| repeats.admit(&alert(id, ""), Nanos(5))));
        for id in 0..5000 {
            repeats.admit(&alert(id, &format!("g{id}")), Nanos(u64::from(id) + 1));
            repeats.expired(Nanos(u64::from(id) + 1));
        }
        assert!(repeats.groups.len() <= GROUPS + 1);
        assert!(repeats.groups.contains_key("g4999"), "the oldest end early, not the newest");
    }
}
