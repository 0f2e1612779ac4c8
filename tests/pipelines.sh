#!/usr/bin/env bash
# One of the pipelines in examples/, from its source to its last table, with all the set-up that it needs.
#   tests/pipelines.sh check a|b|c|d|e     small, through crashes
#   tests/pipelines.sh measure a|b|c|d|e   at the whole volume; the engine is built for release, as its CPU time is told
set -euo pipefail
cd "$(dirname "$0")/.."
declare -A modules=([a]=commerce [b]=orders [c]=simple [d]=finance [e]=events)
module=${modules[${2:-}]:-}
case ${1:-} in check | measure) ;; *) module= ;; esac
[ -n "$module" ] || { sed -n '2,4s/^# *//p' "$0" >&2; exit 2; }

tests/stack/packages.sh build java postgres
CLICKHOUSE_SERVE=$(tests/stack/clickhouse/fetch.sh); export CLICKHOUSE_SERVE
if [ "$1" = measure ]; then
  cargo build --release --locked --package engine
  TEST_ENGINE=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/release/engine
  export TEST_ENGINE PIPELINE_VOLUME=1
fi
cargo test --workspace --locked --test pipelines -- --nocapture "$module::"
