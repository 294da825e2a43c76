#!/bin/sh -eu
# Runs the manifests of /place and the command line of /place/run as they are for podman, and leaves answers in /place.
# $1: the client's image. Without CAP_SYS_TIME, which nothing here can come by again.
export PODMAN_IGNORE_CGROUPSV1_WARNING=1
podman() { command podman --log-level=error --runtime=runc --cgroup-manager=cgroupfs "$@"; }
# Until it ends with 0, for two minutes.
until_it() {
    for _ in $(seq 120); do
        ! "$@" >/place/said 2>&1 || return 0
        sleep 1
    done
    cat /place/said
    echo "two minutes, and still not: $*"
    for name in $(command podman ps --all --quiet); do podman logs "$name"; done
    return 1
}
counted() {
    podman exec "$server" /usr/bin/chimerctl --json server >/place/server.counters
    grep -q '"protected": [1-9]' /place/server.counters
}
named() { podman ps --format '{{.Names}}' | grep -- "$1"; }

# The authority of the server's certificate, beside those of the image.
container=$(buildah from --pull=never "$1")
cat /place/authority.pem >>"$(buildah mount "$container")/etc/ssl/certs/ca-certificates.crt"
buildah commit --quiet "$container" "$1" >/dev/null
buildah rm "$container" >/dev/null

podman kube play --quiet --network none /place/nts-fleet.yaml
server=nts-fleet-pod-truechimer
infra=$(podman inspect --format '{{.State.Pid}}' "$(named -infra)")
ip link add client type veth peer name server netns "$infra"
ip addr add 192.0.2.2/24 dev client
ip link set client up
for last in 11 12 13; do nsenter -t "$infra" -n ip addr add 192.0.2.$last/24 dev server; done
nsenter -t "$infra" -n ip link set server up
podman kube play --quiet /place/node-clocks.yaml
client=$(named 'node-clocks.*truechimer$')

# The probes of the manifests.
# shellcheck disable=SC2046
until_it podman exec "$server" $(cat /place/nts-fleet.probe)
# shellcheck disable=SC2046
until_it podman exec "$client" $(cat /place/node-clocks.probe)
for pod in server client; do
    eval "name=\$$pod"
    podman exec "$name" /usr/bin/chimerctl --json status >/place/$pod.status
    podman exec "$name" /usr/bin/chimerctl --json sources >/place/$pod.sources
done
# The server's counters come once a minute at the latest.
until_it counted
podman kube down --force /place/node-clocks.yaml >/dev/null
podman kube down --force /place/nts-fleet.yaml >/dev/null

# By hand, under the runtime's usual filter.
# shellcheck disable=SC2046
podman run --name truechimer --network none $(cat /place/run)
until_it podman healthcheck run truechimer
podman exec truechimer /usr/bin/chimerctl --json status >/place/run.status
podman stop --time 20 truechimer >/dev/null
podman inspect --format '{{.State.ExitCode}}' truechimer >/place/run.code
podman rm --force truechimer >/dev/null
