#!/usr/bin/env bash
# Formats all source files, or with --check says which are not formatted. Changes nothing with --check.
# Usage: scripts/format.sh --write | --check [c | ts]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mode=${1:---check} only=${2:-all}
mapfile -t c_files < <(find bpf native/src native/mount cni/front test bench \
	\( -name '*.c' -o -name '*.h' -o -name '*.cc' -o -name '*.cpp' -o -name '*.hpp' \) -not -name vmlinux.h -not -path '*/build/*' | sort)
if [[ $only != ts ]]; then
	case $mode in
	--write) clang-format-19 -i "${c_files[@]}" ;;
	*) clang-format-19 --dry-run --Werror "${c_files[@]}" ;;
	esac
fi
if [[ $only != c ]]; then
	case $mode in
	--write) node_modules/.bin/biome check --write . ;;
	*) node_modules/.bin/biome check --max-diagnostics=40 . ;;
	esac
fi
