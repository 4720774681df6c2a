#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Makes the QEMU versions that Debian 12 does not carry: one small Debian root per version, and beside
# them one wrapper per emulator, which runs it as if it were installed here.
#
#   peers.sh [make [VERSION...]]   make what is missing (all: 5.2 10.0 11.1); safe to repeat
#   peers.sh list                  print "version path" of every x86_64 emulator found
#   peers.sh path VERSION          print the path of one (exit 1 if it isn't there)
#   peers.sh remove [VERSION...]   unmount and delete roots
#
# A wrapper may be called from anywhere, as root or through sudo (which passes no descriptors on).
# Inside and outside share /dev (so also /dev/shm and /dev/kvm), /proc, /sys, /tmp and the folder
# MIGBENCH_RUNDIR (default /tmp/migbench-run): name files and sockets below those with absolute paths.
# The wrapper replaces itself by the emulator, so process id, signals, descriptors and exit status are
# the emulator's. Mounts are made again when they are gone.
#
# The mirror is the one that this machine's apt uses; MIGBENCH_MIRROR names another one (an old suite
# may have moved to the distribution's archive). MIGBENCH_PEERS is the folder for it all.
set -eu

PEERS=${MIGBENCH_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/migbench/peers}
WANTED='5.2:bullseye 10.0:trixie 11.1:sid'
# More emulators than x86's come from here: "VERSION:package" pairs.
EXTRA=${MIGBENCH_PEERS_EXTRA:-}

say() { echo "peers: $*" >&2; }
die() { say "$*"; exit 4; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else die "making a root needs root rights, and there is no sudo here"
    fi
}

# Every http(s) or file address in apt's own sources, both spellings, Debian's first.
apt_uris() {
    etc=/etc/apt
    {
        for f in "$etc"/sources.list "$etc"/sources.list.d/*.list; do
            [ -r "$f" ] || continue
            sed -n 's/^[[:space:]]*deb[[:space:]]\{1,\}\(\[[^]]*\][[:space:]]*\)\{0,1\}\([^[:space:]]*\).*/\2/p' "$f"
        done
        for f in "$etc"/sources.list.d/*.sources; do
            [ -r "$f" ] || continue
            sed -n 's/^URIs:[[:space:]]*//p' "$f" | tr -s ' \t' '\n'
        done
    } | grep -E '^(https?|file):' | awk '!seen[$0]++'
}

# Sets MIRROR to the first address that has the suite.
find_mirror() {
    suite=$1
    tmp=$(mktemp)
    for uri in ${MIGBENCH_MIRROR:-$(apt_uris)}; do
        uri=${uri%/}
        if /usr/lib/apt/apt-helper download-file "$uri/dists/$suite/InRelease" "$tmp" \
            >/dev/null 2>&1 && grep -q '^Origin: Debian$' "$tmp"; then
            rm -f "$tmp"
            MIRROR=$uri
            return 0
        fi
    done
    rm -f "$tmp"
    say "no address in apt's sources has the Debian suite '$suite'"
    say "set MIGBENCH_MIRROR to a mirror or archive that has it, and call again"
    return 1
}

# debootstrap uses wget, which does not read apt's settings.
export_proxy() {
    eval "$(apt-config shell APT_PROXY Acquire::http::Proxy 2>/dev/null)"
    if [ -n "${APT_PROXY:-}" ] && [ -z "${http_proxy:-}" ] && [ "$APT_PROXY" != DIRECT ]; then
        http_proxy=$APT_PROXY
        export http_proxy
    fi
}

# Unmounts everything below a folder, deepest first, so that deleting it touches nothing outside.
unmount_below() {
    awk -v d="$1/" 'index($2, d) == 1 { print $2 }' /proc/mounts | sort -r |
        while read -r m; do as_root umount -l "$m"; done
    ! awk -v d="$1/" 'index($2, d) == 1 { found = 1 } END { exit !found }' /proc/mounts
}

remove_root() {
    [ -e "$1" ] || return 0
    unmount_below "$1" || die "$1: something is still mounted below it, not deleting"
    as_root rm -rf --one-file-system "$1"
}

