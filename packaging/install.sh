#!/bin/sh
# Puts a build of truechimer into the root of a package: what all recipes have in common. It asks no package
# manager, makes no user and starts nothing.
#
#   packaging/install.sh DESTDIR PROGRAMS [SERVICE-MANAGER...]
#
# PROGRAMS is the folder of the release build (target/release). Service managers: systemd (default), openrc, runit, s6; and
# apparmor, its profile.
# In the environment, for distributions that have them elsewhere:
#   BINDIR       /usr/bin                   chimerctl
#   SBINDIR      /usr/sbin                  truechimerd (a link), truechimer-metrics
#   UNITDIR      /usr/lib/systemd/system
#   DOCDIR       /usr/share/doc/truechimer
#   COMPLETIONS  the folder that `cargo xtask completions` has filled (target/completions); without it there are none
#   ZSHDIR       /usr/share/zsh/site-functions
# The programs of the daemon are always in /usr/lib/truechimer: units and profiles name it.
set -eu
umask 022

[ $# -ge 2 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
dest=$1 programs=$2
shift 2
[ $# -gt 0 ] || set -- systemd
here=$(cd "$(dirname "$0")" && pwd)
bin=${BINDIR:-/usr/bin} sbin=${SBINDIR:-/usr/sbin} units=${UNITDIR:-/usr/lib/systemd/system}
doc=${DOCDIR:-/usr/share/doc/truechimer} own=/usr/lib/truechimer

# put MODE TO FILE...: into the folder TO, under their own names
put() {
    mode=$1 to=$dest$2
    shift 2
    install -d -m 755 "$to"
    install -m "$mode" -- "$@" "$to/"
}

# put_as MODE FILE TO: under another name
put_as() {
    install -d -m 755 "$(dirname "$dest$3")"
    install -m "$1" -- "$2" "$dest$3"
}

# Programs of the daemon. Without permission to read the keepers a user cannot trace one from its start.
for program in \
    truechimerd \
    truechimer-engine \
    truechimer-client \
    truechimer-server \
    truechimer-exchange \
    truechimer-key-service \
    truechimer-key-holder \
    truechimer-samba \
    truechimer-refclock \
    truechimer-chronyc-bridge \
    truechimer-chrony-logs; do
    put 755 $own "$programs/$program"
done
for program in \
    truechimer-keeper \
    truechimer-keeper-virtual; do
    put 711 $own "$programs/$program"
done
put 755 "$bin" "$programs/chimerctl"
put 755 "$sbin" "$programs/truechimer-metrics"
# The daemon finds its programs beside the file that this leads to.
ln -sf ../lib/truechimer/truechimerd "$dest$sbin/truechimerd"

put 644 /etc/truechimer "$here/truechimer.toml"
install -d -m 755 "$dest/etc/truechimer/truechimer.d"
put 644 "$doc" "$here/truechimer.toml" "$here/../README.md" "$here/THIRD-PARTY"
put_as 644 "$here/../CHANGELOG.md" "$doc/changelog"
put 644 "$doc/docs" "$here"/../docs/*.md
put 644 "$doc/monitoring" "$here/monitoring/truechimer.rules.yml" "$here/monitoring/truechimer.dashboard.json"
put 644 /usr/share/truechimer "$here/schema/chimerctl.schema.json"
# Not in force.
put 644 /usr/share/truechimer "$here/tmpfiles.d/truechimer-clockbound.conf"
put 644 /usr/include "$here/../ipc/time/include/truechimer_time.h"
for page in \
    chimerctl.1 \
    truechimer.toml.5 \
    truechimerd.8 \
    truechimer-metrics.8 \
    truechimer-chronyc-bridge.8 \
    truechimer-chrony-logs.8; do
    put 644 "/usr/share/man/man${page##*.}" "$here/man/$page"
done

# The sources that DHCP clients learn.
put 755 $own "$here/dhcp/dhcp-sources"
put_as 755 "$here/dhcp/networkmanager-dispatcher" /usr/lib/NetworkManager/dispatcher.d/20-truechimer
put_as 644 "$here/dhcp/dhclient-exit-hook" /etc/dhcp/dhclient-exit-hooks.d/truechimer
put_as 644 "$here/dhcp/dhcpcd-hook" /usr/lib/dhcpcd/dhcpcd-hooks/51-truechimer

# systemd-sysusers and systemd-tmpfiles also exist without systemd (opensysusers, opentmpfiles).
put 644 /usr/lib/sysusers.d "$here/sysusers.d/truechimer.conf"
put 644 /usr/lib/tmpfiles.d "$here/tmpfiles.d/truechimer.conf"
put 644 /usr/lib/udev/rules.d "$here/udev/60-truechimer.rules"

if [ -n "${COMPLETIONS:-}" ]; then
    put 644 /usr/share/bash-completion/completions "$COMPLETIONS/bash/chimerctl"
    put 644 "${ZSHDIR:-/usr/share/zsh/site-functions}" "$COMPLETIONS/zsh/_chimerctl"
    put 644 /usr/share/fish/vendor_completions.d "$COMPLETIONS/fish/chimerctl.fish"
fi

for manager; do
    case $manager in
        systemd)
            for unit in \
                truechimer.service \
                truechimer-wait.service \
                truechimer-bound@.service \
                truechimer-metrics.service \
                truechimer-metrics.socket \
                truechimer-chronyc-bridge.service \
                truechimer-chrony-logs.service \
                truechimer-networkd.path \
                truechimer-networkd.service; do
                put 644 "$units" "$here/systemd/$unit"
            done
            put 755 $own "$here/dhcp/networkd-sources"
            put 644 /etc/logrotate.d "$here/logrotate.d/truechimer-chrony-logs"
            put 644 /usr/lib/systemd/ntp-units.d "$here/ntp-units.d/50-truechimer.list"
            # An example, not in force.
            put 644 "$doc" "$here/systemd/truechimer-follow.conf"
            ;;
        openrc)
            put_as 755 "$here/openrc/truechimer.initd" /etc/init.d/truechimer
            put 755 $own "$here/openrc/openrc-supervised"
            put_as 644 "$here/openrc/truechimer.confd" /etc/conf.d/truechimer
            ;;
        runit)
            put 755 /etc/sv/truechimer "$here/runit/truechimer/run" "$here/runit/truechimer/finish"
            put 755 /etc/sv/truechimer/log "$here/runit/truechimer/log/run"
            ;;
        s6)
            put 755 /etc/s6/sv/truechimer "$here/s6/truechimer/run" "$here/s6/truechimer/finish"
            put 644 /etc/s6/sv/truechimer "$here/s6/truechimer/type" "$here/s6/truechimer/notification-fd"
            ;;
        apparmor) put 644 /etc/apparmor.d "$here/apparmor/usr.lib.truechimer.truechimerd" ;;
        *)
            echo "install.sh: no service manager $manager: systemd, openrc, runit or s6; or apparmor" >&2
            exit 2
            ;;
    esac
done
