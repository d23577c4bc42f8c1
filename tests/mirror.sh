#!/bin/sh
# Prints the mirror of Debian that this machine's apt uses, or Debian's own.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
    sed -n 's/^URIs: *\([^ ]*debian\)\/* *$/\1/p; s/^deb  *\(\[[^]]*\] *\)*\([^ ]*\/debian\)\/* .*/\2/p' | head -1)
echo "${mirror:-http://deb.debian.org/debian}"
