#!/bin/bash
# The rig's voice in a guest: reads lines of a number of seconds and a script in escapes (\xHH), runs it for at most
# that long, answers "CODE LENGTH" and what it printed. A long script comes in parts, each but the last with the word
# "more"; "clock" is answered with the time. The port is a serial line of user-mode Linux, or a virtio port.
mkdir -p /run/rig
if [ -e /dev/ubda ]; then
    port=/dev/ttyS0
    stty -F $port raw -echo -echoe -echok
else
    port=/dev/virtio-ports/rig
    until [ -e $port ]; do sleep 0.2; done
fi
: >/run/rig/script
exec 3<>$port
echo "ready" >&3
while :; do
    while IFS=' ' read -r -u3 seconds script; do
        # The clock, at once and without a process of its own: who asks wants to know what was between.
        if [ "$seconds" = clock ]; then
            now=$EPOCHREALTIME
            printf '0 %s\n%s' ${#now} "$now" >&3
            continue
        fi
        # A part at a time: a serial line has room for a page, and nobody says when it is full.
        printf %b "$script" >>/run/rig/script
        if [ "$seconds" = more ]; then
            printf '0 0\n' >&3
            continue
        fi
        timeout "$seconds" bash /run/rig/script >/run/rig/out 2>&1 3>&- </dev/null
        code=$?
        : >/run/rig/script
        printf '%s %s\n' $code "$(stat -c %s /run/rig/out)" >&3
        cat /run/rig/out >&3
    done
    sleep 0.2
done
