# shellcheck shell=bash
# The pages in a real browser: a whole system of its own on free ports, driven by tests/browser. Pictures stay in
# .run/browser/: of every page after `./dev browser`, of what failed after `./dev test`.

readonly BROWSER_TESTS="$ROOT/tests/browser" NODE_MIN=18 BROWSER_SECONDS=2400

# The first browser of the Chromium kind, or ADMIT_CHROMIUM. A snap cannot be driven.
chromium_program() {
    local name path
    for name in "${ADMIT_CHROMIUM:-}" chromium google-chrome-stable google-chrome chromium-browser; do
        path=$([[ -n $name ]] && command -v "$name") || continue
        [[ $(readlink -f "$path") == */snap* ]] && continue
        printf '%s' "$path"
        return
    done
    return 1
}

has_node() {
    local major
    major=$(node --version 2>/dev/null | sed -n 's/^v\([0-9]*\).*/\1/p')
    [[ -n $major ]] && ((major >= NODE_MIN))
}

has_korean_font() { has fc-list && [[ -n $(fc-list :lang=ko family 2>/dev/null) ]]; }

# For need_tools. Where apt has no Chromium of its own (Ubuntu), the step itself says what to do.
want_browser() {
    if ! chromium_program >/dev/null && [[ $(LC_ALL=C apt-cache policy chromium 2>/dev/null) == *"Candidate: "[0-9]* ]]; then
        want chromium "Chromium, which tries the pages"
    fi
    has_korean_font || want "fonts-noto-cjk fontconfig" "a Korean font"
    has_node || want nodejs "Node $NODE_MIN or newer"
    has npm || want npm "npm"
}

# The exact packages of package-lock.json; nothing of them runs while they are installed, and no browser is fetched.
install_node_packages() {
    local lock="$BROWSER_TESTS/package-lock.json" done="$BROWSER_TESTS/node_modules/.package-lock.json"
    [[ -e $done && ! $lock -nt $done ]] && return
    progress "Installing the packages of tests/browser"
    (cd "$BROWSER_TESTS" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) && touch "$done"
}

# Nine ports in a row, as choose_ports has them.
choose_free_ports() {
    local base port try
    for try in {1..50}; do
        base=$(free_port)
        for ((port = base; port < base + 10; port++)); do port_in_use "$port" && continue 2; done
        HTTP_PORT=$((base + 9)) PORT_BASE=$base
        POSTGRES_PORT=$base REDIS_PORT=$((base + 1))
        SERVE_PORTS=($((base + 2)) $((base + 3))) SERVE_PRIVATE_PORTS=($((base + 4)) $((base + 5)))
        WORK_PRIVATE_PORT=$((base + 6)) SIMULATOR_PORT=$((base + 7)) STRIPE_SIMULATOR_PORT=$((base + 8))
        BASE_URL="http://localhost:$HTTP_PORT"
        return
    done
    die "found no ten free ports in a row after $try tries"
}

# What the other tests were built with; made anew only where a source is younger.
debug_binaries() {
    find_binaries
    BIN_DIR="${BIN_DIR%/release}/debug"
    local name
    for name in admit toss-simulator stripe-simulator; do
        [[ -x $BIN_DIR/$name ]] || break
        [[ $name == admit ]] || continue
        [[ -z $(find "$ROOT"/{src,web,sql,lua,build.rs,Cargo.toml,Cargo.lock} -type f -newer "$BIN_DIR/admit" -print -quit) ]] || break
    done
    [[ -x $BIN_DIR/$name && $name == stripe-simulator ]] && return
    progress "Building"
    in_root cargo build --locked --workspace --bins
}

