# Sourced by deb.sh and bare.sh: a clean Debian 12 in a temporary folder. Gives $source and $work, the root file system $root once
# make_root has run, and in_root and quiet_in_root. Needs root and the network of apt.
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
root=$work/root
finish() {
    umount "$root/proc" 2>/dev/null || true
    rm -rf --one-file-system "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
if [ "$(id -u)" != 0 ]; then
    echo "$(basename "$0"): debootstrap and chroot need root" >&2
    exit 2
fi
mirror=$(sh "$source/tests/mirror.sh")

make_root() { # apt there uses this machine's mirror, name servers and proxy
    debootstrap --variant=minbase bookworm "$root" "$mirror" >"$work/log" 2>&1 || {
        tail "$work/log" >&2
        exit 1
    }
    cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
    find /etc/apt/apt.conf.d -iname '*proxy*' -exec cp {} "$root/etc/apt/apt.conf.d/" \;
    mount -t proc proc "$root/proc" 2>/dev/null || true
}

# A command there. Variables of OpenBLAS and OpenMP say what this machine can run, and how it is shared.
in_root() {
    chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
        $(env | grep '^\(OPENBLAS\|OMP\)_[A-Z0-9_]*=[A-Za-z0-9]*$') sh -euc "$1"
}
quiet_in_root() {
    in_root "$1" >"$work/log" 2>&1 || {
        tail -20 "$work/log" >&2
        exit 1
    }
}
