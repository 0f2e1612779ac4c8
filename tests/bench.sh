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
target=${CARGO_TARGET_DIR:-target}

# Decoding, first: it needs neither plugins, broker nor database.
mkdir -p "$target"; target=$(cd "$target" && pwd)
(cd tests/bench/readers && CARGO_TARGET_DIR=$target/readers cargo build --release --locked)
"$target/release/decode" --readers "$target/readers/release/readers" --out "$target/bench.json"

# Keyed state in the host: it needs nothing either.
"$target/release/state" --out "$target/bench.json"

# The border to plugins: it needs neither broker nor database.
toolchain=$(plugin-sdk/toolchain/wasm-target.sh)
# wasm_build FOLDER PACKAGE…: as plugins are built, into a target folder of its own.
wasm_build() {
  (cd "$1"; shift
  RUSTUP_TOOLCHAIN=$toolchain CARGO_TARGET_DIR=$wasm CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-C target-feature=+simd128" \
    cargo build --quiet --locked --profile plugin --lib --target wasm32-unknown-unknown "${@/#/-p}")
}
wasm=$target/plugins wasm_build . bench-orders bench-echo bench-wide bench-dedup-number bench-dedup-text bench-clicks
wasm=$target/arrow-udf wasm_build tests/bench/arrow-udf arrow-udf-guest
(cd tests/bench/arrow-udf && CARGO_TARGET_DIR=$target/arrow-udf cargo build --release --locked -p arrow-udf-host)
"$target/release/border" --plugins "$target/plugins/wasm32-unknown-unknown/plugin" --out "$target/bench.json" --arrow-udf \
  "$target/arrow-udf/release/arrow-udf-host" "$target/arrow-udf/wasm32-unknown-unknown/plugin/arrow_udf_guest.wasm"

# Plugins that remember, at ten million keys.
"$target/release/remember" --plugins "$target/plugins/wasm32-unknown-unknown/plugin" --out "$target/bench.json"

export STACK_DIR KAFKA_PORT=${KAFKA_PORT:-19092}
STACK_DIR=$(mktemp -d)
trap 'tests/stack/down.sh --wipe; rmdir "$STACK_DIR"' EXIT
tests/stack/up.sh kafka
"$target/release/bench" --kafka "127.0.0.1:$KAFKA_PORT" --engine "$target/release/engine" --naive "$target/release/naive" \
  --plugins plugins --out "$target/bench.json" "$@"
