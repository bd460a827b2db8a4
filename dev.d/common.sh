# shellcheck shell=bash
# Words to the reader, bounded waits, ports: what every other part needs.

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' yellow=$'\e[33m' plain=$'\e[0m'
else
    bold='' green='' red='' yellow='' plain=''
fi

say() { printf '%s\n' "$*"; }
progress() { printf '%s==>%s %s\n' "$bold" "$plain" "$*"; }
warn() { printf '%swarning:%s %s\n' "$yellow" "$plain" "$*" >&2; }
die() {
    printf '%serror:%s %s\n' "$red" "$plain" "$*" >&2
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# wait_until SECONDS COMMAND...: true as soon as the command is, false when the time is over.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

random_hex() { od -An -v -tx1 -N"$1" /dev/urandom | tr -d ' \n'; }

is_port() { [[ $1 =~ ^[0-9]{1,5}$ ]] && ((10#$1 >= 1 && 10#$1 <= 65535)); }

# Reads the kernel's table instead of connecting: it sees every address, wakes nobody up, and
# needs no tool that a small system may lack.
port_in_use() {
    local hex
    printf -v hex '%04X' "$1"
    awk -v end=":$hex" '$4 == "0A" && substr($2, length($2) - 4) == end { found = 1 } END { exit !found }' \
        /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

port_owner() {
    local owner=''
    if has ss; then
        owner=$(ss -Hltnp "sport = :$1" 2>/dev/null | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1, pid \2/p' | head -n 1)
    fi
    printf '%s' "${owner:-another program}"
}

# A free port below the range from which the kernel takes ports for outgoing connections.
free_port() {
    local port try
    for try in {1..200}; do
        port=$((20000 + (RANDOM * 32768 + RANDOM + try) % 12000))
        port_in_use "$port" || { printf '%s' "$port" && return; }
    done
    die "found no free port between 20000 and 32000"
}

http_status() { curl --silent --noproxy '*' --max-time 2 --output /dev/null --write-out '%{http_code}' "$1" || true; }
answers_200() { [[ $(http_status "$1") == 200 ]]; }
