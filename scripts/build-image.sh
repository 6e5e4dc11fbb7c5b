#!/usr/bin/env bash
# Builds the image of the Dockerfile without Docker and without a registry: same files, same configuration, as an OCI layout
# and as one archive of it. The same commit, day of Debian's mirror and tools give the same bytes.
# Usage: scripts/build-image.sh [DIRECTORY]     default: build/image; what is there of an earlier image is replaced
# Writes DIRECTORY/oci, DIRECTORY/fairlead-VERSION-ARCH.tar and DIRECTORY/rootfs only, and prints the archive's path.
# Environment: VERSION (default: that of package.json), REVISION, SOURCE_DATE_EPOCH, and that of scripts/image-rootfs.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
PATH=$PWD/node_modules/.bin:$PATH

for tool in dpkg mmdebstrap node tar umoci; do command -v "$tool" >/dev/null || die "needs $tool: run scripts/bootstrap.sh"; done
scripts/build.sh
out=${1:-build/image}
VERSION=${VERSION:-$(node -p 'require("./package.json").version')}
REVISION=${REVISION:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
CREATED=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
export SOURCE_DATE_EPOCH
arch=$(dpkg --print-architecture)
image=$out/oci:$VERSION
archive=$out/fairlead-$VERSION-$arch.tar
history=(--history.created "$CREATED" --history.author fairlead)
tar_options=(--sort=name --format=gnu --owner=0 --group=0 --numeric-owner "--mtime=@$SOURCE_DATE_EPOCH")

# unquoted WORD: a value of the Dockerfile without quotes and with the build's arguments in place.
# shellcheck disable=SC2016 # the names stand in the Dockerfile as they are here
unquoted() {
	local value=${1%\"}
	value=${value#\"}
	value=${value//'${VERSION}'/$VERSION}
	value=${value//'${REVISION}'/$REVISION}
	printf '%s' "${value//'${CREATED}'/$CREATED}"
}

# shellcheck disable=SC2016 # it is JavaScript that has the dollar sign
# Turns the Dockerfile's last stage into options of `umoci config`, one a line.
config_options() {
	local word rest
	while read -r word rest; do
		case $word in
		LABEL) printf '%s\n' "--config.label=${rest%%=*}=$(unquoted "${rest#*=}")" "--manifest.annotation=${rest%%=*}=$(unquoted "${rest#*=}")" ;;
		ENV) printf '%s\n' "--config.env=$rest" ;;
		USER) printf '%s\n' "--config.user=$rest" ;;
		WORKDIR) printf '%s\n' "--config.workingdir=$rest" ;;
		STOPSIGNAL) printf '%s\n' "--config.stopsignal=$rest" ;;
		ENTRYPOINT) node -e 'for (const word of JSON.parse(process.argv[1])) console.log(`--config.entrypoint=${word}`)' "$rest" ;;
		FROM | COPY | ARG | '') ;;
		*) die "Dockerfile: $word is not known to scripts/build-image.sh" ;;
		esac
	done < <(sed -n '/^FROM scratch/,$p' Dockerfile)
}

mkdir -p "$out"
rm -rf "$out/oci" "$out/rootfs" "$out/layer.tar" "$archive"
say "writing the file system of the image"
scripts/image-rootfs.sh "$out/rootfs"
options=$(config_options)
mapfile -t options <<<"$options"
say "packing it"
tar -c "${tar_options[@]}" -f "$out/layer.tar" -C "$out/rootfs" .
umoci init --layout "$out/oci"
umoci new --image "$image"
umoci raw add-layer --image "$image" "${history[@]}" --history.created_by scripts/image-rootfs.sh "$out/layer.tar"
umoci config --image "$image" "${options[@]}" --os linux --architecture "$arch" --created "$CREATED" --no-history
umoci gc --layout "$out/oci"
rm "$out/layer.tar"
tar -c "${tar_options[@]}" -f "$archive" -C "$out/oci" .
printf '%s\n' "$archive"