write_wrapper() {
    root=$1 program=$2 out=$3
    cat >"$out.new" <<WRAPPER
#!/bin/sh
# Runs $program of $root as if it were installed here. Made by peers.sh.
root='$root' program='$program' lock='$PEERS/lock'
WRAPPER
    cat >>"$out.new" <<'WRAPPER'
run=${MIGBENCH_RUNDIR:-/tmp/migbench-run}
if [ "$(id -u)" -ne 0 ]; then
    exec sudo MIGBENCH_RUNDIR="$run" "$0" "$@"
fi
share() {
    mkdir -p "$1" "$root$1"
    mountpoint -q "$root$1" && return 0
    mount --rbind "$1" "$root$1" && mount --make-rslave "$root$1"
}
ready() {
    mountpoint -q "$root/proc" && mountpoint -q "$root/dev" && mountpoint -q "$root/sys" &&
        mountpoint -q "$root/tmp" || return 1
    case $run in /tmp/*|/dev/shm/*) mkdir -p "$run";; *) mountpoint -q "$root$run" || return 1;; esac
}
if ! ready; then
    (
        flock 9
        for m in /proc /dev /sys /tmp; do share $m || exit 4; done
        case $run in /tmp/*|/dev/shm/*) ;; *) share "$run" || exit 4;; esac
    ) 9>"$lock" || { echo "$0: cannot mount below $root" >&2; exit 4; }
fi
exec chroot "$root" "$program" "$@"
WRAPPER
    chmod 755 "$out.new"
    mv "$out.new" "$out"
}

# Wrappers for every emulator in a root, named after the version that it says it has.
write_wrappers() {
    version=$1 root=$2
    mkdir -p "$PEERS/bin"
    for program in "$root"/usr/bin/qemu-system-* "$root"/usr/bin/qemu-img; do
        [ -x "$program" ] || continue
        name=$(basename "$program")
        case $name in qemu-system-amd64|qemu-system-i386|qemu-system-*-*) continue;; esac
        write_wrapper "$root" "/usr/bin/$name" "$PEERS/bin/$name-$version"
    done
}

real_version() { "$1" --version 2>/dev/null | sed -n '1s/^QEMU emulator version \([0-9.]*\).*/\1/p'; }

make_peer() {
    version=$1 suite=$2
    root=$PEERS/root-$version
    if [ ! -e "$root/.migbench-complete" ]; then
        command -v debootstrap >/dev/null 2>&1 || die "debootstrap is missing: apt-get install debootstrap"
        find_mirror "$suite" || return 4
        say "$version: Debian $suite into $root (some minutes, about 600 MB)"
        remove_root "$root.partial"
        mkdir -p "$PEERS"
        keyring=/usr/share/keyrings/debian-archive-keyring.gpg
        as_root debootstrap --variant=minbase --keyring="$keyring" "$suite" "$root.partial" "$MIRROR" \
            >"$PEERS/debootstrap-$version.log" 2>&1 || {
            tail -3 "$PEERS/debootstrap-$version.log" >&2
            say "$version: debootstrap failed, see $PEERS/debootstrap-$version.log"
            return 4
        }
        say "$version: installing the emulator"
        [ ! -e /etc/resolv.conf ] || as_root cp -L /etc/resolv.conf "$root.partial/etc/resolv.conf"
        [ ! -e /etc/hosts ] || as_root cp -L /etc/hosts "$root.partial/etc/hosts"
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$root.partial/usr/sbin/policy-rc.d" >/dev/null
        as_root chmod 755 "$root.partial/usr/sbin/policy-rc.d"
        packages='qemu-system-x86 qemu-utils'
        for e in $EXTRA; do
            case $e in "$version":*) packages="$packages ${e#*:}";; esac
        done
        # shellcheck disable=SC2086
        as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$root.partial" \
            apt-get -q -y -o Acquire::Check-Valid-Until=false install --no-install-recommends $packages \
            >"$PEERS/install-$version.log" 2>&1 || {
            tail -3 "$PEERS/install-$version.log" >&2
            say "$version: installation failed, see $PEERS/install-$version.log"
            return 4
        }
        as_root chroot "$root.partial" apt-get clean
        unmount_below "$root.partial" || die "$root.partial: something is still mounted below it"
        as_root touch "$root.partial/.migbench-complete"
        as_root mv "$root.partial" "$root"
    else
        say "$version: already in $root"
    fi
    write_wrappers "$version" "$root"
    found=$(real_version "$PEERS/bin/qemu-system-x86_64-$version")
    case $found in
    "$version"|"$version".*) say "$version: $PEERS/bin/qemu-system-x86_64-$version is $found";;
    '') say "$version: $PEERS/bin/qemu-system-x86_64-$version does not run"; return 4;;
    *)  say "$version: Debian $suite has $found by now; the wrapper keeps the name it was asked for";;
    esac
}

list_peers() {
    for p in "$(command -v qemu-system-x86_64 || :)" "$PEERS"/bin/qemu-system-x86_64-*; do
        [ -n "$p" ] && [ -x "$p" ] || continue
        v=$(real_version "$p")
        [ -z "$v" ] || echo "$v $p"
    done | sort -V
}

selected() {
    for w in $WANTED; do
        [ $# -gt 0 ] || { echo "$w"; continue; }
        for v in "$@"; do [ "${w%%:*}" != "$v" ] || echo "$w"; done
    done
}

verb=${1:-make}
[ $# -eq 0 ] || shift
case $verb in
make)
    export_proxy
    status=0
    for w in $(selected "$@"); do make_peer "${w%%:*}" "${w#*:}" || status=4; done
    list_peers
    exit $status;;
list)
    list_peers;;
path)
    [ $# -eq 1 ] || { say "usage: peers.sh path VERSION"; exit 2; }
    found=$(list_peers | awk -v v="$1" '$1 == v || index($1, v ".") == 1 { print $2; exit }')
    [ -n "$found" ] && echo "$found";;
remove)
    for w in $(selected "$@"); do
        v=${w%%:*}
        remove_root "$PEERS/root-$v.partial"
        remove_root "$PEERS/root-$v"
        rm -f "$PEERS"/bin/*-"$v"
    done;;
*)
    say "usage: peers.sh [make [VERSION...] | list | path VERSION | remove [VERSION...]]"
    exit 2;;
esac
