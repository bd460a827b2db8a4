# shellcheck shell=bash
# The commands that run the system: up, down, restart, status, logs, reset.

# What this call started is stopped again when it cannot finish; what ran before is left alone.
give_up() {
    local code=$?
    trap - EXIT INT TERM HUP
    if ((${#STARTED[@]})); then
        say "Stopping what was started" >&2
        if [[ $WAS_RUNNING == no ]]; then
            stop_everything
        else
            local index
            for ((index = ${#STARTED[@]} - 1; index >= 0; index--)); do
                case ${STARTED[index]} in
                    postgres) postgres_stop postgres ;;
                    *) stop TERM 25 "${STARTED[index]}" ;;
                esac
            done
        fi
    fi
    exit "$code"
}

cmd_up() {
    local background=no
    while (($#)); do
        case $1 in
            -d | --detach) background=yes ;;
            *) die "./dev up knows only -d, not \"$1\"" ;;
        esac
        shift
    done
    prepare_state
    need_tools up
    take_lock
    choose_ports
    if everything_alive && answers_200 "http://127.0.0.1:$HTTP_PORT/readyz"; then
        say "Admit is already running."
        print_entry
        return
    fi
    WAS_RUNNING=no
    anything_alive && WAS_RUNNING=yes
    end_orphans "${PARTS[@]}"
    need_free_ports
    make_secrets
    make_certificate
    trap give_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    build
    find_postgres "$SERVICE_DIR/postgres/data" || true
    admit_environment
    record_ports
    start_stores
    migrate_and_seed
    start_programs
    write_demo_json
    trap - EXIT INT TERM HUP
    if [[ $WAS_RUNNING == yes ]]; then
        say "Some parts had stopped and run again: ${STARTED[*]:-none}"
    fi
    print_entry
    if [[ $background == no && $WAS_RUNNING == no ]]; then
        follow
    else
        drop_lock
        say "./dev status shows the parts, ./dev down stops them."
    fi
}

# In the foreground: calm lines only, until Ctrl-C or a ./dev down from elsewhere.
follow() {
    local -a logs=()
    local -A told=()
    local part tail_pid
    for part in "${PARTS[@]}"; do logs+=("$LOGS_DIR/$part.log"); done
    drop_lock
    trap 'leave_foreground 130' INT
    trap 'leave_foreground 143' TERM HUP
    say "Ctrl-C stops everything. Warnings and errors of all parts follow; all lines are in .run/logs/."
    tail -q -n 0 -F "${logs[@]}" 2>/dev/null > >(calm_lines) &
    tail_pid=$!
    FOLLOWER=$tail_pid
    while anything_alive; do
        for part in "${PARTS[@]}"; do
            # Whoever holds the lock is stopping or restarting it on purpose.
            if gone "$part" && [[ -e $PIDS_DIR/$part && -z ${told[$part]:-} ]] && flock -n "$RUN_DIR/lock" true; then
                told[$part]=yes
                warn "$part has ended by itself; see .run/logs/$part.log. In another terminal, ./dev up starts it again."
            elif alive "$part"; then
                unset "told[$part]"
            fi
        done
        # Waiting for a child lets a signal through at once, sleeping in front does not.
        sleep 1 &
        wait $! 2>/dev/null || true
    done
    trap - INT TERM HUP
    kill "$tail_pid" 2>/dev/null || true
    say "Admit was stopped."
}

# Admit logs one JSON object a line; a person wants the words, and not the same ones a thousand times.
# (grep and not awk: some awks wait for a full block before they look at a pipe.)
calm_lines() {
    local line words level
    local -A times=()
    grep --line-buffered -E '"level": ?"(WARN|ERROR)"| (FATAL|PANIC|ERROR): |\[(emerg|alert|crit)\]|panicked at' |
        while IFS= read -r line; do
            words=${line:0:300}
            if [[ $line =~ \"level\":\ ?\"(WARN|ERROR)\" ]]; then
                level=${BASH_REMATCH[1],,}
                words="${level/warn/warning}:"
                [[ $line =~ \"message\":\ ?\"([^\"]*)\" ]] && words+=" ${BASH_REMATCH[1]}"
                [[ $line =~ \"code\":\ ?\"([^\"]*)\" ]] && words+=" ${BASH_REMATCH[1]}"
                [[ $line =~ \"source\":\ ?\"([^\"]+)\" ]] && words+=" (${BASH_REMATCH[1]:0:200})"
            fi
            times[$words]=$((${times[$words]:-0} + 1))
            case ${times[$words]} in
                1 | 2) say "$words" ;;
                3) say "$words (from here on every hundredth time)" ;;
                *00) say "$words (${times[$words]} times)" ;;
            esac
        done
}

leave_foreground() {
    trap '' INT TERM HUP
    kill "$FOLLOWER" 2>/dev/null || true
    say ""
    say "Stopping everything"
    exec 9>"$RUN_DIR/lock"
    flock -w 120 9 || die "another ./dev is still at work"
    stop_everything
    say "Stopped; the data stays in .run/."
    exit "$1"
}

cmd_down() {
    (($# == 0)) || die "./dev down takes no arguments"
    [[ -d $RUN_DIR ]] || { say "Nothing is running."; return; }
    prepare_state
    take_lock
    if ! anything_alive; then
        end_orphans "${PARTS[@]}"
        rm -f "$PIDS_DIR"/*
        say "Nothing is running."
        return
    fi
    progress "Stopping everything"
    stop_everything
    say "Stopped; the data stays in .run/."
}

# One instance after the other, so that nginx always has one to turn to.
cmd_restart() {
    (($# == 0)) || die "./dev restart takes no arguments"
    prepare_state
    need_tools up
    take_lock
    choose_ports
    everything_alive || die "not everything runs: ./dev up first"
    build
    find_postgres "$SERVICE_DIR/postgres/data" || true
    admit_environment
    progress "Migrating the database"
    admit_run migrate || die "the migration failed; nothing was restarted"
    local index
    for index in 0 1; do
        progress "Restarting serve-$((index + 1))"
        stop TERM 25 "serve-$((index + 1))"
        serve_start "$index"
    done
    progress "Restarting the worker"
    stop TERM 25 work
    work_start
    answers_200 "http://127.0.0.1:$HTTP_PORT/readyz" || die "the system does not answer through nginx"
    say "Restarted."
}

cmd_status() {
    (($# == 0)) || die "./dev status takes no arguments"
    [[ -d $RUN_DIR ]] || { say "Nothing is running."; return 1; }
    prepare_state
    choose_ports
    local part pid all=yes
    for part in "${PARTS[@]}"; do
        if pid=$(live_pid "$part"); then
            printf '%-10s %srunning%s  port %-5s  pid %s\n' "$part" "$green" "$plain" "$(port_of "$part")" "$pid"
        else
            all=no
            printf '%-10s %sstopped%s\n' "$part" "$red" "$plain"
        fi
    done
    if [[ $all == yes ]] && answers_200 "http://127.0.0.1:$HTTP_PORT/readyz"; then
        say "ready at $BASE_URL"
    else
        say "not ready"
        return 1
    fi
}

cmd_logs() {
    local name=${1:-} log
    local -a logs=()
    for log in "$LOGS_DIR"/*.log; do
        [[ -e $log && (-z $name || ${log##*/} == "$name.log" || ${log##*/} == "$name"-*.log) ]] && logs+=("$log")
    done
    prepare_state
    if [[ -z $name || $name == nginx ]] && [[ -e $SERVICE_DIR/nginx/access.log ]]; then logs+=("$SERVICE_DIR/nginx/access.log"); fi
    ((${#logs[@]})) || die "there is no log${name:+ named \"$name\"}: choose from ${PARTS[*]}"
    if [[ -t 1 ]]; then exec tail -n 50 -F "${logs[@]}"; else exec tail -n 200 "${logs[@]}"; fi
}

cmd_reset() {
    (($# == 0)) || die "./dev reset takes no arguments"
    [[ -e $RUN_DIR ]] || { say "There is nothing to wipe."; return; }
    prepare_state
    take_lock
    anything_alive && progress "Stopping everything" && stop_everything
    progress "Wiping the data, logs, mail and secrets of this checkout"
    local other entry
    if [[ -s $RUN_DIR/elsewhere ]]; then
        other=$(<"$RUN_DIR/elsewhere")
        [[ $other == "$(elsewhere)" ]] && rm -rf --one-file-system -- "$other"
    fi
    for entry in "$RUN_DIR"/* "$RUN_DIR"/.[!.]*; do
        # A ./dev test may be running beside this; it removes its own folder.
        case ${entry##*/} in lock | test.*) continue ;; esac
        rm -rf --one-file-system -- "$entry"
    done
    say "Wiped."
}

cmd_loadtest() {
    [[ -s $RUN_DIR/demo.json ]] || die "there is no .run/demo.json: ./dev up -d first"
    use_system_paths
    need_cargo
    (cd "$ROOT" && cargo build --release --locked --workspace --bin loadtest) || die "the build failed"
    find_binaries
    exec "$BIN_DIR/loadtest" --demo "$RUN_DIR/demo.json" "$@"
}
