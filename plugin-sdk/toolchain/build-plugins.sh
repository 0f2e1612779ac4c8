#!/usr/bin/env bash
# Builds plugins: plugin.wasm beside the Cargo.toml of each package NAME, without names of all that have a source below plugins/
# and examples/<pipeline>/plugins/.
#   plugin-sdk/toolchain/build-plugins.sh [NAME…]
# A plugin.toml of an example that says shared = "NAME" gets plugins/NAME/plugin.wasm, where its engine looks for that.
#
# A file is replaced in one step, so that a running engine sees the old plugin or the new one, never half of one;
# a plugin that came out the same keeps its file untouched. Brings the wasm target where it is missing.
#
# Built in a target folder of its own, ${CARGO_TARGET_DIR:-target}/plugins: the toolchain may be another one than the
# host's, and one folder for both would be rebuilt with each change of hands.
set -euo pipefail
shopt -s nullglob
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
target_dir=${CARGO_TARGET_DIR:-$root/target}/plugins
cd "$root"

declare -A folders=()
for manifest in plugins/*/Cargo.toml examples/*/plugins/*/Cargo.toml; do
  folders[$(sed -n 's/^name = "\(.*\)"$/\1/p;T;q' "$manifest")]=$(dirname "$manifest")
done
names=("$@")
[ ${#names[@]} != 0 ] || mapfile -t names < <(printf '%s\n' "${!folders[@]}" | sort)
packages=()
for name in "${names[@]}"; do
  [ -n "${folders[$name]:-}" ] || { echo "build-plugins: there is no plugin $name: known are ${!folders[*]}" >&2; exit 1; }
  packages+=(-p "$name")
done

toolchain=$(plugin-sdk/toolchain/wasm-target.sh)
# simd128 saves a tenth of the time per row; every engine since 2021 runs it.
RUSTUP_TOOLCHAIN=$toolchain CARGO_TARGET_DIR=$target_dir \
  CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-C target-feature=+simd128" \
  cargo build --quiet --locked --profile plugin --lib --target wasm32-unknown-unknown "${packages[@]}"

# put FROM TO
put() {
  cmp -s "$1" "$2" && return
  mkdir -p "$(dirname "$2")"
  cp "$1" "$2.new"
  mv "$2.new" "$2"
}
for name in "${names[@]}"; do
  plugin=${folders[$name]}/plugin.wasm
  put "$target_dir/wasm32-unknown-unknown/plugin/${name//-/_}.wasm" "$plugin"
  printf '%s: %d KiB\n' "$plugin" $(($(wc -c <"$plugin") / 1024))
done
for settings in examples/*/plugins/*/plugin.toml; do
  shared=$(sed -n 's/^shared *= *"\(.*\)".*/\1/p' "$settings")
  [ ! -f "plugins/$shared/plugin.wasm" ] || put "plugins/$shared/plugin.wasm" "$(dirname "$settings")/../_shared/$shared/plugin.wasm"
done
