#!/usr/bin/env bash
# Gets a checkout ready to run on a bare Debian 12 with Node.js >= 20 and root; safe to run again, quick when nothing changed.
# Changes on the host: installs the Debian packages of scripts/packages.txt that are missing (their services are not
# started), mounts bpffs at /sys/fs/bpf and a cgroup2 hierarchy when there is none. All else stays inside the checkout.
# Usage: scripts/bootstrap.sh [--build]     --build: only build, install and mount nothing
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

# npm puts node_modules/.bin first; the Node.js in there is replaced by `npm ci` while it runs.
PATH=$(printf '%s' "$PATH" | tr ':' '\n' | grep -v '/node_modules/' | paste -sd:)
APT_WAIT_S=180
policy_file=

cleanup() { [[ -z $policy_file ]] || rm -f "$policy_file"; }
trap cleanup EXIT

check_host() {
	local release major minor node_major
	[[ $(uname -s) == Linux ]] || die "needs Linux, this is $(uname -s)"
	[[ $(id -u) == 0 ]] || die "needs root (BPF programs, network namespaces, Debian packages): run it with sudo"
	release=$(uname -r)
	IFS=. read -r major minor _ <<<"$release"
	minor=${minor%%[!0-9]*}
	((major > 5 || (major == 5 && minor >= 10))) || die "needs Linux 5.10 or newer, this kernel is $release"
	[[ -r /sys/kernel/btf/vmlinux ]] || die "needs a kernel with type information: /sys/kernel/btf/vmlinux is missing (CONFIG_DEBUG_INFO_BTF=y)"
	command -v node >/dev/null || die "needs Node.js 20 or newer: no 'node' in PATH"
	node_major=$(node -p 'process.versions.node.split(".")[0]')
	((node_major >= 20)) || die "needs Node.js 20 or newer, this is $(node --version)"
	command -v npm >/dev/null || die "needs npm, which comes with Node.js: no 'npm' in PATH"
}

missing_packages() {
	local package
	while read -r package; do
		[[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || printf '%s\n' "$package"
	done < <(grep -v '^#' scripts/packages.txt)
}

# Waits while another apt holds a lock, at most APT_WAIT_S; any other failure is final.
apt() {
	local log deadline=$((SECONDS + APT_WAIT_S))
	log=$(mktemp)
	while ! DEBIAN_FRONTEND=noninteractive apt-get -qq -o "DPkg::Lock::Timeout=$APT_WAIT_S" "$@" >"$log" 2>&1 </dev/null; do
		if ! grep -q 'Could not get lock\|Unable to lock' "$log" || ((SECONDS >= deadline)); then
			tail -n 20 "$log" >&2
			rm -f "$log"
			die "'apt-get $*' failed"
		fi
		sleep 3
	done
	rm -f "$log"
}

install_packages() {
	local packages
	if ! command -v dpkg-query >/dev/null; then
		die "needs Debian packages ($(paste -sd' ' scripts/packages.txt)) and finds no dpkg here: install them by hand, then 'npm run build'"
	fi
	mapfile -t packages < <(missing_packages)
	((${#packages[@]})) || return 0
	command -v apt-get >/dev/null || die "needs these Debian packages and finds no apt-get to install them: ${packages[*]}"
	say "installing Debian packages: ${packages[*]}"
	if [[ ! -e /usr/sbin/policy-rc.d ]]; then # keeps nginx and others from starting on the host
		policy_file=/usr/sbin/policy-rc.d
		printf '#!/bin/sh\nexit 101\n' >"$policy_file"
		chmod 755 "$policy_file"
	fi
	apt update
	apt install --no-install-recommends -y "${packages[@]}"
	cleanup
	policy_file=
}

# True when node_modules holds what package-lock.json says, by npm's own record of what it installed.
modules_match() {
	node -e '
		const read = (p) => JSON.parse(require("fs").readFileSync(p, "utf8")).packages;
		const want = read("package-lock.json"), have = read("node_modules/.package-lock.json");
		for (const [path, p] of Object.entries(want)) {
			if (path === "" || (p.optional && !have[path])) continue;
			if (have[path]?.version !== p.version) process.exit(1);
		}' 2>/dev/null
}

install_modules() {
	local stamp=node_modules/.fairlead-lock hash log=build/npm-ci.log include
	hash=$(sha256sum package-lock.json | cut -d' ' -f1)
	if [[ -f $stamp && $(<"$stamp") == "$hash" && -x node_modules/.bin/node ]]; then return 0; fi
	if [[ ! -x node_modules/.bin/node ]] || ! modules_match; then
		say "installing npm packages (npm ci)"
		mkdir -p build
		include=$(dirname "$(dirname "$(command -v node)")")
		[[ -f $include/include/node/node_api.h ]] && export npm_config_nodedir=$include
		npm ci >"$log" 2>&1 </dev/null || {
			tail -n 30 "$log" >&2
			die "'npm ci' failed; whole output in $log"
		}
	fi
	printf '%s\n' "$hash" >"$stamp"
}

mount_file_systems() {
	if ! mountpoint -q /sys/fs/bpf; then
		say "mounting bpffs at /sys/fs/bpf"
		mount -t bpf bpf /sys/fs/bpf || die "cannot mount bpffs at /sys/fs/bpf"
	fi
	if ! grep -q ' cgroup2 ' /proc/mounts; then
		say "mounting cgroup2 at /sys/fs/cgroup/unified"
		if ! mkdir -p /sys/fs/cgroup/unified || ! mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified; then
			die "cannot mount a cgroup2 hierarchy at /sys/fs/cgroup/unified"
		fi
	fi
}

check_host
if [[ ${1:-} != --build ]]; then install_packages; fi
install_modules
if [[ ${1:-} != --build ]]; then mount_file_systems; fi
exec scripts/build.sh
