#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Counts the instructions of every piece in the benches and compares them with the kept baseline.
#
#   benches/counts.sh              all pieces; exit code 1 where one costs over 2 % more than it did
#   benches/counts.sh PATTERN      those whose names match
#   benches/counts.sh --bless      writes benches/baseline.txt anew, to be committed with what changed the counts
#
# A piece runs under callgrind twice, TIMES and 2 * TIMES times; the difference divided by TIMES is the cost of one,
# without what starting and preparing cost. Counts do not depend on load or clock speed, but on compiler, profile, C
# library and on what the processor can do, since libraries choose code by it. The baseline names these; where one
# differs, nothing is compared.
set -euo pipefail
cd "$(dirname "$0")/.."

baseline=benches/baseline.txt
benches=(wire route exchange)
profile=quick
# The 512 requests over which a route bench turns.
times=512
limit=2

# Flags of this machine's user must not decide what is compiled.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_INCREMENTAL
# Callgrind counts a `rep movsb` once for each byte it moves, which would make long copies look dear.
export GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=0x40000000
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

build() {
  cargo build --quiet --profile "$profile" --features bench "${benches[@]/#/--bench=}" \
    --message-format json-render-diagnostics > "$work/built"
  local bench
  for bench in "${benches[@]}"; do
    grep -o "\"executable\":\"[^\"]*/deps/$bench-[^\"]*\"" "$work/built" | cut -d'"' -f4 > "$work/$bench.path"
    # Valgrind reads all debug information before it begins, which takes longer than most counts.
    strip -o "$work/$bench" "$(< "$work/$bench.path")"
  done
}

# count BENCH NAME TIMES: instructions of the whole process.
count() {
  set -o pipefail
  COUNT=$2/$3 valgrind --tool=callgrind --callgrind-out-file=/dev/null "$work/$1" 2>&1 > /dev/null \
    | awk '/ Collected : /{ print $NF; found = 1 } END { exit !found }' > "$work/count.${2//\//.}.$3" \
    || { echo "counting $2 failed" >&2; return 255; }
}

# What makes two runs comparable, one fact on a line.
facts() {
  local seen
  seen=$(COUNT=machine valgrind -q --tool=none "$work/${benches[0]}")
  echo "toolchain $(rustc --version) $(rustc -vV | sed -n 's/^host: //p')"
  echo "profile $profile, our code as one codegen unit"
  echo "processor, as valgrind shows it: $seen"
  echo "$(valgrind --version), $(getconf GNU_LIBC_VERSION)"
}

# cost NAME: instructions of one.
cost() {
  local once twice
  once=$(< "$work/count.${1//\//.}.$times")
  twice=$(< "$work/count.${1//\//.}.$((2 * times))")
  echo $(((twice - once + times / 2) / times))
}

# Each gated piece and its count.
measured() {
  local name other often
  while read -r name other often; do
    if [ -n "$other" ]; then
      echo "$name $(($(cost "$name") - often * $(cost "$other")))"
    else
      echo "$name $(cost "$name")"
    fi
  done < "$work/list"
}

measure() {
  local bench
  : > "$work/list"
  for bench in "${benches[@]}"; do
    COUNT=list "$work/$bench" | { grep -E -e "$pattern" || true; } > "$work/$bench.list"
    cat "$work/$bench.list" >> "$work/list"
    awk -v bench="$bench" -v times="$times" '{
      print bench, $1, times; print bench, $1, 2 * times
      if ($2 && !seen[$2]++) { print bench, $2, times; print bench, $2, 2 * times }
    }' "$work/$bench.list"
  done > "$work/jobs"
  export -f count
  export work
  xargs -L 1 -P "$(nproc)" bash -c 'count "$@"' count < "$work/jobs"
  measured > "$work/now"
}

# Prints the table; fails where something costs more, is new or has gone.
compare() {
  awk -v limit="$limit" -v pattern="$pattern" '
    FNR == NR { if (!/^#/ && $1 ~ pattern) before[$1] = $2; next }
    FNR == 1 { printf "%-26s %12s %12s %9s\n", "piece", "baseline", "now", "change" }
    {
      seen[$1] = 1
      if (!($1 in before)) { printf "%-26s %12s %12d %9s  NOT IN THE BASELINE\n", $1, "-", $2, "-"; unknown++; next }
      change = 100 * ($2 - before[$1]) / before[$1]
      word = ""
      if (change > limit) { word = "WORSE"; worse++ }
      if (change < -limit) { word = "better"; better++ }
      printf "%-26s %12d %12d %+8.2f%%  %s\n", $1, before[$1], $2, change, word
      compared++
    }
    END {
      for (name in before) if (!(name in seen)) { printf "%-26s %12d  HAS GONE\n", name, before[name]; gone++ }
      if (better) print better " better by over " limit " %: keep it with benches/counts.sh --bless"
      if (worse) print worse " worse by over " limit " %: find out why, or say why in the commit that blesses it"
      if (unknown || gone) print "the baseline has other pieces than the benches: benches/counts.sh --bless"
      failed = worse || unknown || gone
      printf "test result: %s. %d instruction counts compared\n", failed ? "FAILED" : "ok", compared
      exit failed
    }' "$baseline" "$work/now"
}

bless() {
  {
    echo '# Instructions of one of each piece, written by benches/counts.sh --bless and compared by benches/counts.sh.'
    sed 's/^/# /' "$work/facts"
    cat "$work/now"
  } > "$baseline"
  echo "$baseline written: $(wc -l < "$work/now") counts"
}

pattern=${1:-.}
[ "$pattern" != --bless ] || pattern=.
build
facts > "$work/facts"
if [ "${1:-}" = --bless ]; then
  measure
  bless
  exit
fi
if ! sed -n 's/^# //p' "$baseline" | tail -n +2 | diff - "$work/facts" > "$work/difference"; then
  echo "counts: NOT compared, since the baseline (<) was made where something else was given than here (>):"
  cat "$work/difference"
  exit 0
fi
measure
compare
