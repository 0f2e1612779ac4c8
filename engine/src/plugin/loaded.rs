//! Plugins that are loaded, by the digest of their bytes: those of many tenants that are the same are compiled once, lie in
//! memory once, and are refused once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::LoadError;
use super::load::Inner;
use crate::cpu::uninterrupted;

/// Refusals that are remembered: they are a few hundred bytes each.
const MOST_REFUSALS: usize = 1_000;

/// What became of some bytes. Its lock is held while they are loaded: whoever wants the same waits.
type Slot = Arc<Mutex<Known>>;

#[derive(Default)]
enum Known {
    #[default]
    Nothing,
    Loaded(Weak<Inner>),
    /// For good: neither bytes nor limits will change.
    Refused(LoadError),
}

#[derive(Default)]
pub(super) struct Loaded {
    slots: Mutex<HashMap<String, Slot>>,
}

impl Loaded {
    /// What is loaded under a digest, or is now.
    pub(super) fn get_or_load(
        &self,
        digest: &str,
        load: impl FnOnce() -> Result<Inner, LoadError>,
    ) -> Result<Arc<Inner>, LoadError> {
        let slot = self.slot(digest);
        let mut known = slot.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Known::Loaded(inner) => {
                if let Some(inner) = inner.upgrade() {
                    return Ok(inner);
                }
            }
            Known::Refused(error) => return Err(error.clone()),
            Known::Nothing => {}
        }
        // Others may wait for the lock, and have the turn that it would wait for.
        match uninterrupted(load) {
            Ok(inner) => {
                let inner = Arc::new(inner);
                *known = Known::Loaded(Arc::downgrade(&inner));
                Ok(inner)
            }
            Err(error) => {
                *known = if error.passes() { Known::Nothing } else { Known::Refused(error.clone()) };
                Err(error)
            }
        }
    }

    fn slot(&self, digest: &str) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(digest) {
            return slot.clone();
        }
        // What is gone is forgotten whenever something new comes.
        let in_use = |slot: &Slot| Arc::strong_count(slot) > 1;
        slots.retain(|_, slot| in_use(slot) || slot.try_lock().map_or(true, |known| known.is_of_use()));
        if slots.len() > 2 * MOST_REFUSALS {
            slots.retain(|_, slot| slot.try_lock().map_or(true, |known| !matches!(*known, Known::Refused(_))));
        }
        slots.entry(digest.to_owned()).or_default().clone()
    }
}

impl Known {
    fn is_of_use(&self) -> bool {
        match self {
            Self::Loaded(inner) => inner.strong_count() > 0,
            Self::Refused(_) => true,
            Self::Nothing => false,
        }
    }
}
