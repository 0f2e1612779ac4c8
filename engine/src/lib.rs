//! A streaming transformation engine: change-data-capture topics from Kafka, through transforms compiled to
//! WebAssembly, into ClickHouse, exactly once.
//!
//! [`lane::Lane::run`] is the way of a row; the modules that it calls stand here in that order.

pub mod offsets;
pub mod batch;
pub mod digest;
pub use debezium_decode::input;
pub mod table;
pub mod cell;

pub mod tls;
pub mod source;
pub mod registry;
pub use debezium_decode as decode;
pub mod plugin;
pub mod state;
pub mod transform;
pub mod journal;
pub mod token;
pub mod sink;
pub mod lane;

pub mod lane_status;
pub mod breaker;
pub mod disposition;
pub mod engine;
pub mod tenants;
pub mod deploy;
pub mod artifacts;
pub mod capsule;
pub mod dead_letters;
pub mod quality;
pub mod verify;
pub mod replay;
pub mod schema;
pub mod clock;
pub mod cpu;
pub mod fair;
pub mod memory;
pub mod stop;

pub mod plan;
pub mod config;
pub mod metrics;
pub mod server;
pub mod cli;
pub mod demo;
pub mod crash_point;
pub mod random;
pub mod simulation;
