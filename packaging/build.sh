#!/bin/sh
# Builds the programs that are installed, as all recipes but the deb's do: offline, if their crates were vendored or fetched
# before. SOURCE_DATE_EPOCH, which recipes set, is the build time that the governor takes for its earliest time: that of the
# release, and never one in the future. Further words go to cargo: --offline, --target.
#
# AUDITABLE=1: each program has the list of its crates in it (section .dep-v0), by cargo-auditable, which has to be installed.
#
# FIPS=1: with AWS-LC's FIPS 140 module and what it approves (docs/fips.md); needs cmake, Go and Perl.
set -eu
cd "$(dirname "$0")/.."
case ${AUDITABLE:-0} in
    0) set -- build "$@" ;;
    1) set -- auditable build "$@" ;;
    *)
        echo "build.sh: AUDITABLE is 0 or 1" >&2
        exit 2
        ;;
esac
case ${FIPS:-0} in
    0) ;;
    1)
        set -- "$@" --features truechimer-engine/fips,truechimer-server/fips,truechimer-exchange/fips \
            --features truechimer-key-service/fips,truechimer-key-holder/fips
        ;;
    *)
        echo "build.sh: FIPS is 0 or 1" >&2
        exit 2
        ;;
esac
# A package for each program.
exec cargo "$@" --release --locked \
    -p truechimer-privileged \
    -p truechimer-keeper \
    -p truechimer-keeper-virtual \
    -p truechimer-engine \
    -p truechimer-client \
    -p truechimer-server \
    -p truechimer-exchange \
    -p truechimer-key-service \
    -p truechimer-key-holder \
    -p truechimer-samba \
    -p truechimer-refclock \
    -p truechimer-control \
    -p truechimer-metrics \
    -p truechimer-chronyc-bridge \
    -p truechimer-chrony-logs
