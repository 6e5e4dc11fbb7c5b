#!/usr/bin/env bash
# Runs clang-tidy over the addon with native/.clang-tidy; files that have not changed since they were clean are passed over.
# Changes nothing but build/stamps. Needs the addon built once (its compile commands).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

command -v clang-tidy-19 >/dev/null || die "needs clang-tidy-19: apt-get install clang-tidy-19"
commands=native/build/compile_commands.json
[[ -e $commands ]] || die "needs $commands: npm run build"
# The addon is compiled by gcc: clang does not know all of its warnings. The largest file takes as long as six others: it is the first.
step lint-native $commands "native/src native/.clang-tidy scripts/lint-native.sh" \
	xargs -P 2 -n 1 clang-tidy-19 -p native/build --quiet --extra-arg=-Wno-unknown-warning-option < <(ls -S native/src/*.cc)
