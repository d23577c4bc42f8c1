#!/bin/sh
# Makes the Debian packages and tries them on a clean Debian 12: a root file system by debootstrap in a temporary folder,
# in which they are installed by apt, users' programs are compiled and run, and the packages are removed again.
# Needs root, the network of apt, and the packages debootstrap, dpkg-dev, help2man and doxygen. Takes a few minutes; not in CI.
# usage: deb.sh [FOLDER_FOR_THE_PACKAGES]
set -eu
. "$(dirname "$0")/root.sh"
sh "$source/tests/deps.sh" debootstrap dpkg-dev help2man doxygen

cmake -S "$source" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DXLSTM_DEB=ON -DCMAKE_INSTALL_PREFIX=/usr \
    -DCMAKE_SKIP_INSTALL_RPATH=ON -DXLSTM_BUILD_TESTS=OFF -DXLSTM_BUILD_DOCS=ON >/dev/null
cmake --build "$work/build" | tail -1
(cd "$work/build" && cpack >"$work/log" 2>&1) || { cat "$work/log" >&2; exit 1; }
if command -v lintian >/dev/null; then
    lintian --fail-on error "$work/build/"*.deb
fi

make_root
cp "$work/build/"*.deb "$root/var/tmp/"
cp -r "$here/consumer" "$root/var/tmp/consumer"

quiet_in_root 'apt-get update -q'
quiet_in_root 'cd /var/tmp && apt-get install -q -y --no-install-recommends ./libxlstm[0-9]*_*.deb ./xlstm-tools_*.deb'
echo "programs, without anything to compile by:"
in_root '! command -v gcc && xlstm-nns --preset smoke --models lstm | tail -1'
quiet_in_root 'cd /var/tmp && apt-get install -q -y --no-install-recommends ./libxlstm-dev_*.deb gcc g++ pkg-config cmake make'
echo "users' programs:"
in_root 'cd /var/tmp && [ ! -e /usr/include/jansson.h ] &&
    gcc -std=c11 -Wall -Wextra -Werror consumer/use.c -o use $(pkg-config --cflags --libs xlstm) && ./use &&
    for language in C CXX; do
        cmake -S consumer -B $language -DHOW=find_package -DLANGUAGE=$language >/dev/null
        cmake --build $language >/dev/null
        $language/use
    done'
quiet_in_root 'apt-get purge -q -y $(dpkg-deb -f /var/tmp/libxlstm[0-9]*_*.deb Package) && ! find / -xdev -path /var/tmp -prune -o -name "*xlstm*" -print | grep .'
echo "installed, used and removed on Debian $(cat "$root/etc/debian_version")"
if [ $# -gt 0 ]; then
    mkdir -p "$1"
    cp "$work/build/"*.deb "$1/"
fi
