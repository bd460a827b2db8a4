# shellcheck shell=bash
# The proxy: fills in nginx/dev.conf.template and runs it from a folder of its own.

has_ipv6_loopback() { grep -q '^00000000000000000000000000000001 ' /proc/net/if_inet6 2>/dev/null; }

# nginx_render DIR HTTP_PORT SERVE_1_PORT SERVE_2_PORT, and NGINX_HSTS for a test. The snippets are copied, because the user
# that runs nginx may not be able to enter the checkout.
nginx_render() {
    local dir=$1 http=$2 first=$3 second=$4 listen_v6='' connections phones
    connections=$(ulimit -n)
    [[ $connections == unlimited || $connections -gt 16384 ]] && connections=16384
    has_ipv6_loopback && listen_v6="listen [::1]:$http default_server reuseport backlog=16384;"
    service_folder "$dir"
    mkdir -p "$dir/tmp" "$dir/cache" "$dir/snippets"
    cp "$ROOT"/nginx/snippets/*.conf "$dir/snippets/"
    phones=$(phones_server "$dir")
    sed -e "s|@PHONES@|$phones|g" -e "s|@HTTP_PORT@|$http|g" -e "s|@SERVE_1_PORT@|$first|g" -e "s|@SERVE_2_PORT@|$second|g" \
        -e "s|@HSTS@|${NGINX_HSTS:-}|g" -e "s|@LISTEN_V6@|$listen_v6|g" -e "s|@WORKER_CONNECTIONS@|$connections|g" \
        "$ROOT/nginx/dev.conf.template" >"$dir/nginx.conf"
    if grep -n '@[A-Z0-9_]*@' "$dir/nginx.conf" >&2; then die "nginx/dev.conf.template holds a name that nobody fills in"; fi
    ((EUID == 0)) && chown -R "$SERVICE_USER:" "$dir"
    return 0
}

# The same routes under TLS at an address that phones reach.
phones_server() {
    [[ -n ${PHONES:-} ]] || return 0
    cp "$RUN_DIR/tls/server.crt" "$RUN_DIR/tls/server.key" "$1/"
    printf 'server { listen %s:%s ssl; server_name %s; ssl_certificate server.crt; ssl_certificate_key server.key; include snippets/routes.conf; }' \
        "$PHONES" "$PHONES_PORT" "$PHONES"
}

# "-e stderr" because the built-in error log may be a file that only root opens.
nginx_command() { printf '%s\n' "$(command -v nginx)" -e stderr -p "$1/" -c "$1/nginx.conf"; }

nginx_valid() {
    local -a command
    mapfile -t command < <(nginx_command "$1")
    (cd / && as_service "${command[@]}" -t)
}

nginx_start() {
    local name=$1 dir=$2 port=$3
    shift 2
    if gone "$name"; then
        local -a command
        nginx_render "$dir" "$@"
        keep_log_small "$dir/access.log"
        mapfile -t command < <(nginx_command "$dir")
        start "$name" service "${command[@]}" -g 'daemon off;'
    fi
    wait_for "$name" 10 port_in_use "$port"
}

nginx_stop() { stop TERM 5 "$1"; }
