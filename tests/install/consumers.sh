#!/bin/sh
# Programs of users, built outside the tree in every way that docs/install.md names, from a prefix that was moved after
# the installation. usage: consumers.sh BUILD_FOLDER   (CC and CXX: the compilers that the build was made with)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
build=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CC="${CC:-cc}"
case $CC in *clang*) export CXX="${CXX:-clang++}" ;; *) export CXX="${CXX:-c++}" ;; esac
warnings="-Wall -Wextra -Wpedantic -Werror"

step() { # what it is, then a command whose output matters only if it fails
    printf '%-44s ' "$1"
    shift
    if ! "$@" >"$work/log" 2>&1; then
        echo FAILED
        tail -30 "$work/log" >&2
        exit 1
    fi
    echo ok
}

install_and_move() { # build folder, name: the prefix does not stay where it was installed
    cmake --install "$1" --prefix "$work/before/$2" && mkdir -p "$work/after" && mv "$work/before/$2" "$work/after/$2"
}

project() { # folder, then options of cmake
    folder=$work/$1
    shift
    cmake -S "$here/consumer" -B "$folder" -G Ninja "$@" && cmake --build "$folder" &&
        ctest --test-dir "$folder" --output-on-failure
}

by_pkg_config() { # prefix, C or CXX, then options of pkg-config
    export PKG_CONFIG_PATH="$(dirname "$(find "$1" -name xlstm.pc)"):${PKG_CONFIG_PATH:-}"
    flags=$(pkg-config --cflags --libs $3 xlstm) || return 1
    case $2 in
    C) $CC -std=c11 $warnings "$here/consumer/use.c" -o "$work/use" $flags || return 1 ;;
    CXX) $CXX -std=c++17 $warnings "$here/consumer/use.cpp" -o "$work/use" $flags || return 1 ;;
    esac
    LD_LIBRARY_PATH="$(pkg-config --variable=libdir xlstm)" "$work/use"
}

refuses_other_versions() { # a later one and, since names go between minor versions while the major one is 0, an earlier one
    for version in 99.0 0.1; do
        mkdir -p "$work/version-$version" &&
            printf 'cmake_minimum_required(VERSION 3.21)\nproject(p LANGUAGES C)\nfind_package(xlstm %s REQUIRED)\n' $version \
                >"$work/version-$version/CMakeLists.txt" &&
            ! cmake -S "$work/version-$version" -B "$work/version-$version/b" -DCMAKE_PREFIX_PATH="$work/after/shared" \
                >"$work/refused" 2>&1 &&
            grep -q 'considered but not accepted' "$work/refused" || return 1
    done
}

asks_for_its_version() { # a program that was just linked: while the major version is 0, the name that it loads has the minor one
    abi=$(pkg-config --modversion xlstm | sed 's/^\(0[.][0-9]*\)[.].*/\1/; t; s/[.].*//')
    readelf -d "$work/use" | grep -F "NEEDED" | grep -F "[libxlstm.so.$abi]"
}

examples() { # all are built; the quick ones run here, all of them among the tests of the build
    cmake -S "$source/examples" -B "$work/examples" -G Ninja -DCMAKE_PREFIX_PATH="$work/after/shared" &&
        cmake --build "$work/examples" &&
        ctest --test-dir "$work/examples" --output-on-failure -R 'cell|lstm_loop|bidirectional|official|serve|hooks'
}

programs_run() {
    for program in "$work/after/shared/bin/"*; do
        "$program" --help >"$work/help" && [ -s "$work/help" ] || return 1
    done
}

step "install, then move the prefix" install_and_move "$build" shared
step "installed programs" programs_run
shared=$work/after/shared # needs nothing else to be found, so pkg-config is hidden
for language in C CXX; do
    step "find_package, $language" project "found-$language" -DHOW=find_package -DLANGUAGE=$language \
        -DCMAKE_PREFIX_PATH="$shared" -DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON
    step "pkg-config, $language" by_pkg_config "$shared" $language ""
done
step "a program asks for its minor version" asks_for_its_version
step "find_package refuses other versions" refuses_other_versions
step "the examples, against the package" examples

# One static build serves two ends: as a part of the user's project, and installed from there.
step "add_subdirectory, static" project sub -DHOW=add_subdirectory -DLANGUAGE=C -DXLSTM_SOURCE="$source" \
    -DXLSTM_INSTALL=ON -DCMAKE_BUILD_TYPE=Debug
step "install the static library, move it" install_and_move "$work/sub" static
static=$work/after/static
for language in C CXX; do
    step "find_package, static, $language" project "static-$language" -DHOW=find_package -DLANGUAGE=$language \
        -DCMAKE_PREFIX_PATH="$static"
    step "pkg-config --static, $language" by_pkg_config "$static" $language --static
done
step "FetchContent, shared" project fetch -DHOW=FetchContent -DLANGUAGE=C -DXLSTM_SOURCE="$source" \
    -DBUILD_SHARED_LIBS=ON -DCMAKE_BUILD_TYPE=Debug
echo "all consumers run"
