#!/usr/bin/env bash
# Plugins that attack the engine, beside a neighbour whose rows and times are watched; then the host's own tests of them.
#   evil.sh            as they are
#   evil.sh valgrind   the host's tests under valgrind, which watches each access of the engine to memory (slow)
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" = valgrind ]; then
  command -v valgrind >/dev/null || tests/stack/packages.sh valgrind
  binary=$(cargo test --workspace --locked --lib --no-run --message-format=json-render-diagnostics 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*\/engine-[0-9a-f]*\)".*/\1/p' | tail -1)
  # Code that is made while it runs, and guard pages of gigabytes, are what a WebAssembly engine consists of.
  exec valgrind --smc-check=all-non-file --error-exitcode=9 --num-callers=30 --fair-sched=yes \
    "$binary" --test-threads=1 plugin::tests::evil plugin::tests::lying plugin::tests::loading
fi
cargo test --workspace --locked --test evil -- --test-threads=1 --nocapture
cargo test --workspace --locked --lib plugin::tests
