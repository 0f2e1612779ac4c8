//! `engine schema` on real ClickHouse servers.

mod cluster;
mod gold;
