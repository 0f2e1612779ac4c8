//! Recorded messages as JSON lines.
/// Placeholder.
#[derive(Debug)]
pub struct FileSource;
