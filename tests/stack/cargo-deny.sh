#!/usr/bin/env bash
# Compiles cargo-deny where it is missing and prints its path. Pinned: another version has other rules.
set -euo pipefail
. "$(dirname "$0")/env.sh"
version=0.20.2
root="$STACK_CACHE/cargo-deny/$version"
mkdir -p "$root"
exec 9>"$root/.lock"; flock 9
if [ ! -x "$root/bin/cargo-deny" ]; then
  # A target folder of its own, not the workspace's: two cargos would wait for each other.
  env -u CARGO_TARGET_DIR cargo install --quiet --locked --root "$root" "cargo-deny@$version" >&2
fi
echo "$root/bin/cargo-deny"
