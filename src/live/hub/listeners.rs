//! Those who listen to one topic.

use std::sync::Arc;

use super::Listening;

/// Listeners in the order in which they came.
///
/// Thousands may leave within a moment, when a network or an attacker drops all its connections;
/// to look for each among the others then held up whoever wrote by tens of milliseconds. So
/// whoever leaves is only counted, and its place is given up when most places are such.
#[derive(Default)]
pub(super) struct Listeners {
    /// Shared with those who call them, and copied if it changes meanwhile.
    places: Arc<Vec<Arc<Listening>>>,
    present: usize,
}

impl Listeners {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.present
    }

    pub fn is_empty(&self) -> bool {
        self.present == 0
    }

    pub fn join(&mut self, listening: &Arc<Listening>) {
        self.present += 1;
        Arc::make_mut(&mut self.places).push(Arc::clone(listening));
    }

    /// One of them leaves, for which [`Listening::leave`] was called.
    pub fn leave(&mut self) {
        self.present = self.present.saturating_sub(1);
        if self.places.len() > 2 * self.present {
            Arc::make_mut(&mut self.places).retain(|listening| !listening.has_left());
        }
    }

    /// All of them now, with some who have left and do not hear anything.
    pub fn places(&self) -> Arc<Vec<Arc<Listening>>> {
        Arc::clone(&self.places)
    }

    /// Wakes all.
    pub fn wake(&self) {
        self.places.iter().for_each(|listening| listening.wake());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_those_who_left_are_given_up_and_the_others_keep_their_order() {
        let mut listeners = Listeners::default();
        let all: Vec<_> = (0..100).map(|_| Arc::new(Listening::default())).collect();
        all.iter().for_each(|listening| listeners.join(listening));
        let before = listeners.places();
        for (n, listening) in all.iter().enumerate() {
            if n % 5 != 0 {
                listening.leave();
                listeners.leave();
            }
            let places = listeners.places.len();
            assert!(places <= 2 * listeners.len().max(1), "{places} of {}", listeners.len());
        }
        assert_eq!((listeners.len(), before.len()), (20, 100));
        let here: Vec<_> =
            listeners.places.iter().filter(|listening| !listening.has_left()).collect();
        assert!(here.iter().zip(all.iter().step_by(5)).all(|(a, b)| Arc::ptr_eq(a, b)));
        assert_eq!(here.len(), 20);
        for listening in all.iter().step_by(5) {
            listening.leave();
            listeners.leave();
        }
        assert!(listeners.is_empty() && listeners.places.is_empty());
        assert_eq!(Arc::strong_count(&all[0]), 2, "only whoever calls still has it");
    }
}
