#!/usr/bin/env bash
# Runs a fuzz target on stable Rust, with the coverage counters that `cargo fuzz run -s none` would ask for.
#   run.sh TARGET SECONDS [libFuzzer's arguments ...]
# Inputs that reached something new are kept in corpus/TARGET; one that breaks a promise ends it, and lies in
# artifacts/TARGET: `run.sh TARGET 0 artifacts/TARGET/FILE` runs it again.
set -euo pipefail
cd "$(dirname "$0")"
target=${1:?run.sh TARGET SECONDS} seconds=${2:?run.sh TARGET SECONDS}
shift 2
host=$(rustc -vV | sed -n 's/^host: //p')
flags=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg=fuzzing)
# With a target named, build scripts and macros are built without the counters, which they could not link.
RUSTFLAGS="${flags[*]}" cargo build --release --locked --target "$host" --target-dir "${CARGO_TARGET_DIR:-target}" --bin "$target"
mkdir -p "corpus/$target" "artifacts/$target"
[ $# -gt 0 ] || set -- "corpus/$target"
exec "${CARGO_TARGET_DIR:-target}/$host/release/$target" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 \
  -artifact_prefix="artifacts/$target/" "$@"
