//! Plugins that are loaded, by the digest of their bytes: however many tenants and versions run one, its code is in memory
//! once.
//!
//! **Promise.** What is found is what loading the same bytes again would make; parameters, limits and state belong to
//! instances, and are not among it. A plugin that nobody has any more is not kept for this.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Plugins by digest.
pub(super) struct Loaded<T>(Mutex<HashMap<String, Weak<T>>>);

impl<T> Default for Loaded<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Loaded<T> {
    pub(super) fn find(&self, digest: &str) -> Option<Arc<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(digest).and_then(Weak::upgrade)
    }

    /// Adds one that was not there, or gives back the one that has come meanwhile.
    pub(super) fn add(&self, digest: &str, new: T) -> Arc<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = all.get(digest).and_then(Weak::upgrade) {
            return there;
        }
        all.retain(|_, plugin| plugin.strong_count() > 0);
        let new = Arc::new(new);
        all.insert(digest.to_owned(), Arc::downgrade(&new));
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_there_for_as_long_as_somebody_has_it() {
        let loaded = Loaded::default();
        assert_eq!(loaded.find("a"), None);
        let one = loaded.add("a", 1);
        assert!(Arc::ptr_eq(&one, &loaded.add("a", 2)));
        assert_eq!(loaded.find("a"), Some(one.clone()));
        drop(one);
        assert_eq!(loaded.find("a"), None);
        let other = loaded.add("b", 3);
        assert_eq!(loaded.0.lock().unwrap_or_else(PoisonError::into_inner).len(), 1, "what is gone is forgotten");
        assert_eq!(*other, 3);
    }
}
