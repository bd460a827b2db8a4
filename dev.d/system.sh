# shellcheck shell=bash
# The parts of the system, in the order in which they start; they stop in the opposite order.

readonly PARTS=(postgres redis simulator stripe-simulator serve-1 serve-2 work nginx)
readonly DEMO_CLIENT_KEY=test_ck_DEMO000000000000000000 DEMO_SECRET_KEY=test_sk_DEMO000000000000000000
readonly DEMO_STRIPE_PUBLISHABLE_KEY=pk_test_DEMO000000000000000000 DEMO_STRIPE_SECRET_KEY=sk_test_DEMO000000000000000000
readonly DEMO_STRIPE_WEBHOOK_SECRET=whsec_DEMO000000000000000000000000

# Before the ports are chosen: they may only be chosen anew when nothing runs.
anything_alive() {
    local part
    for part in "${PARTS[@]}"; do alive "$part" && return 0; done
    return 1
}

everything_alive() {
    local part
    for part in "${PARTS[@]}"; do alive "$part" || return 1; done
}

port_of() {
    case $1 in
        postgres) echo "$POSTGRES_PORT" ;;
        redis) echo "$REDIS_PORT" ;;
        simulator) echo "$SIMULATOR_PORT" ;;
        stripe-simulator) echo "$STRIPE_SIMULATOR_PORT" ;;
        serve-1) echo "${SERVE_PORTS[0]}" ;;
        serve-2) echo "${SERVE_PORTS[1]}" ;;
        work) echo "$WORK_PRIVATE_PORT" ;;
        nginx) echo "$HTTP_PORT" ;;
    esac
}

need_free_ports() {
    local part
    need_free nginx "$HTTP_PORT"
    for part in "${PARTS[@]}"; do need_free "$part" "$(port_of "$part")"; done
    need_free serve-1 "${SERVE_PRIVATE_PORTS[0]}"
    need_free serve-2 "${SERVE_PRIVATE_PORTS[1]}"
}

database_url() { printf 'postgres://admit:%s@127.0.0.1:%s/admit' "$(secret POSTGRES_PASSWORD)" "$POSTGRES_PORT"; }
redis_url() { printf 'redis://127.0.0.1:%s/0' "$REDIS_PORT"; }
simulator_url() { printf 'http://127.0.0.1:%s' "$SIMULATOR_PORT"; }
stripe_simulator_url() { printf 'http://127.0.0.1:%s' "$STRIPE_SIMULATOR_PORT"; }

# The whole environment of the program, and nothing of the caller's: no proxy, no forgotten DATABASE_URL.
admit_environment() {
    ADMIT_ENVIRONMENT=(
        "PATH=$PATH" "HOME=${HOME:-/}" LANG=C.UTF-8 RUST_BACKTRACE=1
        "DATABASE_URL=$(database_url)" "REDIS_URL=$(redis_url)"
        "ADMIT_SELLER_NAME=Admit (시범 운영)" ADMIT_SELLER_EMAIL=admit@localhost
        ADMIT_MODE=development "ADMIT_BASE_URL=$BASE_URL" "ADMIT_LOG=${ADMIT_LOG:-info}"
        "ADMIT_SECRET=$(secret ADMIT_SECRET)" "ADMIT_DATA_KEYS=$(secret ADMIT_DATA_KEYS)"
        PAYMENTS_PROVIDER=toss "TOSS_CLIENT_KEY=$DEMO_CLIENT_KEY" "TOSS_SECRET_KEY=$DEMO_SECRET_KEY"
        "TOSS_API_URL=$(simulator_url)" "TOSS_SDK_URL=$(simulator_url)/v2/standard"
        "STRIPE_PUBLISHABLE_KEY=$DEMO_STRIPE_PUBLISHABLE_KEY" "STRIPE_SECRET_KEY=$DEMO_STRIPE_SECRET_KEY"
        "STRIPE_WEBHOOK_SECRET=$DEMO_STRIPE_WEBHOOK_SECRET"
        "STRIPE_API_URL=$(stripe_simulator_url)" "STRIPE_SDK_URL=$(stripe_simulator_url)/v3/"
        "ADMIT_RATE_LIMIT_EXEMPT=127.0.0.0/8,::1/128" ADMIT_TRUSTED_PROXIES=127.0.0.1/32
        # Two instances share this machine's cores.
        "ADMIT_THREADS=$((($(nproc) + 1) / 2))"
        "ADMIT_MAIL=file://$RUN_DIR/mail" "ADMIT_MAIL_FROM=Admit <admit@localhost>"
    )
}

