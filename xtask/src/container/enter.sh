#!/bin/sh -eu
# $0: the root with the tools; $1: the folder for images and containers; $2: what is shared with the caller; then the
# source, the compiler, the registry of crates and a target folder; then the script. In mount, process and network namespaces of
# its own.
ip link set lo up
root=$0
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
for place in sys dev; do mount --rbind "/$place" "$root/$place"; done
for place in run var/tmp var/lib/truechimer; do mount -t tmpfs -o mode=755 tmpfs "$root/$place"; done
chmod 1777 "$root/var/tmp"
for place in var/lib/containers place src toolchain registry target; do
    mount --bind "$1" "$root/$place"
    shift
done
mount --bind "$root/place/hosts" "$root/etc/hosts"
cd "$root"
pivot_root . mnt
umount -l /mnt
cd /
exec sh -eu "$@"
