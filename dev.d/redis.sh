# shellcheck shell=bash
# A Redis of our own, on 127.0.0.1 only.

# redis_start NAME DIR PORT durable|throwaway
redis_start() {
    local name=$1 dir=$2 port=$3 kind=$4
    service_folder "$dir"
    if gone "$name"; then
        cat >"$dir/redis.conf" <<CONF
# Written by ./dev at every start.
bind 127.0.0.1
protected-mode yes
port $port
tcp-backlog 4096
dir "$dir"
daemonize no
loglevel notice
save ""
appendonly $([[ $kind == durable ]] && echo yes || echo no)
appendfsync everysec
# Stock keys must never be thrown out to make room; a full Redis refuses instead.
maxmemory-policy noeviction
CONF
        ((EUID == 0)) && chown "$SERVICE_USER:" "$dir/redis.conf"
        start "$name" service "$(command -v redis-server)" "$dir/redis.conf"
    fi
    wait_for "$name" 60 redis_answers "$port"
}

# Speaks to the socket itself: the command-line client is a package of its own. While it loads its
# file Redis answers with an error, which is not yet ready.
redis_answers() {
    local answer=''
    { exec 8<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
    printf 'PING\r\n' >&8
    read -r -t 2 answer <&8 || true
    exec 8>&- 8<&-
    [[ $answer == +PONG* ]]
}

redis_stop() { stop TERM 30 "$1"; }
