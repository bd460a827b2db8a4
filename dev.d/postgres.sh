# shellcheck shell=bash
# A Postgres of our own: TCP on 127.0.0.1 with passwords, no Unix socket (whose path may be no longer
# than 107 bytes), no file outside its folder.

# postgres_init DIR PASSWORD_OF_SUPERUSER: once; a half-made folder is never mistaken for a whole one.
postgres_init() {
    local dir=$1
    service_folder "$dir"
    [[ -s $dir/data/PG_VERSION ]] && return
    progress "Creating the database cluster"
    rm -rf "$dir/data.new" "$dir/password"
    (umask 077 && printf '%s\n' "$2" >"$dir/password")
    ((EUID == 0)) && chown "$SERVICE_USER:" "$dir/password"
    (cd / && as_service "$PG_BIN/initdb" --pgdata="$dir/data.new" --username=postgres --pwfile="$dir/password" \
        --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-instructions >"$dir/initdb.log" 2>&1) || {
        cat "$dir/initdb.log" >&2
        die "initdb failed"
    }
    rm -f "$dir/password"
    mv "$dir/data.new" "$dir/data"
}

# postgres_configure DIR PORT durable|throwaway: written at every start, so that it is what it says here.
postgres_configure() {
    local dir=$1 port=$2 kind=$3 buffers=512MB
    (($(awk '$1 == "MemTotal:" { print int($2 / 1024) }' /proc/meminfo) < 3000)) && buffers=128MB
    cat >"$dir/data/postgresql.conf" <<CONF
# Written by ./dev at every start.
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = ''
cluster_name = 'admit'
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '
# Values of failed statements would put names and telephone numbers into the log.
log_parameter_max_length_on_error = 0
log_min_error_statement = panic
shared_buffers = $buffers
max_wal_size = 4GB
# Cheaper than the default method; every page is written whole after a checkpoint.
wal_compression = lz4
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9
jit = off
CONF
    if [[ $kind == durable ]]; then
        cat >>"$dir/data/postgresql.conf" <<CONF
max_connections = 200
# An order is acknowledged after its commit, so commits reach the disk: figures measured here count.
fsync = on
synchronous_commit = on
full_page_writes = on
# Old log files are used again: writing new ones stalls every commit for some 50 ms each.
min_wal_size = 2GB
CONF
        if [[ -e $("$PG_BIN/pg_config" --pkglibdir 2>/dev/null || printf '%s' "${PG_BIN%/bin}/lib")/pg_stat_statements.so ]]; then
            echo "shared_preload_libraries = 'pg_stat_statements'" >>"$dir/data/postgresql.conf"
        fi
    else
        cat >>"$dir/data/postgresql.conf" <<CONF
# Tests run side by side, each with a pool and a database of its own.
max_connections = 300
# The data is thrown away with the folder, and no test pulls the plug of the machine.
fsync = off
full_page_writes = off
CONF
    fi
    ((EUID == 0)) && chown "$SERVICE_USER:" "$dir/data/postgresql.conf"
    return 0
}

# A crash, or a removed .run/pids, leaves postmaster.pid behind. If its process is our Postgres it is
# adopted; if it is somebody else who got the number, the file is what keeps us from starting.
postgres_adopt() {
    local name=$1 data=$2 pid
    [[ -f $data/postmaster.pid ]] && gone "$name" || return 0
    read -r pid <"$data/postmaster.pid" || true
    if [[ $pid =~ ^[0-9]+$ && $(cat "/proc/$pid/comm" 2>/dev/null) == postgres && $(readlink "/proc/$pid/cwd" 2>/dev/null) == "$(readlink -f "$data")" ]]; then
        remember "$name" "$pid"
    else
        rm -f "$data/postmaster.pid"
    fi
}

# postgres_start NAME DIR PORT KIND PASSWORD_OF_SUPERUSER
postgres_start() {
    local name=$1 dir=$2 port=$3 kind=$4 password=$5
    postgres_init "$dir" "$password"
    local major
    major=$(<"$dir/data/PG_VERSION")
    [[ $(postgres_major "$PG_BIN") == "$major" ]] ||
        die "the data in $dir is of PostgreSQL $major, which is not installed any more: install it, or wipe the data with ./dev reset"
    postgres_adopt "$name" "$dir/data"
    if gone "$name"; then
        postgres_configure "$dir" "$port" "$kind"
        start "$name" service "$PG_BIN/postgres" -D "$dir/data"
    fi
    wait_for "$name" 60 postgres_sql "$port" "$password" 'select 1' postgres
}

# postgres_sql PORT PASSWORD_OF_SUPERUSER SQL DATABASE: prints bare values.
postgres_sql() {
    PGPASSWORD=$2 PGCONNECT_TIMEOUT=3 PGOPTIONS='' "$(psql_program)" --no-psqlrc --quiet --tuples-only --no-align -v ON_ERROR_STOP=1 \
        "host=127.0.0.1 port=$1 user=postgres dbname=$4 sslmode=disable" -c "$3" 2>/dev/null </dev/null
}

# The program's own role is no superuser and owns its one database.
postgres_create_database() {
    local port=$1 password=$2 role_password=$3
    [[ $(postgres_sql "$port" "$password" "select 1 from pg_roles where rolname = 'admit'" postgres) == 1 ]] ||
        postgres_sql "$port" "$password" "create role admit login" postgres || die "the role admit could not be created"
    postgres_sql "$port" "$password" "alter role admit password '$role_password'" postgres || die "the password of role admit could not be set"
    if [[ $(postgres_sql "$port" "$password" "select 1 from pg_database where datname = 'admit'" postgres) != 1 ]]; then
        postgres_sql "$port" "$password" "create database admit owner admit" postgres || die "the database admit could not be created"
        postgres_age_log "$port" "$password"
    fi
    postgres_sql "$port" "$password" "create extension if not exists pg_stat_statements" admit >/dev/null || true
}

# postgres_age_log PORT PASSWORD_OF_SUPERUSER: gives a new cluster the stock of old log files (1 GB) that one has
# after a day's work, so that the first minutes of a sale are like any other.
postgres_age_log() {
    local _
    for _ in {1..64}; do
        postgres_sql "$1" "$2" "select pg_logical_emit_message(false, 'admit', 'x'), pg_switch_wal()" postgres >/dev/null || return 0
    done
    postgres_sql "$1" "$2" checkpoint postgres >/dev/null || true
}

# Interrupt is Postgres's word for: end sessions, write everything, stop.
postgres_stop() { stop INT 60 "$1"; }
