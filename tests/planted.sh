#!/usr/bin/env bash
# Known bugs, planted one at a time into a copy of the sources: the simulation must find each. A suite that can't find a
# known bug proves nothing.
#   planted.sh            all of them; minutes, as each is a build of the engine
#   planted.sh NAME...    those: names of tests/simulation/planted/*.patch
#   planted.sh --check    whether all still fit the sources; at once
# A patch says in words what the bug is, and by what it has to be found:
#   Found-by: seeds N     by one of the seeds from 0 to N - 1 (make simulate)
#   Found-by: test NAME   by that test of tests/simulation
# Where one no longer fits: plant the same bug again, and write the difference down in its place.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=tests/simulation/planted

patches=()
for name in "$@"; do
  [ "$name" = --check ] || patches+=("$folder/$name.patch")
done
[ ${#patches[@]} -gt 0 ] || patches=("$folder"/*.patch)

unfit=0
for patch in "${patches[@]}"; do
  git apply --check "$patch" || { echo "$patch no longer fits the sources"; unfit=1; }
  grep -Eq '^Found-by: (seeds [0-9]+|test [a-z_:]+)$' "$patch" || { echo "$patch does not say what finds it"; unfit=1; }
done
[ $unfit = 0 ] || exit 1
if [ "${1:-}" = --check ]; then echo "all ${#patches[@]} fit"; exit 0; fi

# Few seeds of a quick build are sooner done than many of a fast one.
export CARGO_PROFILE_DEV_OPT_LEVEL=0 CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=1
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
build() { cargo test --workspace --locked --no-run --message-format=json "$@" 2>"$copy.log"; }
# executable NAME: of what cargo says that it has built, the test of that name.
executable() { grep -o '"executable":"[^"]*/'"$1"'-[0-9a-f]*"' | tail -n 1 | cut -d'"' -f4; }
# built NAME: builds the test with the bug. One that is as it was before has no bug, and finding nothing would mean nothing.
built() {
  local messages
  messages=$(build --test "$1") || { cat "$copy.log" >&2; return 1; }
  grep -q '"fresh":false' <<<"$messages" || { echo "nothing was built anew" >&2; return 1; }
  executable "$1" <<<"$messages"
}

# A copy, not the sources: whoever stops this must not be left with a bug. It has a target folder of its own, as cargo
# would take what was built of one folder for the other's; of the dependencies that is a second name for the same file.
copy=$target/planted/sources
mkdir -p "$copy"
build --test seeds --test simulation >/dev/null || { cat "$copy.log"; exit 1; }
find "$copy" -mindepth 1 -delete
git ls-files -z --cached --others --exclude-standard | xargs -0 cp -p --parents -t "$copy"
git -C "$copy" init --quiet 2>/dev/null
if [ ! -d "$target/planted/debug" ]; then
  mkdir "$target/planted/debug"
  cp -al "$target/debug/deps" "$target/debug/build" "$target/planted/debug/"
  cp -a "$target/debug/.fingerprint" "$target/planted/debug/"
fi
cd "$copy"
export CARGO_TARGET_DIR=$target/planted
for package in engine debezium-decode tests; do cargo clean --quiet --locked -p "$package"; done

failed=0
for patch in "${patches[@]}"; do
  name=$(basename "$patch" .patch) found_by=$(sed -n 's/^Found-by: //p' "$patch")
  git apply "$patch"
  touch $(sed -n 's|^+++ b/||p' "$patch")
  outcome="NOT FOUND by $found_by"
  case $found_by in
    seeds*)
      binary=$(built seeds)
      # What does not end in paused time never will.
      if ! (cd tests && SEEDS=${found_by#seeds } FAILURES=1 timeout 600 "$binary") >"$copy.log" 2>&1; then
        seed=$(sed -n 's/^SEED=\([0-9]*\) failed:$/\1/p' "$copy.log" | sort -n | head -n 1)
        outcome="found by seed ${seed:-? (no run came to its end)} of ${found_by#seeds }: $(sed -n '/^SEED=/{n;s/^ *//;p;q}' "$copy.log" | cut -c-100)"
      fi ;;
    test*)
      binary=$(built simulation)
      (cd tests && timeout 600 "$binary" --exact "${found_by#test }") >"$copy.log" 2>&1 || outcome="found by ${found_by#test }"
      ! grep -q '^running 0 tests' "$copy.log" || outcome="NOT FOUND: there is no test ${found_by#test }" ;;
  esac
  git apply --reverse "$patch"
  touch $(sed -n 's|^+++ b/||p' "$patch")
  case $outcome in NOT*) failed=$((failed + 1)) ;; esac
  printf '%-32s %s\n' "$name" "$outcome"
done
echo "${#patches[@]} bugs planted, $failed not found"
[ $failed = 0 ]
