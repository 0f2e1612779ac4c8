#!/usr/bin/env bash
# Runs a fuzz target on stable Rust, with the coverage counters that `cargo fuzz run -s none` would ask for.
#   fuzz.sh TARGET SECONDS [libFuzzer's arguments ...]      targets: border state messages documents decimals avro
# TARGET is a file of engine/fuzz/fuzz_targets or engine/decode/fuzz/fuzz_targets. A first call takes its seeds from
# seeds/TARGET: each line of a file, or each file of a folder. Inputs that reached something new are kept in corpus/TARGET;
# one that breaks a promise ends it, and lies in artifacts/TARGET: `fuzz.sh TARGET 0 artifacts/TARGET/FILE` runs it again.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:?fuzz.sh TARGET SECONDS} seconds=${2:?fuzz.sh TARGET SECONDS}
shift 2
crate=
for folder in engine/fuzz engine/decode/fuzz; do [ ! -e "$folder/fuzz_targets/$target.rs" ] || crate=$folder; done
[ -n "$crate" ] || { echo "fuzz.sh: no target $target; there are:" engine/{,decode/}fuzz/fuzz_targets/*.rs >&2; exit 2; }
cd "$crate"
host=$(rustc -vV | sed -n 's/^host: //p')
flags=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg=fuzzing)
# With a target named, build scripts and macros are built without the counters, which they could not link.
RUSTFLAGS="${flags[*]}" cargo build --release --locked --target "$host" --target-dir "${CARGO_TARGET_DIR:-target}" --bin "$target"
mkdir -p "corpus/$target" "artifacts/$target"
if [ -z "$(ls -A "corpus/$target")" ]; then
  if [ -d "seeds/$target" ]; then
    cp "seeds/$target"/* "corpus/$target"
  elif [ -e "seeds/$target" ]; then
    n=0
    while IFS= read -r seed; do printf '%s' "$seed" >"corpus/$target/seed-$((n += 1))"; done <"seeds/$target"
  fi
fi
[ $# -gt 0 ] || set -- "corpus/$target"
# A run may take 10 s and a process 2 GB; what a decoding may take is asserted by its targets, far below.
exec "${CARGO_TARGET_DIR:-target}/$host/release/$target" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 \
  -max_len="${MAX_LEN:-8192}" -artifact_prefix="artifacts/$target/" "$@"
