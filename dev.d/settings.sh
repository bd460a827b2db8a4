# shellcheck shell=bash
# Where state lives, which ports are used, and the secrets of this checkout.
#
# .run/ holds everything. One exception: run by root in a folder that other users cannot enter, such
# as /root, Postgres (which refuses to be root) could not reach it; its files then live in a folder
# of their own below /var/tmp, named by .run/elsewhere, and `reset` wipes that too.

RUN_DIR="$ROOT/.run"
PIDS_DIR="$RUN_DIR/pids"
LOGS_DIR="$RUN_DIR/logs"
SERVICE_USER=''
SERVICE_DIR=''

choose_service_user() {
    ((EUID == 0)) || return 0
    if id -u postgres >/dev/null 2>&1; then SERVICE_USER=postgres; else SERVICE_USER=nobody; fi
}

# reachable DIR: whether the service user can work below it.
reachable() { as_service test -x "$1" 2>/dev/null; }

elsewhere() { printf '/var/tmp/admit-%s' "$(printf '%s' "$ROOT" | sha256sum | cut -c1-12)"; }

prepare_state() {
    choose_service_user
    if [[ -e $RUN_DIR && ! -O $RUN_DIR ]]; then
        die ".run/ belongs to $(stat -c %U "$RUN_DIR"): run this as that user, or remove .run/ first"
    fi
    mkdir -p "$RUN_DIR" "$PIDS_DIR" "$LOGS_DIR"
    mkdir -p "$RUN_DIR/mail"
    chmod 700 "$RUN_DIR/mail"
    SERVICE_DIR=$RUN_DIR
    if ((EUID == 0)) && ! reachable "$RUN_DIR"; then
        SERVICE_DIR=$(elsewhere)
        # Anybody may create names in /var/tmp: what is there must be ours.
        mkdir -m 711 "$SERVICE_DIR" 2>/dev/null || true
        [[ -d $SERVICE_DIR && ! -L $SERVICE_DIR && -O $SERVICE_DIR ]] || die "$SERVICE_DIR is not a folder of ours: remove it"
        printf '%s\n' "$SERVICE_DIR" >"$RUN_DIR/elsewhere"
    fi
    # Thousands of connections at once are the point of this program.
    local hard
    hard=$(ulimit -Hn)
    [[ $hard == unlimited || $hard -gt 65536 ]] && hard=65536
    ulimit -Sn "$hard" 2>/dev/null || true
}

# service_folder DIR: private to the user that runs the services.
service_folder() {
    mkdir -p "$1"
    chmod 700 "$1"
    ((EUID == 0)) && chown "$SERVICE_USER:" "$1"
    return 0
}

take_lock() {
    exec 9>"$RUN_DIR/lock"
    flock -n 9 || die "another ./dev is at work in this checkout: wait for it to finish"
}
drop_lock() { exec 9>&-; }

