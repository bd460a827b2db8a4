# shellcheck shell=bash
# Starts and ends programs. Each has a file in $PIDS_DIR with its process id, its start time and the
# boot it belongs to, so that a process id that the system has given to somebody else is never
# signalled. $LOGS_DIR takes what they print.

declare -a STARTED=()

boot_id() { cat /proc/sys/kernel/random/boot_id 2>/dev/null || printf 'unknown'; }

# The start time in ticks since boot, or nothing for a process that is gone or waits to be reaped.
start_time() {
    local stat
    # Not $(<file): where there is no file, bash 5.2 ends the whole script.
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    stat=${stat##*) }
    local fields
    read -ra fields <<<"$stat"
    [[ ${fields[0]} != Z && ${fields[0]} != X ]] || return 1
    printf '%s' "${fields[19]}"
}

ended() { ! start_time "$1" >/dev/null; }

# remember NAME PID
remember() {
    local started
    started=$(start_time "$2") || return 1
    printf '%s %s %s\n' "$2" "$started" "$(boot_id)" >"$PIDS_DIR/$1.new"
    mv "$PIDS_DIR/$1.new" "$PIDS_DIR/$1"
}

# live_pid NAME: prints the process id when that very process still runs.
live_pid() {
    local pid started boot
    { read -r pid started boot <"$PIDS_DIR/$1"; } 2>/dev/null || return 1
    [[ $pid =~ ^[0-9]+$ && $boot == "$(boot_id)" && $(start_time "$pid") == "$started" ]] || return 1
    printf '%s' "$pid"
}

alive() { live_pid "$1" >/dev/null; }
gone() { ! alive "$1"; }

# Workers of an nginx that was killed live on and keep its port. They are still in the session that
# "start" made for it, and the system gives its number to nobody while they are.
end_orphans() {
    local name pid started boot stat fields
    for name in "$@"; do
        { read -r pid started boot <"$PIDS_DIR/$name"; } 2>/dev/null || continue
        [[ $pid =~ ^[0-9]+$ && $boot == "$(boot_id)" ]] || continue
        ended "$pid" || continue
        for stat in /proc/[0-9]*/stat; do
            { read -r stat <"$stat"; } 2>/dev/null || continue
            read -ra fields <<<"${stat##*) }"
            if [[ ${fields[3]} == "$pid" && ${fields[0]} != Z ]] && ((fields[19] >= started)); then
                kill -s KILL "${stat%% *}" 2>/dev/null || true
                wait_until 5 ended "${stat%% *}" || true
            fi
        done
    done
}

# as_service COMMAND...: Postgres refuses to run as root, and neither Redis nor nginx needs to.
as_service() {
    if ((EUID == 0)); then
        setpriv --reuid="$SERVICE_USER" --regid="$(id -g "$SERVICE_USER")" --init-groups --no-new-privs -- "$@"
    else
        "$@"
    fi
}

keep_log_small() {
    local log=$1
    [[ -f $log && $(stat -c %s "$log") -gt 20000000 ]] && mv -f "$log" "$log.1"
    return 0
}

# start NAME OWNER COMMAND...: OWNER is "service" or "self". A session of its own keeps Ctrl-C away,
# so that everything is stopped in order and not all at once.
start() {
    local name=$1 owner=$2 log="$LOGS_DIR/$1.log"
    shift 2
    local -a drop=()
    if [[ $owner == service ]] && ((EUID == 0)); then
        drop=(setpriv "--reuid=$SERVICE_USER" "--regid=$(id -g "$SERVICE_USER")" --init-groups --no-new-privs --)
    fi
    keep_log_small "$log"
    (
        exec 9>&- </dev/null >>"$log" 2>&1
        cd /
        exec setsid "${drop[@]}" "$@"
    ) &
    local pid=$!
    disown "$pid" 2>/dev/null || true
    STARTED+=("$name")
    remember "$name" "$pid" || fail_with_log "$name" "ended at once"
}

fail_with_log() {
    local name=$1 log="$LOGS_DIR/$1.log"
    say "last lines of $log:" >&2
    tail -n 15 "$log" 2>/dev/null | cut -c1-400 | sed 's/^/    /' >&2
    die "$name $2"
}

# wait_for NAME SECONDS COMMAND...: the command becomes true, or the program's log is shown.
wait_for() {
    local name=$1 seconds=$2 deadline=$((SECONDS + $2))
    shift 2
    until "$@" >/dev/null; do
        alive "$name" || fail_with_log "$name" "ended while starting"
        ((SECONDS < deadline)) || fail_with_log "$name" "was not ready within $seconds s"
        sleep 0.1
    done
}

# stop SIGNAL SECONDS NAME...: asks all of them, waits, and forces only what does not listen.
stop() {
    local signal=$1 seconds=$2 name pid
    shift 2
    for name in "$@"; do
        if pid=$(live_pid "$name"); then kill -s "$signal" "$pid" 2>/dev/null || true; fi
    done
    local deadline=$((SECONDS + seconds))
    for name in "$@"; do
        wait_until $((deadline > SECONDS ? deadline - SECONDS : 0)) gone "$name" || force "$name" "$seconds"
        rm -f "$PIDS_DIR/$name"
    done
}

# The whole group, because workers of a killed nginx would keep its port.
force() {
    local pid
    pid=$(live_pid "$1") || return 0
    warn "$1 did not stop within $2 s; it is killed"
    kill -s KILL -- "-$pid" 2>/dev/null || kill -s KILL "$pid" 2>/dev/null || true
    wait_until 5 gone "$1" || warn "$1 (pid $pid) cannot be killed"
}
