//! The pipelines of `examples/`, each from its real source to its last table, on the real stack.
//!
//! What the tables must hold is computed by somebody else: SQL in the source database, where a trigger, which no example
//! has, keeps every change, or plain Rust over a generator's log. By default the volumes are small, and on the way the engine
//! is killed, and ClickHouse is. With `PIPELINE_VOLUME=1` in the environment a pipeline runs at the volume of the project
//! that it replaces, and what that took is printed (`make check-c`, `make pipeline-c`).

mod commerce;
mod events;
mod figures;
mod finance;
mod orders;
mod simple;
mod world;
