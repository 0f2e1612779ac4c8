//! Starts and stops the real parts.
