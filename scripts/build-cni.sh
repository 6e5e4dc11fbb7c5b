#!/usr/bin/env bash
# Compiles the CNI executable: cni/front/*.c → dist/cni/fairlead-cni, static, so that it runs on any host.
# Usage: scripts/build-cni.sh [--asan]     --asan: build/cni/fairlead-cni-asan with AddressSanitizer and UBSan instead
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

sources=(cni/front/*.c)
warnings=(-std=gnu11 -Wall -Wextra -Werror -Wshadow -Wformat=2 -Wvla)
output=dist/cni/fairlead-cni
options=(-static -Os -s -D_FORTIFY_SOURCE=2 -fstack-protector-strong -ffunction-sections -fdata-sections '-Wl,--gc-sections')
if [[ ${1:-} == --asan ]]; then
	output=build/cni/fairlead-cni-asan
	options=(-g -O1 '-fsanitize=address,undefined' -fno-sanitize-recover=all -fno-omit-frame-pointer)
fi

command -v "${CC:-gcc}" >/dev/null || {
	echo "build-cni: needs a C compiler: no '${CC:-gcc}' in PATH" >&2
	exit 1
}
stamp="$output"
if [[ -x $stamp && -z $(find cni/front scripts/build-cni.sh -newer "$stamp" -type f -print -quit) ]]; then exit 0; fi
mkdir -p "$(dirname "$output")"
"${CC:-gcc}" "${warnings[@]}" "${options[@]}" -o "$output.$$.tmp" "${sources[@]}"
mv -f "$output.$$.tmp" "$output"
