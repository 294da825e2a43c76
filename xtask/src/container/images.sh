#!/bin/sh -eu
# $1 $2 $3: names of the base images of the Containerfile's stages build and root, and of the manifests' busybox; $4 $5: names of
# the images that are built; $6: SOURCE_DATE_EPOCH.
# As in a registry, made of Debian's packages: what buildah finds here it does not fetch.
base() {
    name=$1 from=$2
    shift 2
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$from" / >/dev/null
    [ $# -eq 0 ] || buildah config "$@" "$container"
    buildah commit --quiet "$container" "$name" >/dev/null
    buildah rm "$container" >/dev/null
}
base "$1" /place/build --env CARGO_HOME=/usr/local/cargo --env PATH=/usr/local/cargo/bin:/usr/sbin:/usr/bin
base "$2" /place/root
mkdir -p /run/busybox/bin
cp "$(command -v busybox)" /run/busybox/bin/busybox
for applet in $(busybox --list | grep -vx busybox); do ln -sf busybox "/run/busybox/bin/$applet"; done
base "$3" /run/busybox --env PATH=/bin

limit() { sed -n "s/^Max $1  *[^ ]*  *\([^ ]*\) .*/\1/p" /proc/self/limits; }
build() {
    # The compiler and the crates are this machine's; the limits are those that are in force, which need not be raised.
    files=$(limit 'open files') processes=$(limit processes)
    buildah build --isolation chroot --pull=never --format docker --target "$1" --tag "$2" \
        --ulimit "nofile=$files:$files" --ulimit "nproc=$processes:$processes" \
        --build-arg "SOURCE_DATE_EPOCH=$3" -f packaging/container/Containerfile \
        --volume /toolchain/bin:/usr/local/cargo/bin:ro --volume /toolchain/lib:/usr/local/cargo/lib:ro \
        --volume /registry:/usr/local/cargo/registry:O --volume /target:/src/target .
}
cd /src
build server "$4" "$6"
build client "$5" "$6"
buildah images
