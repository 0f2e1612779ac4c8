//! Starts, stops and watches the real parts that the tests of the whole run against: Kafka, Connect with Debezium,
//! PostgreSQL, ClickHouse and the engine itself.
//!
//! **Promise.** A part that was started answers. It listens on a port of its own and keeps its data in a folder of its
//! own, so any number of tests and test runs go on side by side. It ends with its value, however the test ends: at
//! return, at a panic, or when the test process is killed.
//! **Assumed.** Linux (parent-death signals) and what `tests/stack` brings; the parts fetch it themselves at first use.
//! Nothing here sleeps for a result: everything waits for a condition, with a bound ([`wait`]).
//!
//! [`simulation`] needs none of the parts: the engine runs between simulated twins of them.

pub mod certificates;
pub mod clickhouse;
pub mod connect;
pub mod engine;
pub mod kafka;
pub mod mariadb;
pub mod metrics;
pub mod numbers;
pub mod orders;
pub mod pipeline;
pub mod place;
pub mod postgres;
pub mod process;
pub mod registry;
pub mod relay;
pub mod rows;
pub mod simulation;
pub mod versions;
pub mod wait;