browser_system_start() {
    # The names of `./dev up`, in the folder of this test: its functions run the system here.
    RUN_DIR="$TEST_DIR/browser" SERVICE_DIR="$TEST_DIR/browser"
    mkdir -p "$RUN_DIR/mail"
    chmod 711 "$RUN_DIR"
    # Log files as old as in production matter to measurements alone.
    postgres_age_log() { :; }
    choose_free_ports
    make_secrets
    admit_environment
    # Everybody here comes from one address, and is held to what a person may do all the same.
    ADMIT_ENVIRONMENT+=(ADMIT_RATE_LIMIT_EXEMPT=192.0.2.0/24 ADMIT_LOGINS_PER_MINUTE=1000)
    postgres_start postgres "$RUN_DIR/postgres" "$POSTGRES_PORT" throwaway "$(secret POSTGRES_SUPERUSER_PASSWORD)"
    postgres_create_database "$POSTGRES_PORT" "$(secret POSTGRES_SUPERUSER_PASSWORD)" "$(secret POSTGRES_PASSWORD)"
    redis_start redis "$RUN_DIR/redis" "$REDIS_PORT" throwaway
    migrate_and_seed
    start_programs
    write_demo_json
}

# check_browser [PATTERN]: all tests, or those whose name it matches.
check_browser() {
    local pictures="$ROOT/.run/browser" code=0
    chromium_program >/dev/null ||
        die "no Chromium that can be driven is here (a snap cannot): install Google Chrome, or name a program in ADMIT_CHROMIUM"
    has_node || die "Node $NODE_MIN or newer is missing"
    install_node_packages || die "the packages of tests/browser could not be installed"
    debug_binaries || die "the build failed"
    trap stop_everything EXIT
    browser_system_start
    rm -rf "$pictures"
    mkdir -p "$pictures"
    drive_browser "$pictures" "$@" || code=$?
    if ((code != 0 && code != 124)); then
        # A browser on a busy machine misses a deadline now and then. What fails twice is broken; the pictures of the first
        # time stay beside those of the second.
        local failed
        failed=$(failed_names "$pictures/tests.tap")
        say "Some failed. Those once more:"
        mkdir -p "$pictures/first"
        cp "$pictures"/failed* "$pictures/first/" 2>/dev/null || true
        code=0
        drive_browser "$pictures" "${failed:-${1:-}}" || code=$?
    fi
    ((code != 124)) || say "stopped after $BROWSER_SECONDS s"
    ((code == 0)) || keep_browser_logs
    return "$code"
}

# drive_browser PICTURES [PATTERN]
drive_browser() (
    cd "$BROWSER_TESTS" &&
        ADMIT_DEMO="$RUN_DIR/demo.json" ADMIT_PICTURES="$1" ADMIT_CHROMIUM="$(chromium_program)" \
            ADMIT_SERVE_URLS="http://127.0.0.1:${SERVE_PORTS[0]} http://127.0.0.1:${SERVE_PORTS[1]}" \
            ADMIT_PSQL="$(psql_program)" ADMIT_MAIL_FOLDER="$RUN_DIR/mail" \
            timeout --foreground --kill-after=10 "$BROWSER_SECONDS" \
            node --test --test-reporter=spec --test-reporter-destination=stdout --test-reporter=tap \
            --test-reporter-destination="$1/tests.tap" --test-concurrency=4 ${2:+--test-name-pattern="$2"} ./*.test.mjs
)

# failed_names FILE: a pattern of the tests that failed. Nothing when a file failed as a whole, or nothing is known.
failed_names() {
    local names
    names=$(sed -n 's/^ *not ok [0-9]* - //p' "$1" 2>/dev/null) || return 0
    [[ -n $names && $names != *.test.mjs* ]] || return 0
    # As TAP escapes them, and then as a pattern takes them literally.
    sed -e 's/\\\([\\#]\)/\1/g' -e 's/[][\\.*^$+?(){}|]/\\&/g' -e 's/^/^/' -e 's/$/$/' <<<"$names" | paste -sd '|'
}

# What the programs said, for whoever looks for the reason.
keep_browser_logs() {
    cp "$LOGS_DIR"/{serve-1,serve-2,work,simulator,nginx}.log "$ROOT/.run/browser/" 2>/dev/null || true
    say "pictures and logs are in .run/browser/"
}

cmd_browser() {
    (($# <= 1)) || die "./dev browser takes one pattern at most"
    prepare_test browser
    step "browser: pages" check_browser "$@"
    ((FAILED == 0)) || exit 1
}
