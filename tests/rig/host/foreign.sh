# Runs a program as root of a user namespace in which programs for aarch64 are run by an emulator. Handlers of foreign
# programs belong to a user namespace since Linux 6.7, so this machine gets none.
# Given to `sh -ec`: a stage ("outside"), this text once more, the program and its words.
text=$1
shift
case $0 in
    outside)
        unshare --user --mount -- sh -ec "$text" mapped "$text" "$@" &
        child=$!
        # Only from outside may it be given more users than one. Until it has a namespace of its own this is refused.
        for kind in uid gid; do
            until echo "0 0 65536" 2>/dev/null >"/proc/$child/${kind}_map"; do
                kill -0 $child
                sleep 0.1
            done
        done
        wait $child
        ;;
    mapped)
        until [ "$(cat /proc/self/gid_map)" ]; do sleep 0.1; done
        # Whoever executes a program as its root has all its capabilities.
        exec sh -ec "$text" inside "$text" "$@"
        ;;
    inside)
        handlers=/proc/sys/fs/binfmt_misc
        mount -t binfmt_misc handlers $handlers || {
            echo "no handlers for foreign programs: they need Linux 6.7 with binfmt_misc" >&2
            exit 1
        }
        # A program of ELF, 64 bits, little-endian, executable or position-independent, for machine 183.
        octets='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
        mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
        # O, C, F: opened by the kernel, credentials of the program, and found from within any root.
        echo ":aarch64:M::$octets:$mask:/usr/bin/qemu-aarch64-static:OCF" >$handlers/register
        exec "$@"
        ;;
esac
