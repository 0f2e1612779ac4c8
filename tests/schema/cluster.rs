//! The statements for a cluster.