find_binaries() {
    local target
    target=$(cd "$ROOT" && cargo metadata --format-version 1 --no-deps --locked --offline 2>/dev/null | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p') || true
    BIN_DIR="${target:-$ROOT/target}/release"
}

build() {
    progress "Building in release mode (the first time takes some minutes)"
    (cd "$ROOT" && cargo build --release --locked --workspace 9>&-) || die "the build failed"
    find_binaries
}

# admit_run COMMAND...: one command of the program to its end, its lines indented.
admit_run() {
    env -i "${ADMIT_ENVIRONMENT[@]}" "$BIN_DIR/admit" "$@" 9>&- 2>&1 </dev/null | sed 's/^/    /'
}

migrate_and_seed() {
    progress "Migrating the database"
    admit_run migrate || die "the migration failed"
    progress "Seeding the exhibitions aaa and bbb"
    admit_run seed-demo --accounts-file "$RUN_DIR/accounts.json" || die "seeding failed"
    [[ -s $RUN_DIR/accounts.json ]] || die "admit seed-demo wrote no $RUN_DIR/accounts.json"
}

# Its keys are those that it has by itself.
stripe_simulator_start() {
    gone stripe-simulator || return 0
    start stripe-simulator self env -i "PATH=$PATH" LANG=C.UTF-8 RUST_BACKTRACE=1 "$BIN_DIR/stripe-simulator" \
        --listen "127.0.0.1:$STRIPE_SIMULATOR_PORT" --webhook-url "http://127.0.0.1:$HTTP_PORT/api/webhooks/stripe" \
        --latency-ms "${ADMIT_SIM_LATENCY_MS:-0}"
    wait_for stripe-simulator 20 port_in_use "$STRIPE_SIMULATOR_PORT"
}

simulator_start() {
    gone simulator || return 0
    start simulator self env -i "PATH=$PATH" LANG=C.UTF-8 RUST_BACKTRACE=1 "$BIN_DIR/toss-simulator" \
        --listen "127.0.0.1:$SIMULATOR_PORT" --webhook-url "http://127.0.0.1:$HTTP_PORT/api/webhooks/toss" \
        --latency-ms "${ADMIT_SIM_LATENCY_MS:-0}"
    wait_for simulator 20 port_in_use "$SIMULATOR_PORT"
}

# serve_start INDEX, from 0
serve_start() {
    local name="serve-$(($1 + 1))" private="127.0.0.1:${SERVE_PRIVATE_PORTS[$1]}"
    if gone "$name"; then
        start "$name" self env -i "${ADMIT_ENVIRONMENT[@]}" "ADMIT_LISTEN=127.0.0.1:${SERVE_PORTS[$1]}" \
            "ADMIT_PRIVATE_LISTEN=$private" "$BIN_DIR/admit" serve
    fi
    wait_for "$name" 60 answers_200 "http://$private/readyz"
}

work_start() {
    local private="127.0.0.1:$WORK_PRIVATE_PORT"
    if gone work; then
        start work self env -i "${ADMIT_ENVIRONMENT[@]}" "ADMIT_PRIVATE_LISTEN=$private" "$BIN_DIR/admit" work
    fi
    wait_for work 60 answers_200 "http://$private/readyz"
}

start_stores() {
    progress "Starting Postgres and Redis"
    postgres_start postgres "$SERVICE_DIR/postgres" "$POSTGRES_PORT" durable "$(secret POSTGRES_SUPERUSER_PASSWORD)"
    postgres_create_database "$POSTGRES_PORT" "$(secret POSTGRES_SUPERUSER_PASSWORD)" "$(secret POSTGRES_PASSWORD)"
    redis_start redis "$SERVICE_DIR/redis" "$REDIS_PORT" durable
}

start_programs() {
    progress "Starting the simulators, two instances, the worker and nginx"
    simulator_start
    stripe_simulator_start
    serve_start 0
    serve_start 1
    work_start
    nginx_start nginx "$SERVICE_DIR/nginx" "$HTTP_PORT" "${SERVE_PORTS[@]}"
    wait_for nginx 60 answers_200 "http://127.0.0.1:$HTTP_PORT/readyz"
}

# Visitors first, stores last: each stops after everybody who needs it. Instances finish what they
# have begun, which their own deadline bounds to 15 s.
stop_everything() {
    end_orphans "${PARTS[@]}"
    nginx_stop nginx
    stop TERM 25 serve-1 serve-2
    stop TERM 25 work
    stop TERM 10 simulator stripe-simulator
    redis_stop redis
    postgres_stop postgres
}

write_demo_json() {
    (
        umask 077
        cat >"$RUN_DIR/demo.json.new" <<JSON
{
  "base_url": "$BASE_URL",
  "metrics_urls": [
    "http://127.0.0.1:${SERVE_PRIVATE_PORTS[0]}/metrics",
    "http://127.0.0.1:${SERVE_PRIVATE_PORTS[1]}/metrics",
    "http://127.0.0.1:$WORK_PRIVATE_PORT/metrics"
  ],
  "toss_simulator_url": "$(simulator_url)",
  "stripe_simulator_url": "$(stripe_simulator_url)",
  "redis_url": "$(redis_url)",
  "postgres_url": "$(database_url)",
  "exhibitions": ["aaa", "bbb"],
  "accounts": $(<"$RUN_DIR/accounts.json")
}
JSON
        mv "$RUN_DIR/demo.json.new" "$RUN_DIR/demo.json"
    )
}

# account ROLE FIELD, out of the file that admit seed-demo writes (usernames and passwords are plain words).
account() {
    tr -d '\n' <"$RUN_DIR/accounts.json" | grep -o "\"$1\" *: *{[^}]*}" | sed -n "s/.*\"$2\" *: *\"\([^\"]*\)\".*/\1/p"
}

print_entry() {
    local role
    say ""
    say "${green}Admit is ready.${plain}"
    say "  Visitors          $BASE_URL/aaa   and  $BASE_URL/bbb"
    say "  API               $BASE_URL/api/exhibitions/aaa/products"
    say "  Toss simulator    $(simulator_url)"
    say "  Stripe simulator  $(stripe_simulator_url)"
    say "  Demo logins"
    for role in super_admin admin staff; do
        printf '    %-12s %s / %s\n' "$role" "$(account $role username)" "$(account $role password)"
    done
    say "  Mail goes to .run/mail/, logs to .run/logs/, and tools find all of this in .run/demo.json"
    say ""
}
