#!/bin/sh
# Builds the programs that are installed, as all recipes but the deb's do: offline, if their crates were vendored or fetched
# before. SOURCE_DATE_EPOCH, which recipes set, is the build time that the governor takes for its earliest time: that of the
# release, and never one in the future. Further words go to cargo: --offline, --target.
set -eu
cd "$(dirname "$0")/.."
# A package for each program.
exec cargo build --release --locked "$@" \
    -p truechimer-privileged \
    -p truechimer-keeper \
    -p truechimer-keeper-virtual \
    -p truechimer-engine \
    -p truechimer-client \
    -p truechimer-server \
    -p truechimer-exchange \
    -p truechimer-key-service \
    -p truechimer-key-holder \
    -p truechimer-control \
    -p truechimer-metrics \
    -p truechimer-chronyc-bridge \
    -p truechimer-chrony-logs
