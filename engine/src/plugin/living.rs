//! Plugins that live, by digest: one that is loaded again while it lives is not compiled again. After a plugin was replaced,
//! each lane with an open epoch asks for the old one, all at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What lives of each digest.
#[derive(Debug)]
pub(super) struct Living<T> {
    places: Mutex<HashMap<String, Arc<Mutex<Weak<T>>>>>,
}

impl<T> Default for Living<T> {
    fn default() -> Self {
        Self { places: Mutex::default() }
    }
}

impl<T> Living<T> {
    /// The one of this digest, made where none lives. Who comes while it is being made waits for it.
    pub(super) fn get_or_make<E>(&self, digest: &str, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let place = self.place(digest);
        let mut living = locked(&place);
        if let Some(one) = living.upgrade() {
            return Ok(one);
        }
        let made = Arc::new(make()?);
        *living = Arc::downgrade(&made);
        Ok(made)
    }

    fn place(&self, digest: &str) -> Arc<Mutex<Weak<T>>> {
        let mut places = locked(&self.places);
        // Nobody waits at a place that is known here alone, so its lock is free.
        places.retain(|_, place| Arc::strong_count(place) > 1 || locked(place).strong_count() > 0);
        places.entry(digest.to_owned()).or_default().clone()
    }
}

/// A place is written in one step, so a panic leaves it whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn one_that_lives_is_made_once_and_one_that_is_gone_again() {
        let (living, made) = (Living::default(), AtomicU32::new(0));
        let make = || Ok::<_, ()>(made.fetch_add(1, Ordering::Relaxed));
        let first = living.get_or_make("a", make).expect("made");
        let again = living.get_or_make("a", make).expect("there");
        assert!(Arc::ptr_eq(&first, &again));
        drop((first, again));
        assert_eq!(*living.get_or_make("a", make).expect("made again"), 1);
        drop(living.get_or_make("b", make));
        assert!(locked(&living.places).len() <= 2);
        assert_eq!(living.get_or_make("c", || Err::<u32, _>("broken")), Err("broken"));
        drop(living.get_or_make("d", make));
        assert_eq!(locked(&living.places).len(), 1, "what is gone leaves nothing");
    }

    #[test]
    fn many_at_a_time_make_one() {
        let (living, made, all) = (Living::default(), AtomicU32::new(0), Barrier::new(8));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    all.wait();
                    let one = living.get_or_make("a", || Ok::<_, ()>(made.fetch_add(1, Ordering::Relaxed)));
                    all.wait();
                    assert_eq!(one.as_deref(), Ok(&0));
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }
}
