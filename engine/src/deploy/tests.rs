//! Claims about versions and trials.
