#!/usr/bin/env bash
# Makes wasm32-unknown-unknown buildable and prints the toolchain to build with:
#   cargo "+$(plugin-sdk/toolchain/wasm-target.sh)" build --target wasm32-unknown-unknown
#
# 1. Where the active toolchain has the target, that is all.
# 2. Else `rustup target add`.
# 3. Where rustup cannot fetch it (an offline mirror, a proxy without static.rust-lang.org), Debian's rustc-web and
#    rust-web-src: their sources build the target's std once, into a private sysroot, linked into rustup as "wasm".
#
# Idempotent. The answer is the only line on stdout; progress goes to stderr.
# WASM_TARGET_FALLBACK=1 goes to step 3 at once. WASM_SYSROOT is the private sysroot's folder.
set -euo pipefail
target=wasm32-unknown-unknown
sysroot=${WASM_SYSROOT:-${XDG_DATA_HOME:-$HOME/.local/share}/wasm-toolchain}

say() { printf 'wasm-target: %s\n' "$*" >&2; }

from_rustup() {
  [ -z "${WASM_TARGET_FALLBACK:-}" ] || return 1
  compgen -G "$(rustc "+$active" --print sysroot)/lib/rustlib/$target/lib/libstd-*.rlib" >/dev/null && return 0
  timeout 120 rustup target add --toolchain "$active" "$target" >&2 && return 0
  say "rustup cannot fetch the target; its standard library is built from Debian's source"
  return 1
}

install_debian_rust() {
  [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && [ -d /usr/lib/rustlib/src/rust/library ] && return 0
  command -v apt-get >/dev/null || { say "no apt-get here: add the target $target to your Rust toolchain by hand"; exit 1; }
  local sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq >&2
  $sudo apt-get install -y -qq --no-install-recommends rustc-web cargo-web rust-web-src >&2
}

# The compiler is Debian's, its sysroot ours: the host's std by link, the target's std built below.
lay_out_sysroot() {
  local host=$1
  rm -rf "$sysroot"
  mkdir -p "$sysroot/bin" "$sysroot/lib/rustlib/$host" "$sysroot/lib/rustlib/$target/lib"
  ln -s "/usr/lib/rustlib/$host/lib" "$sysroot/lib/rustlib/$host/lib"
  # The linkers (rust-lld, wasm-component-ld) come with rustup's toolchain.
  ln -s "$(rustc "+$active" --print sysroot)/lib/rustlib/$host/bin" "$sysroot/lib/rustlib/$host/bin"
  local tool
  for tool in rustc rustdoc; do
    printf '#!/bin/sh\nexec /usr/bin/%s --sysroot "%s" "$@"\n' "$tool" "$sysroot" >"$sysroot/bin/$tool"
    chmod +x "$sysroot/bin/$tool"
  done
  ln -s /usr/bin/cargo "$sysroot/bin/cargo"
}

build_std() {
  local work
  work=$(mktemp -d)
  trap "rm -rf '$work'" EXIT
  mkdir "$work/src"
  echo '#![no_std]' >"$work/src/lib.rs"
  printf '[package]\nname = "sysroot_probe"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n' >"$work/Cargo.toml"
  # Bitcode is kept, so that plugins can use lto = "fat".
  (cd "$work" && env -u RUSTC_WRAPPER -u CARGO_TARGET_DIR -u __CARGO_TESTS_ONLY_SRC_ROOT \
    RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Cembed-bitcode=yes" \
    /usr/bin/cargo build -q --release -Zbuild-std=std,panic_abort --target "$target" --target-dir "$work/target" >&2)
  find "$work/target/$target/release/deps" -name 'lib*.rlib' ! -name 'libsysroot_probe*' \
    -exec cp {} "$sysroot/lib/rustlib/$target/lib/" \;
}

active=$(rustup show active-toolchain | cut -d' ' -f1)
if from_rustup; then
  echo "$active"
  exit 0
fi

install_debian_rust
stamp="$(/usr/bin/rustc -V) / $target"
# The stamp is written last: a build that was broken off is begun anew.
if [ "$(cat "$sysroot/stamp" 2>/dev/null || true)" != "$stamp" ]; then
  say "building the standard library for $target (a minute, once)"
  lay_out_sysroot "$(/usr/bin/rustc -vV | sed -n 's/^host: //p')"
  build_std
  echo "$stamp" >"$sysroot/stamp"
fi
rustup toolchain link wasm "$sysroot" >&2
echo wasm
