# shellcheck shell=bash
# ./dev test, browser and torture: a throw-away Postgres and Redis on free ports, then every check. One
# failing check does not hide the next.

TEST_DIR=''
declare -a RESULTS=()
FAILED=0

# A killed test leaves its folder and its programs; the next one ends them, if nobody owns them.
sweep_old_tests() {
    local dir
    for dir in "$1"/test.*; do
        [[ -d $dir && -O $dir ]] || continue
        PIDS_DIR="$dir/pids" LOGS_DIR="$dir/logs"
        alive owner && continue
        end_test_stores
        rm -rf --one-file-system -- "$dir"
    done
}

end_test_stores() {
    stop_everything
    stop TERM 5 nginx-behaviour
    stop INT 20 test-postgres
    stop TERM 10 test-redis
}

leave_test() {
    local code=$?
    trap '' INT TERM HUP
    trap - EXIT
    if [[ -n $TEST_DIR && -d $TEST_DIR ]]; then
        end_test_stores
        cd "$ROOT"
        rm -rf --one-file-system -- "$TEST_DIR"
    fi
    exit "$code"
}

# prepare_test [browser]: sets TEST_DIR and starts the stores.
prepare_test() {
    prepare_state
    need_tools test "${1:-}"
    find_postgres || die "PostgreSQL $POSTGRES_MIN or newer is missing"
    trap leave_test EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    sweep_old_tests "$SERVICE_DIR"
    TEST_DIR=$(mktemp -d "$SERVICE_DIR/test.XXXXXX")
    chmod 711 "$TEST_DIR"
    PIDS_DIR="$TEST_DIR/pids" LOGS_DIR="$TEST_DIR/logs"
    mkdir "$PIDS_DIR" "$LOGS_DIR"
    remember owner $$
    progress "Starting a throw-away Postgres and Redis"
    local password postgres_port redis_port
    password=$(random_hex 16)
    postgres_port=$(free_port)
    postgres_start test-postgres "$TEST_DIR/postgres" "$postgres_port" throwaway "$password"
    redis_port=$(free_port)
    redis_start test-redis "$TEST_DIR/redis" "$redis_port" throwaway
    export ADMIT_TEST_DATABASE_URL="postgres://postgres:$password@127.0.0.1:$postgres_port/postgres"
    export ADMIT_TEST_REDIS_URL="redis://127.0.0.1:$redis_port/0"
    # Tests must not depend on what the caller's shell happens to hold.
    unset DATABASE_URL REDIS_URL TOSS_CLIENT_KEY TOSS_SECRET_KEY TOSS_API_URL TOSS_SDK_URL PAYMENTS_PROVIDER
    unset STRIPE_PUBLISHABLE_KEY STRIPE_SECRET_KEY STRIPE_WEBHOOK_SECRET STRIPE_API_URL STRIPE_SDK_URL
    unset http_proxy https_proxy all_proxy HTTP_PROXY ALL_PROXY
    export NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost
}

# step WORDS COMMAND...
step() {
    local words=$1 began=$SECONDS verdict
    shift
    say ""
    progress "$words"
    # In a subshell, so that a check that gives up does not take the others with it.
    if ("$@") </dev/null; then
        verdict="${green}PASS${plain}"
    else
        verdict="${red}FAIL${plain}"
        FAILED=$((FAILED + 1))
    fi
    RESULTS+=("$(printf '%s  %4d s  %s' "$verdict" $((SECONDS - began)) "$words")")
    printf '    %s\n' "${RESULTS[-1]}"
}

in_root() { (cd "$ROOT" && exec "$@"); }

check_format() {
    need_rust_component fmt rustfmt
    in_root cargo fmt --all --check
}

check_clippy() {
    need_rust_component clippy clippy
    in_root cargo clippy --locked --workspace --all-targets -- -D warnings
}

# Tests wait for Postgres, Redis and each other's locks as much as they compute: twice as many as cores finish in half the
# time. Each has connections of its own, and there are 300.
check_tests() {
    local threads=$((2 * $(nproc)))
    ((threads <= 8)) || threads=8
    RUST_TEST_THREADS=${RUST_TEST_THREADS:-$threads} in_root cargo test --locked --workspace --no-fail-fast
}

check_gate_scripts() { in_root node --test tests/gate/*.test.mjs; }

# A filter that matches nothing makes cargo content, which would be a campaign that nobody runs.
run_torture() {
    local log="$TEST_DIR/torture.log"
    (cd "$ROOT" && ADMIT_TORTURE_SEEDS=$1 cargo test --locked --workspace --test it torture -- --nocapture) 2>&1 | tee "$log"
    ((PIPESTATUS[0] == 0)) || return 1
    grep -qE '^running [1-9][0-9]* test' "$log" || {
        say "no torture test was found"
        return 1
    }
}

# Optimised: a million people take a quarter of an hour so, and an hour and more otherwise.
run_crowd() {
    (cd "$ROOT" && ADMIT_QUEUE_PEOPLE=$1 cargo test --locked --release --workspace --test it a_crowd_is_served -- --nocapture)
}

cmd_test() {
    (($# == 0)) || die "./dev test takes no arguments"
    local began=$SECONDS
    prepare_test browser
    step "format" check_format
    step "secrets and card numbers" check_secrets
    step "docker-compose.yml" check_compose
    step "nginx: development configuration" check_nginx_dev
    step "nginx: production configuration" check_nginx_production
    step "nginx: Docker configuration" check_nginx_docker
    step "nginx: behaviour" check_nginx_behaviour
    step "clippy, warnings denied" check_clippy
    step "all tests" check_tests
    step "gate: scripts" check_gate_scripts
    # Nobody looks at hundreds of pictures of what passed; `./dev browser` takes them.
    ADMIT_ONLY_FAILURES=1 step "browser: pages" check_browser
    step "torture, short" run_torture 2
    say ""
    say "${bold}Summary${plain}"
    printf '  %s\n' "${RESULTS[@]}"
    if ((FAILED)); then
        say "  $FAILED of ${#RESULTS[@]} checks failed, after $((SECONDS - began)) s."
        exit 1
    fi
    say "  All ${#RESULTS[@]} checks passed, in $((SECONDS - began)) s."
}

cmd_torture() {
    local seeds=62 people=1000000
    while (($#)); do
        case $1 in
            --seeds)
                seeds=${2:-}
                shift
                ;;
            --seeds=*) seeds=${1#*=} ;;
            --people)
                people=${2:-}
                shift
                ;;
            --people=*) people=${1#*=} ;;
            *) die "./dev torture knows --seeds N and --people N, not \"$1\"" ;;
        esac
        shift || true
    done
    [[ $seeds =~ ^[1-9][0-9]{0,5}$ ]] || die "--seeds wants a number from 1 to 999999, not \"$seeds\""
    [[ $people =~ ^(0|[1-9][0-9]{2,6})$ ]] || die "--people wants a number from 100 to 9999999, or 0 for none, not \"$people\""
    prepare_test
    step "torture, $seeds seeds" run_torture "$seeds"
    ((people == 0)) || step "a crowd of $people in the waiting room" run_crowd "$people"
    ((FAILED == 0)) || exit 1
}
