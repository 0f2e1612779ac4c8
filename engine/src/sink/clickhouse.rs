//! ClickHouse over HTTP.
/// Placeholder.
#[derive(Debug)]
pub struct ClickHouse;
/// Placeholder.
#[derive(Debug)]
pub struct ClickHouseSettings;
/// Placeholder.
#[derive(Debug)]
pub enum Compression {}
