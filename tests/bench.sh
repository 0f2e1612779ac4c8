#!/usr/bin/env bash
# The benchmark, in release builds, on a real broker and a real ClickHouse. Arguments go to it (--help).
set -euo pipefail
cd "$(dirname "$0")/.."
tests/stack/packages.sh build java
tests/stack/fetch.sh kafka
CLICKHOUSE_SERVE=$(tests/stack/clickhouse/fetch.sh); export CLICKHOUSE_SERVE
plugin-sdk/toolchain/build-plugins.sh
cargo build --release --locked -p engine -p bench
cargo build --release --locked -p naive # by itself: built with the engine it would get the engine's slower serde_json features
export STACK_DIR KAFKA_PORT=${KAFKA_PORT:-19092}
STACK_DIR=$(mktemp -d)
trap 'tests/stack/down.sh --wipe; rmdir "$STACK_DIR"' EXIT
tests/stack/up.sh kafka
target=${CARGO_TARGET_DIR:-target}
"$target/release/bench" --kafka "127.0.0.1:$KAFKA_PORT" --engine "$target/release/engine" --naive "$target/release/naive" \
  --plugins plugins --out "$target/bench.json" "$@"
