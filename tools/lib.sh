# Shared by the scripts in tools/. Sourced, never run; needs bash.
#
# Sets `root` (the top of the tree) and goes there.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
die() {
    warn "$(basename "$0"): $*"
    exit 1
}

# Milliseconds of a clock that only differences are taken of.
now_ms() { printf '%s\n' "$((${EPOCHREALTIME/./} / 1000))"; }
since() { # start_ms -> "12.3 s"
    local ms=$(($(now_ms) - $1))
    printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100))
}

# --- packages -------------------------------------------------------------------------------------

# Names the packages of the given groups that this machine lacks, one a line.
packages_missing() {
    local group package probe
    while read -r group package probe; do
        case " $* " in *" $group "*) ;; *) continue ;; esac
        if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ]; then
            continue
        fi
        if [ -n "$probe" ] && bash -c "$probe" >/dev/null 2>&1 </dev/null; then
            continue
        fi
        printf '%s\n' "$package"
    done < <(grep -vE '^[[:space:]]*(#|$)' "$root/tools/packages") | sort -u
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        env "$@"
    elif command -v sudo >/dev/null; then
        sudo env "$@"
    else
        die "needs root or sudo for: $*"
    fi
}

# Installs what the given groups lack: says what first, asks nothing. A package that brings a
# service may neither start it now nor at the next boot: we need the program, not the service.
packages_install() {
    local missing
    mapfile -t missing < <(packages_missing "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0
    say "Missing packages, to be installed now: ${missing[*]}"
    command -v apt-get >/dev/null ||
        die "this system has no apt-get; install the packages above (Debian 12 names) yourself"

    local policy=/usr/sbin/policy-rc.d own_policy=0 status=0
    if [ ! -e "$policy" ]; then
        own_policy=1
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    local apt=(DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
    { as_root "${apt[@]}" update &&
        as_root "${apt[@]}" install --no-install-recommends "${missing[@]}"; } </dev/null || status=$?
    if [ "$own_policy" = 1 ]; then as_root rm -f "$policy"; fi
    [ "$status" = 0 ] || die "apt-get failed; what it said is above"

    local name
    for name in nginx haproxy; do
        case " ${missing[*]} " in
        *" $name"*)
            if [ -d /run/systemd/system ]; then as_root systemctl -q disable "$name"; fi
            ;;
        esac
    done
}

# --- build ----------------------------------------------------------------------------------------

cores() { nproc; }

# build_preset PRESET [TARGET...]: configures and builds, with what went wrong on standard error.
build_preset() {
    mkdir -p build
    local preset=$1
    shift
    cmake --preset "$preset" >"build/$preset.configure.log" 2>&1 || {
        cat "build/$preset.configure.log" >&2
        return 1
    }
    cmake --build --preset "$preset" -j "$(cores)" ${1:+--target "$@"}
}

# --- processes and ports --------------------------------------------------------------------------

# True when something on loopback listens on the port.
port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# The first free port from the given one on.
port_free_from() {
    local port=$1 last=$(($1 + 200))
    while port_taken "$port"; do
        port=$((port + 1))
        [ "$port" -lt "$last" ] || die "no free port from $1 on"
    done
    printf '%s\n' "$port"
}

# wait_until SECONDS COMMAND...: runs the command every 50 ms until it succeeds or time is up.
wait_until() {
    local end=$(($(now_ms) + $1 * 1000))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(now_ms)" -lt "$end" ] || return 1
        sleep 0.05
    done
}
