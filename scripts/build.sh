#!/usr/bin/env bash
# Builds what changed: BPF objects, the addon, the CNI front, and the JavaScript of dist/. Writes only inside the checkout.
# Needs what scripts/bootstrap.sh installs; `npm run build` calls it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
PATH=$PWD/node_modules/.bin:$PATH

step bpf dist/bpf "bpf scripts/build-bpf.ts" node scripts/build-bpf.ts
step addon native/build/Release/fairlead.node "native/src native/CMakeLists.txt package-lock.json" cmake-js -d native compile
step cni dist/cni/fairlead-cni "cni/front scripts/build-cni.sh" scripts/build-cni.sh
step javascript dist/agent/run.js "agent cli cni native/abi native/facade native/index.ts proto scripts/bundle.ts package.json package-lock.json" node scripts/bundle.ts
