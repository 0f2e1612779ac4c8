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
  # Code that is made while it runs is looked at again. Left out is what valgrind can't do: a load whose value nobody uses
  # is none for it, so it does not trap; a stack that overflows; a memory that is scanned, and 10,000 log lines, in time.
  exec valgrind --smc-check=all-non-file --error-exitcode=9 --num-callers=30 --fair-sched=yes \
    --suppressions=tests/evil/valgrind.supp "$binary" --test-threads=1 plugin::tests::evil plugin::tests::lying \
    --skip a_trap_is_named --skip without_address_space --skip recursion_without_end --skip the_one_before_it \
    --skip a_flood_of_log_lines
fi
cargo test --workspace --locked --test evil -- --test-threads=1 --nocapture
cargo test --workspace --locked --lib plugin::tests
