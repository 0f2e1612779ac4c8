#!/usr/bin/env bash
# Builds plugins: plugins/<name>/plugin.wasm for each NAME, without names for all that have a source here.
#   plugin-sdk/toolchain/build-plugins.sh [NAME…]
#
# The file is replaced in one step, so that a running engine sees the old plugin or the new one, never half of one;
# a plugin that came out the same keeps its file untouched. Brings the wasm target where it is missing.
#
# Built in a target folder of its own, ${CARGO_TARGET_DIR:-target}/plugins: the toolchain may be another one than the
# host's, and one folder for both would be rebuilt with each change of hands.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
target_dir=${CARGO_TARGET_DIR:-$root/target}/plugins
cd "$root"

names=("$@")
if [ ${#names[@]} = 0 ]; then
  for manifest in plugins/*/Cargo.toml; do names+=("$(basename "$(dirname "$manifest")")"); done
fi
packages=()
for name in "${names[@]}"; do
  [ -f "plugins/$name/Cargo.toml" ] || { echo "build-plugins: there is no plugins/$name/Cargo.toml" >&2; exit 1; }
  packages+=(-p "$name")
done

toolchain=$(plugin-sdk/toolchain/wasm-target.sh)
# simd128 saves a tenth of the time per row; every engine since 2021 runs it.
RUSTUP_TOOLCHAIN=$toolchain CARGO_TARGET_DIR=$target_dir \
  CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-C target-feature=+simd128" \
  cargo build --quiet --locked --profile plugin --lib --target wasm32-unknown-unknown "${packages[@]}"

for name in "${names[@]}"; do
  built=$target_dir/wasm32-unknown-unknown/plugin/${name//-/_}.wasm
  plugin=plugins/$name/plugin.wasm
  if ! cmp -s "$built" "$plugin"; then
    cp "$built" "$plugin.new"
    mv "$plugin.new" "$plugin"
  fi
  printf '%s: %d KiB\n' "$plugin" $(($(wc -c <"$plugin") / 1024))
done