# Two checkouts differ in ADMIT_HTTP_PORT, which gives each a block of 16 ports between 20000 and
# 32000: below the kernel's range for outgoing connections, so that load tests do not take them.
choose_ports() {
    local recorded="$RUN_DIR/ports" http='' base=''
    if [[ -f $recorded ]] && anything_alive; then
        read -r http base <"$recorded"
        if [[ -n ${ADMIT_HTTP_PORT:-} && $ADMIT_HTTP_PORT != "$http" ]]; then
            die "this checkout already runs on port $http: ./dev down first, then choose port $ADMIT_HTTP_PORT"
        fi
    else
        http=${ADMIT_HTTP_PORT:-8080}
        is_port "$http" || die "ADMIT_HTTP_PORT=\"$http\" is not a port number"
        ((http >= 1024)) || die "ADMIT_HTTP_PORT=$http: choose a port from 1024 up, nginx runs without privileges"
        base=${ADMIT_PORT_BASE:-$((20000 + http % 750 * 16))}
        if ! is_port "$base" || ((base < 1024 || base > 65500)); then die "ADMIT_PORT_BASE=\"$base\" is not a port from 1024 to 65500"; fi
        ((http >= base && http < base + 16)) && base=$((base + 16))
    fi
    HTTP_PORT=$http PORT_BASE=$base
    POSTGRES_PORT=$base REDIS_PORT=$((base + 1))
    SERVE_PORTS=($((base + 2)) $((base + 3))) SERVE_PRIVATE_PORTS=($((base + 4)) $((base + 5)))
    WORK_PRIVATE_PORT=$((base + 6)) SIMULATOR_PORT=$((base + 7)) STRIPE_SIMULATOR_PORT=$((base + 8))
    BASE_URL="http://localhost:$HTTP_PORT" PHONES='' PHONES_PORT=''
    [[ -z ${ADMIT_PHONES:-} ]] && return
    # Phones on the local network: cameras, service workers and Web Crypto want TLS there.
    [[ $ADMIT_PHONES =~ ^(10|127|192\.168|172\.(1[6-9]|2[0-9]|3[01]))(\.[0-9]{1,3}){2,3}$ && $ADMIT_PHONES =~ ^[0-9]+(\.[0-9]+){3}$ ]] ||
        die "ADMIT_PHONES=\"$ADMIT_PHONES\" is not this machine's IPv4 address on a local network, such as 192.168.0.10"
    PHONES=$ADMIT_PHONES PHONES_PORT=$((base + 9))
    BASE_URL="https://$PHONES:$PHONES_PORT"
}

# An authority of this checkout that phones are told to trust, and a certificate of it for the address. The authority can
# sign for addresses of local networks alone, and its key stays in .run/.
make_certificate() {
    [[ -n $PHONES ]] || return 0
    local dir="$RUN_DIR/tls"
    mkdir -p "$dir"
    chmod 700 "$dir"
    (
        umask 077
        cd "$dir"
        if [[ ! -s ca.crt ]]; then
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 825 -subj "/CN=Admit on this machine" \
                -keyout ca.key -out ca.crt -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign" \
                -addext "nameConstraints=critical,permitted;IP:10.0.0.0/255.0.0.0,permitted;IP:172.16.0.0/255.240.0.0,permitted;IP:192.168.0.0/255.255.0.0,permitted;IP:127.0.0.0/255.0.0.0"
        fi
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$PHONES" -keyout server.key -out server.csr
        printf 'subjectAltName=IP:%s\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n' "$PHONES" >server.ext
        openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 397 -extfile server.ext -out server.crt
    ) >"$LOGS_DIR/openssl.log" 2>&1 || die "openssl could not make a certificate; see .run/logs/openssl.log"
}

record_ports() { printf '%s %s\n' "$HTTP_PORT" "$PORT_BASE" >"$RUN_DIR/ports"; }

# need_free NAME PORT: a part that does not run yet finds its port free.
need_free() {
    alive "$1" && return
    port_in_use "$2" || return 0
    local advice="choose another ADMIT_HTTP_PORT, or set ADMIT_PORT_BASE to the first of 16 free ports"
    [[ $1 == nginx ]] && advice="set ADMIT_HTTP_PORT to a free one, for example ADMIT_HTTP_PORT=$((HTTP_PORT + 1)) ./dev up"
    die "port $2, meant for $1, is in use by $(port_owner "$2"): $advice"
}

secret() { sed -n "s/^$1=//p" "$RUN_DIR/secrets.env"; }

# Made once: the data keys must outlive every restart, or the contacts in the database are lost.
make_secrets() {
    [[ -s $RUN_DIR/secrets.env ]] && return
    [[ -e $SERVICE_DIR/postgres/data ]] && die ".run/secrets.env is missing but the data it belongs to is there: ./dev reset wipes both"
    (
        umask 077
        cat >"$RUN_DIR/secrets.env.new" <<SECRETS
ADMIT_SECRET=$(random_hex 32)
ADMIT_DATA_KEYS=k1:$(random_hex 32)
POSTGRES_PASSWORD=$(random_hex 16)
POSTGRES_SUPERUSER_PASSWORD=$(random_hex 16)
SECRETS
        mv "$RUN_DIR/secrets.env.new" "$RUN_DIR/secrets.env"
    )
}
