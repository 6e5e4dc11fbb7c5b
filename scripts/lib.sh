# shellcheck shell=bash
# Helpers of the shell scripts: messages, and build steps that run only when their inputs changed. Changes nothing itself.

say() {
	if [[ -t 2 ]]; then printf '\033[1m==>\033[0m %s\n' "$*" >&2; else printf '==> %s\n' "$*" >&2; fi
}
die() {
	printf 'fairlead: %s\n' "$*" >&2
	exit 1
}

# inputs_hash PATH...: one hash over names and contents of all files below the paths that exist.
inputs_hash() {
	local path existing=()
	for path in "$@"; do [[ -e $path ]] && existing+=("$path"); done
	{
		find "${existing[@]}" -type f -not -path '*/build/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
		clang-19 --version 2>/dev/null || true
	} | sha256sum | cut -d' ' -f1
}

# step NAME OUTPUT "INPUT..." COMMAND...: runs COMMAND unless OUTPUT exists and was made from the same inputs.
# The output of COMMAND is shown only when it fails.
step() {
	local name=$1 output=$2 inputs=$3 stamp=build/stamps/$1 hash log start=$SECONDS
	shift 3
	read -ra inputs <<<"$inputs"
	hash=$(inputs_hash "${inputs[@]}" scripts/lib.sh)
	if [[ -e $output && -f $stamp && $(<"$stamp") == "$hash" ]]; then return 0; fi
	say "building $name"
	mkdir -p build/stamps
	rm -f "$stamp"
	log=build/stamps/$name.log
	if ! "$@" >"$log" 2>&1; then
		tail -n 60 "$log" >&2
		die "cannot build $name: '$*' failed; whole output in $log"
	fi
	printf '%s\n' "$hash" >"$stamp"
	say "built $name in $((SECONDS - start)) s"
}
