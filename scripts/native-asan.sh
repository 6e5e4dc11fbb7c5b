#!/usr/bin/env bash
# Runs the addon's tests under AddressSanitizer, UndefinedBehaviorSanitizer and LeakSanitizer.
# Changes on the host: what the tests change (namespaces, bpffs pins, a cgroup; all removed again). Builds into native/build/asan;
# reports stay in native/build/asan/reports until the next run.
# Usage: scripts/native-asan.sh [vitest arguments]; exit code 0 = tests passed and no report names the addon.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
PATH=$PWD/node_modules/.bin:$PATH

[[ $(id -u) == 0 ]] || die "needs root (BPF): run it with sudo"
asan=$(gcc -print-file-name=libasan.so)
stdcxx=$(gcc -print-file-name=libstdc++.so)
[[ -e $asan && -e $stdcxx ]] || die "needs gcc's libasan and libstdc++: apt-get install g++"

out=native/build/asan
step addon-asan $out/Release/fairlead.node "native/src native/CMakeLists.txt package-lock.json" \
	cmake-js -d native -O $out --CDFAIRLEAD_ASAN=ON compile
reports=$PWD/$out/reports
rm -rf "$reports"
mkdir -p "$reports"

# Node-API frees these two only in an environment that still runs JavaScript; a terminated worker keeps a few bytes each.
printf 'leak:^napi_create_promise$\nleak:^napi_create_external$\n' >"$out/lsan.supp"

# Node.js and the programs that tests start leak by design at exit: of the leak reports only those that name the addon count.
# LeakSanitizer crashes now and then on thread-local storage of Node.js threads that are ending; the addon keeps no heap there.
status=0
(($#)) || set -- native/*.test.ts
NODE_OPTIONS="--import=$PWD/scripts/native-asan-preload.mjs" \
	FAIRLEAD_ADDON=$PWD/$out/Release/fairlead.node \
	LD_PRELOAD="$asan $stdcxx" \
	ASAN_OPTIONS="abort_on_error=1:detect_leaks=1:detect_stack_use_after_return=0:intercept_tls_get_addr=0:log_path=$reports/asan:log_exe_name=1" \
	LSAN_OPTIONS="exitcode=0:use_tls=0:suppressions=$PWD/$out/lsan.supp:print_suppressions=0" \
	UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1" \
	vitest run --project kernel --testTimeout=180000 --hookTimeout=180000 "$@" || status=$?

ours='fairlead::|fairlead\.node|native\/src\/|ERROR: AddressSanitizer|runtime error'
mapfile -t blamed < <(grep -lE "$ours" "$reports"/* 2>/dev/null || true)
for report in "${blamed[@]}"; do
	printf '%s\n' "--- $report" >&2
	# Whole leak reports are long: show the paragraphs that name the addon, at most 80 lines of each report.
	awk -v RS= -v ours="$ours" '$0 ~ ours { n = split($0, lines, "\n"); for (i = 1; i <= n && shown++ < 80; i++) print lines[i] }' "$report" >&2
done
((${#blamed[@]} == 0)) || die "${#blamed[@]} sanitizer reports name the addon"
((status == 0)) || die "the tests failed under the sanitizers (exit code $status)"
say "no sanitizer report names the addon"
