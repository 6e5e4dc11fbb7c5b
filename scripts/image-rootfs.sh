#!/usr/bin/env bash
# Writes the file system of the image to a new directory: Node.js, what scripts/build.sh has built, and the shared libraries
# of both from the Debian packages of scripts/packages-image.txt. The Dockerfile and scripts/build-image.sh both use it.
# Changes nothing outside of that directory. Needs root, as the files belong to root; works without CAP_SYS_ADMIN.
# Usage: scripts/image-rootfs.sh DIRECTORY     Environment: SOURCE_DATE_EPOCH; DEBIAN_SOURCES, a source file of apt;
# IMAGE_DOWNLOADS, a directory in which downloads are kept and, if they are there, not asked for again
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
PATH=$PWD/node_modules/.bin:$PATH
umask 022

root=${1:?usage: scripts/image-rootfs.sh DIRECTORY}
[[ ! -e $root ]] || die "$root exists already"
[[ $(id -u) == 0 ]] || die "needs root: the files of the image belong to it"
for tool in mmdebstrap npm strip; do command -v "$tool" >/dev/null || die "needs $tool"; done
[[ -e dist/agent/main.js && -e native/build/Release/fairlead.node ]] || die "needs what 'npm run build' builds"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
node_version=$(node -p 'require("./package.json").dependencies.node')
downloads=$work
if [[ -n ${IMAGE_DOWNLOADS:-} ]]; then
	downloads=$IMAGE_DOWNLOADS/$({ cat scripts/packages-image.txt && echo "$node_version"; } | sha256sum | cut -c1-16)
	mkdir -p "$downloads"
fi

# The libraries must be those that the addon was linked with: the same release, by default from the same mirror.
download_debian() {
	local sources=${DEBIAN_SOURCES:-/etc/apt/sources.list.d/debian.sources} release
	[[ -f $sources ]] || sources=/etc/apt/sources.list
	release=$(. /etc/os-release && echo "$VERSION_CODENAME")
	mmdebstrap --quiet --mode=root --variant=extract --skip=cleanup --include="$(paste -sd, scripts/packages-image.txt)" \
		"$release" "$work/debian.part" "$sources"
	mv "$work/debian.part" "$downloads/debian"
}

# The npm package `node` leaves only the executable of the package for this architecture, and not its licence.
download_node() {
	local arch
	arch=$(node -p 'process.arch')
	npm pack --silent --prefer-offline --pack-destination "$work" "node-linux-$arch@$node_version"
	tar -xzf "$work/node-linux-$arch-$node_version.tgz" -C "$work" package/bin/node package/LICENSE
	strip --strip-unneeded "$work/package/bin/node"
	mv "$work/package" "$downloads/node"
}

# Of Debian: loader and libraries without the converters of character sets, the release, licences, and for scanners
# which packages these are, in the form of images that have no dpkg.
install_debian() {
	local package
	mkdir -p "$root"/{dev,etc,proc,run,sys,tmp,var/lib/dpkg/status.d}
	(
		cd "$downloads/debian"
		shopt -s nullglob
		tar -c --exclude=gconv --exclude=audit lib lib64* usr/lib/*-linux-gnu usr/lib/os-release etc/os-release \
			usr/share/common-licenses usr/share/doc/*/copyright
	) | tar -x -C "$root"
	while read -r package; do
		dpkg-deb --field "$downloads/debian/var/cache/apt/archives/${package}"_*.deb >"$root/var/lib/dpkg/status.d/$package"
	done <scripts/packages-image.txt
	ln -s /run "$root/var/run"
	echo 'root:x:0:0:root:/:/nonexistent' >"$root/etc/passwd"
	echo 'root:x:0:' >"$root/etc/group"
	echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
}

# The folders lie to each other as in a checkout: programs find the addon, the programs for the kernel and the rest by them.
install_fairlead() {
	local to=$root/opt/fairlead program
	mkdir -p "$to"/{bin,dist/bpf,dist/cni,native/build/Release}
	cp "$downloads/node/bin/node" "$to/node"
	cp -r dist/agent dist/cli "$to/dist/"
	cp dist/bpf/*.bpf.o "$to/dist/bpf/"
	cp dist/cni/fairlead-cni "$to/dist/cni/"
	strip --strip-unneeded -o "$to/native/build/Release/fairlead.node" native/build/Release/fairlead.node
	"${CC:-gcc}" -std=gnu11 -Wall -Wextra -Werror -static -Os -s -D_FORTIFY_SOURCE=2 -fstack-protector-strong \
		-o "$to/bin/fairlead-mount" native/mount/fairlead-mount.c
	find proto -name '*.proto' -exec cp --parents {} "$to/" \;
	cp package.json LICENSE LICENSES.md "$to/"
	for program in agent/main.js cli/main.js; do sed -i '1s|^#!.*|#!/opt/fairlead/node|' "$to/dist/$program"; done
	ln -s ../dist/agent/main.js "$to/bin/fairlead-agent"
	ln -s ../dist/cli/main.js "$to/bin/fairlead"
	ln -s ../dist/cni/fairlead-cni "$to/bin/fairlead-cni"
	node scripts/image-notices.ts "$to" "$node_version" "$downloads/node/LICENSE"
	# part of the addon
	dpkg-query --show --showformat 'deb ${Package} ${Version} BSD-2-Clause\n' libbpf-dev >>"$to/packages.txt"
	cp --parents /usr/share/doc/libbpf-dev/copyright "$root/"
}

if [[ ! -e $downloads/node ]]; then download_node >"$work/node.log" 2>&1 & fi
if [[ ! -e $downloads/debian ]]; then
	download_debian >"$work/debian.log" 2>&1 || { cat "$work/debian.log" >&2 && die "cannot get the Debian packages of the image"; }
fi
wait
[[ -e $downloads/node ]] || { cat "$work/node.log" >&2 && die "cannot get Node.js $node_version"; }
install_debian
install_fairlead
chmod -R u=rwX,go=rX "$root"
chmod 1777 "$root/tmp"
chown -R 0:0 "$root"
find "$root" -exec touch -h -d "@${SOURCE_DATE_EPOCH:-0}" {} +

# Started without the second step of agent/main.ts, which needs /proc.
env -u NODE_EXTRA_CA_CERTS chroot "$root" /opt/fairlead/node /opt/fairlead/dist/agent/run.js --version >/dev/null || die "the agent does not start in $root"
env -u NODE_EXTRA_CA_CERTS chroot "$root" /opt/fairlead/bin/fairlead --version >/dev/null || die "the command line tool does not start in $root"
