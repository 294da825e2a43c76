#!/bin/sh
# Samba as the controller of a domain, in a root directory and a network of its own: nothing of it is installed, and of
# this machine it changes nothing. To be run by unshare with mount, network and process namespaces.
#
# $1: where the packages are unpacked, / if they are installed; $2: a folder of this machine. There it leaves
# "accounts", in the format of smbpasswd with the relative identifier in place of the uid, and "ntp_signd/socket".
set -eu

unpacked=$1
place=$2

mount --make-rprivate /
mkdir -p "$place/tree"
mount -t tmpfs none "$place/tree"
cd "$place/tree"
mkdir upper work root
if [ "$unpacked" != / ]; then
    cp -a "$unpacked/." upper
fi
mount -t overlay none -o lowerdir=/,upperdir=upper,workdir=work root
mount -t proc none root/proc
mount -t tmpfs none root/run
mount -t tmpfs none root/tmp
mount --rbind /dev root/dev
mkdir -p root/mnt/place root/run/samba root/var/lib/samba root/var/cache/samba root/var/log/samba
mount --bind "$place" root/mnt/place
rm -f root/etc/samba/smb.conf
ip link set lo up

exec chroot root /bin/sh -eu -c '
    PATH=/usr/sbin:/usr/bin
    ldconfig
    if ! [ -e /mnt/place/kept/smb.conf ]; then
        mkdir -p /mnt/place/kept
        samba-tool domain provision --realm=EXAMPLE.TEST --domain=EXAMPLE --server-role=dc --dns-backend=NONE \
            --adminpass=Only-for-a-test-1 --host-name=dc1 --host-ip=127.0.0.1 --targetdir=/mnt/place/kept \
            --option="interfaces = lo" --option="bind interfaces only = yes"
        cp /mnt/place/kept/etc/smb.conf /mnt/place/kept/smb.conf
        # One has its name as its password; the other has none, and is disabled.
        samba-tool computer create MEMBER --prepare-oldjoin --configfile=/mnt/place/kept/smb.conf
        samba-tool computer create DISABLED --configfile=/mnt/place/kept/smb.conf
        samba-tool user disable "DISABLED\$" --configfile=/mnt/place/kept/smb.conf
        for name in MEMBER DISABLED; do
            rid=$(pdbedit --configfile=/mnt/place/kept/smb.conf -L -v "$name\$" | sed -n "s/^User SID: .*-//p")
            hash=$(pdbedit --configfile=/mnt/place/kept/smb.conf -L -w "$name\$" | cut -d: -f4)
            echo "$name:$rid:$hash"
        done >/mnt/place/accounts.new
        mv /mnt/place/accounts.new /mnt/place/accounts
    fi
    exec samba --foreground --no-process-group --model=single --configfile=/mnt/place/kept/smb.conf \
        --option="server services = ntp_signd" --option="dcerpc endpoint servers = " \
        --option="ntp signd socket directory = /mnt/place/ntp_signd"
'
