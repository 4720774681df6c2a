#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Makes the traces again, with the emulators that are here (peers.sh makes the rest).
#
#   make.sh            all
#   make.sh list       what there is
#   make.sh ID...      these
#
# Traces of a running guest need its ROM: MIGBENCH_GUEST_ROM, or a build folder in the tree, or it is built.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
rom_in_build=sim/guest/program/migbench-guest.rom

find_rom() {
    [ -z "${MIGBENCH_GUEST_ROM:-}" ] || return 0
    for rom in "$top"/build*/"$rom_in_build"; do
        [ ! -r "$rom" ] || { MIGBENCH_GUEST_ROM=$rom; return 0; }
    done
    build=${MIGBENCH_RUNDIR:-/tmp/migbench-run}/build-rom
    [ -e "$build/build.ninja" ] || {
        rm -rf "$build"
        meson setup "$build" "$top" >/dev/null || :
    }
    if ninja -C "$build" "$rom_in_build" >/dev/null; then
        MIGBENCH_GUEST_ROM=$build/$rom_in_build
    else
        echo "make.sh: the guest's ROM could not be built; traces of a running guest will fail" >&2
        MIGBENCH_GUEST_ROM=
    fi
}

scripts='record.py channels.py libvirt_save.py'
if [ "${1:-}" = list ]; then
    for s in $scripts; do [ ! -e "$here/$s" ] || python3 "$here/$s" list; done
    exit 0
fi
find_rom
export MIGBENCH_GUEST_ROM
status=0
for s in $scripts; do
    [ -e "$here/$s" ] || continue
    if [ $# -eq 0 ]; then
        python3 "$here/$s" || status=$?
        continue
    fi
    known=$(python3 "$here/$s" list)
    ids=
    for id in "$@"; do
        ! printf '%s\n' "$known" | grep -qx -e "$id" || ids="$ids $id"
    done
    # shellcheck disable=SC2086
    [ -z "$ids" ] || python3 "$here/$s" $ids || status=$?
done
exit $status
