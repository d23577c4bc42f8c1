#!/bin/sh
# Programs of users, built outside the tree in every way that docs/install.md names, from a prefix that was moved after
# the installation. usage: consumers.sh BUILD_FOLDER   (CC, CXX, CMAKE_GENERATOR: those of the build)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
build=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CC="${CC:-cc}"
case $CC in *clang*) export CXX="${CXX:-clang++}" ;; *) export CXX="${CXX:-c++}" ;; esac
warnings="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
of_build() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }
config=$(of_build CMAKE_BUILD_TYPE)
: "${config:=Release}"

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
    cmake -S "$here/consumer" -B "$folder" "$@" && cmake --build "$folder" --parallel "$(nproc)" &&
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
    cmake -S "$source/examples" -B "$work/examples" -DCMAKE_PREFIX_PATH="$work/after/shared" &&
        cmake --build "$work/examples" &&
        ctest --test-dir "$work/examples" --output-on-failure -R 'cell|lstm_loop|bidirectional|official|serve|hooks'
}

programs_run() {
    for program in "$work/after/shared/bin/"*; do
        "$program" --help >"$work/help" && [ -s "$work/help" ] || return 1
    done
}

asks_for_no_fortran() { # machines of those who wrote this may have it
    pkg-config --static --libs xlstm | grep xlstm && ! pkg-config --static --libs xlstm | grep gfortran
}

# A plugin with the library in it or below it, opened and closed by a program that knows neither.
closed_with_its_plugin() { # options of pkg-config
    flags=$(pkg-config --cflags --libs $1 xlstm) || return 1
    $CC -std=c11 $warnings -D_POSIX_C_SOURCE=199309L "$here/consumer/host.c" -o "$work/host" -ldl &&
        $CC -std=c11 $warnings -Dmain=xlstm_use -shared -fPIC "$here/consumer/use.c" -o "$work/plugin.so" $flags &&
        LD_LIBRARY_PATH="$(pkg-config --variable=libdir xlstm)" "$work/host" "$work/plugin.so"
}

# What numbers.c says with the library of a prefix. Optimised otherwise, a * b + c may be rounded once or twice; not in plain loops.
numbers() {
    export PKG_CONFIG_PATH="$(dirname "$(find "$1" -name xlstm.pc)")"
    $CC -std=c11 "$here/consumer/numbers.c" -o "$work/numbers" $(pkg-config --cflags --libs xlstm) -lm || return 1
    LD_LIBRARY_PATH="$(pkg-config --variable=libdir xlstm)" "$work/numbers" >"$work/said" || return 1
    [ "$config" = Release ] || sed -i '/^auto/d' "$work/said"
    cat "$work/said"
}
same_numbers() {
    numbers "$1" >"$work/numbers-1" && numbers "$2" >"$work/numbers-2" && diff "$work/numbers-1" "$work/numbers-2"
}

# How a file is compiled in the demanding project, but with another flag in place of its -Ofast: to the same instructions as with none.
compiled_with() { # file, flags: assembly
    command=$(sed -n 's/^ *"command": "\(.*\)",$/\1/p' "$work/fetch/compile_commands.json" | grep "/xlstm.dir/$1.o " |
        sed "s| -Ofast | $2 |; s| -Ofast | |g; s|-ffinite-math-only ||; s| -o .* -c | -S -o $work/compiled.s -c |")
    sh -c "$command" && cat "$work/compiled.s"
}
same_instructions() {
    for file in lib/ops/ref/norm.c lib/ops/ref/act.c; do # they sum, divide, and ask what is finite
        compiled_with $file "" >"$work/without.s" && [ -s "$work/without.s" ] || return 1
        for flag in -ffast-math -funsafe-math-optimizations -ffinite-math-only "-fassociative-math -fno-signed-zeros" -fno-signed-zeros \
            -freciprocal-math -fsingle-precision-constant -mrecip -ffp-model=fast -fapprox-func "-fno-honor-nans -fno-honor-infinities" \
            -fdenormal-fp-math=preserve-sign; do
            $CC $flag -Werror -E -x c /dev/null >/dev/null 2>&1 || continue # this compiler has none of that name
            compiled_with $file "$flag" >"$work/with.s" && cmp "$work/without.s" "$work/with.s" || return 1
            echo "$file: $flag"
        done
    done
    [ "$(grep -c "^$file: " "$work/log")" -ge 6 ]
}

step "install, then move the prefix" install_and_move "$build" shared
step "installed programs" programs_run
shared=$work/after/shared # needs nothing else to be found, so pkg-config is hidden
for language in C CXX; do
    step "find_package, $language" project "found-$language" -DHOW=find_package -DLANGUAGE=$language \
        -DCMAKE_PREFIX_PATH="$shared" -DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON
    step "pkg-config, $language" by_pkg_config "$shared" $language ""
done
step "a plugin is closed" closed_with_its_plugin ""
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
step "no Fortran is asked for" asks_for_no_fortran
step "a plugin with the static one is closed" closed_with_its_plugin --static

# The other one, shared, as a part of a project that asks for everything that would break numbers or does not concern a library.
step "FetchContent in a demanding project" project fetch -DHOW=FetchContent -DLANGUAGE=C -DXLSTM_SOURCE="$source" -DDEMANDING=ON \
    -DBUILD_SHARED_LIBS=ON -DXLSTM_INSTALL=ON -DCMAKE_EXPORT_COMPILE_COMMANDS=ON -DCMAKE_BUILD_TYPE="$config" \
    -DCMAKE_C_FLAGS="$(of_build CMAKE_C_FLAGS) -Ofast" -DXLSTM_BLAS="$(of_build XLSTM_BLAS)" -DXLSTM_OPENMP="$(of_build XLSTM_OPENMP)"
step "install the library from there" install_and_move "$work/fetch" demanding
step "it computes the same" same_numbers "$shared" "$work/after/demanding"
step "with any such flag" same_instructions
echo "all consumers run"
