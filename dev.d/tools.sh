# shellcheck shell=bash
# What must be on the machine, and which of several versions is used.

readonly POSTGRES_MIN=15 REDIS_MIN=7 RUST_MIN=1.90

PG_BIN=''

# postgres_major DIR: the major version of the programs there.
postgres_major() { "$1/postgres" --version 2>/dev/null | sed -n 's/^postgres (PostgreSQL) \([0-9]*\).*/\1/p'; }

# Prefers the version that wrote the data directory, otherwise the newest.
find_postgres() {
    local data=${1:-} wanted='' best=0 major dir
    [[ -n $data && -r $data/PG_VERSION ]] && wanted=$(<"$data/PG_VERSION")
    PG_BIN=''
    for dir in "$(dirname -- "$(readlink -f -- "$(command -v postgres || true)")")" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql/bin; do
        [[ -x $dir/postgres && -x $dir/initdb ]] || continue
        major=$(postgres_major "$dir")
        ((${major:-0} >= POSTGRES_MIN)) || continue
        if [[ $major == "$wanted" ]]; then
            PG_BIN=$dir
            return 0
        fi
        ((major > best)) && best=$major PG_BIN=$dir
    done
    [[ -n $PG_BIN ]]
}

has_postgres() { find_postgres "${SERVICE_DIR:-$RUN_DIR}/postgres/data" && [[ -n $(psql_program) ]]; }
has_util_linux() { has setpriv && has flock && has setsid; }

psql_program() { if [[ -x $PG_BIN/psql ]]; then printf '%s' "$PG_BIN/psql"; else command -v psql; fi; }

redis_major() { redis-server --version 2>/dev/null | sed -n 's/.* v=\([0-9]*\).*/\1/p'; }
has_redis() {
    local major
    major=$(redis_major)
    [[ -n $major ]] && ((major >= REDIS_MIN))
}

# Distributions keep nginx in /usr/sbin, which a user's PATH often lacks.
use_system_paths() {
    local dir
    for dir in /usr/sbin /sbin /usr/local/sbin; do
        case ":$PATH:" in *":$dir:"*) ;; *) PATH="$PATH:$dir" ;; esac
    done
    export PATH
}

# rustup looks below HOME, which automation likes to set to somewhere else.
find_cargo() {
    local home
    home=$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6) || true
    for home in "${HOME:-}" "$home"; do
        [[ -n $home ]] || continue
        if ! has cargo && [[ -x $home/.cargo/bin/cargo ]]; then PATH="$home/.cargo/bin:$PATH"; fi
        if [[ -z ${RUSTUP_HOME:-} && ! -d ${HOME:-/nonexistent}/.rustup && -d $home/.rustup ]]; then export RUSTUP_HOME="$home/.rustup"; fi
        if [[ -z ${CARGO_HOME:-} && ! -d ${HOME:-/nonexistent}/.cargo && -d $home/.cargo ]]; then export CARGO_HOME="$home/.cargo"; fi
    done
    has cargo
}

need_cargo() {
    local how="Install Rust $RUST_MIN or newer with rustup, as https://rustup.rs describes, under the account that runs this;
  then open a new terminal and run the same command again. Where rustup is there already: rustup update stable"
    find_cargo || die "cargo is missing. $how"
    local version minor major
    version=$(cd "$ROOT" && cargo --version 2>&1) || die "cargo does not run: $version
$how"
    version=$(sed -n 's/^cargo \([0-9.]*\).*/\1/p' <<<"$version")
    IFS=. read -r major minor _ <<<"$version"
    if ((${major:-0} < 1 || ${major:-0} == 1 && ${minor:-0} < ${RUST_MIN#*.})); then
        die "cargo ${version:-of unknown version} is too old. $how"
    fi
}

need_rust_component() {
    (cd "$ROOT" && cargo "$1" --version >/dev/null 2>&1) || die "cargo $1 is missing: rustup component add $2"
}

yaml_python() {
    local python
    for python in /usr/bin/python3 python3; do
        "$python" -c 'import yaml' 2>/dev/null && printf '%s' "$python" && return 0
    done
    return 1
}

has_c_compiler() {
    has cc && printf '#include <stdlib.h>\nint main(void){return 0;}\n' | cc -x c -o /dev/null - >/dev/null 2>&1
}

# need_tools up|test [browser]: installs what is missing where it may, or says what to install and stops.
need_tools() {
    local -a packages=() wants=()
    use_system_paths
    want() {
        packages+=("$1")
        wants+=("$2")
    }
    has_postgres || want postgresql "PostgreSQL $POSTGRES_MIN or newer (server and psql)"
    has_redis || want redis-server "Redis $REDIS_MIN or newer"
    has nginx || want nginx "nginx"
    has_c_compiler || want "gcc libc6-dev" "a C compiler with its standard headers"
    has curl || want curl "curl"
    [[ -z ${ADMIT_PHONES:-} ]] || has openssl || want openssl "openssl, which makes the certificate for phones"
    has_util_linux || want util-linux "setpriv and flock (util-linux)"
    [[ -s /etc/ssl/certs/ca-certificates.crt || -s /etc/pki/tls/certs/ca-bundle.crt || -d /etc/ssl/certs ]] || want ca-certificates "the usual root certificates"
    if [[ $1 == test ]]; then
        has git || want git "git"
        has pdftotext || want poppler-utils "pdftotext and pdftoppm (poppler), which read PDFs in the tests"
        has zbarimg || want zbar-tools "zbarimg (zbar), which reads QR codes in the tests"
        has openssl || want openssl "openssl"
        yaml_python >/dev/null || want "python3 python3-yaml" "Python 3 with PyYAML"
    fi
    if [[ ${2:-} == browser ]]; then want_browser; fi
    if ((${#packages[@]})); then install_packages; fi
    need_cargo
    # Here, while the caller's proxy settings are still in force. The step itself says what it misses.
    if [[ ${2:-} == browser ]] && has npm; then install_node_packages || warn "the packages of tests/browser could not be installed"; fi
}
