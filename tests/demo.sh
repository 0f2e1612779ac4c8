#!/usr/bin/env bash
# The main job on an embedded broker and an embedded ClickHouse. Arguments go to `engine demo`.
set -euo pipefail
cd "$(dirname "$0")/.."
tests/stack/packages.sh build
plugin-sdk/toolchain/build-plugins.sh
if ! command -v clickhouse >/dev/null; then
  CLICKHOUSE_SERVE=$(tests/stack/clickhouse/fetch.sh); export CLICKHOUSE_SERVE
fi
# The dev profile: its dependencies are optimised, and it is what the tests have compiled already.
cargo build --workspace --bin engine
exec "${CARGO_TARGET_DIR:-target}/debug/engine" demo --plugins plugins "$@"
