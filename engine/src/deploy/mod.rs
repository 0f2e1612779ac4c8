//! Deployment: which version of each plugin runs, and how a newer one takes its place.

pub mod difference;
