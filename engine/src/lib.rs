//! A streaming transformation engine: change-data-capture topics from Kafka, through transforms compiled to
//! WebAssembly, into ClickHouse, exactly once. The modules in the order of a row's way:

pub mod offsets;
pub mod batch;
pub mod input;
pub mod table;
pub mod source;
pub mod decode;
pub mod plugin;
pub mod sink;
pub mod demo;
