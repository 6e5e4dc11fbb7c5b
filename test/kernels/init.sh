#!/bin/busybox sh
# shellcheck shell=dash
# First process of the guest: mounts what the agent needs, loads modules, runs guest.ts, ends the machine.
export PATH=/usr/sbin:/usr/bin:/bin HOME=/tmp
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /var
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t tmpfs run /run
/bin/busybox mount -t tmpfs tmp /tmp
/bin/busybox ln -s /proc/self/fd /dev/fd
/bin/busybox --install -s /bin
mkdir -p /run/netns /var/lib
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo 1 >/proc/sys/kernel/printk
# Not every kernel has it; the tests say so.
/usr/sbin/modprobe sctp
for module in veth vxlan dummy bridge sch_ingress cls_bpf; do /usr/sbin/modprobe "$module" || echo "FLK fail module $module: cannot load it"; done
ip link set lo up
cd /fairlead || exit 1
export TEST_PATIENCE=20
node_modules/.bin/node test/kernels/guest.ts </dev/null 2>&1
echo "FLK end $?"
poweroff -f
