# shellcheck shell=bash
# Checks of files, without the system: nginx configurations, docker-compose.yml, secrets.
# Each prints what is wrong and returns false.

check_nginx_dev() {
    local dir="$TEST_DIR/nginx-dev"
    nginx_render "$dir" "$(free_port)" "$(free_port)" "$(free_port)"
    nginx_valid "$dir"
}

# The production files as they are, but for what only a prepared machine has: certificate, ports under
# 1024, a log folder. nginx -t opens all of these.
check_nginx_production() {
    local dir="$TEST_DIR/nginx-production"
    service_folder "$dir"
    mkdir -p "$dir/tls" "$dir/snippets" "$dir/tmp"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=tickets.example.org \
        -keyout "$dir/tls/privkey.pem" -out "$dir/tls/fullchain.pem" 2>/dev/null || { say "openssl made no certificate"; return 1; }
    cp "$ROOT"/nginx/snippets/*.conf "$dir/snippets/"
    local http https
    http=$(free_port) https=$(free_port)
    sed -e '/^user /d' -e '/^worker_rlimit_nofile /d' -e 's/worker_connections [0-9]*/worker_connections 256/' \
        -e "s|/etc/nginx/admit/tls|$dir/tls|" -e "s|/run/nginx.pid|$dir/nginx.pid|" \
        -e "s|/var/log/nginx|$dir|" -e "s|/var/cache/nginx|$dir|" \
        -e "s/listen 80\\b/listen $http/;s/listen \\[::\\]:80\\b/listen [::]:$http/" \
        -e "s/listen 443\\b/listen $https/;s/listen \\[::\\]:443\\b/listen [::]:$https/" \
        -e 's|^http {|http { client_body_temp_path tmp/a; proxy_temp_path tmp/b; fastcgi_temp_path tmp/c; uwsgi_temp_path tmp/d; scgi_temp_path tmp/e;|' \
        "$ROOT/nginx/production.conf" >"$dir/nginx.conf"
    has_ipv6_loopback || sed -i '/listen \[::\]/d' "$dir/nginx.conf"
    ((EUID == 0)) && chown -R "$SERVICE_USER:" "$dir"
    nginx_valid "$dir"
}

# "resolve" is younger than the nginx of some distributions, and its name server is Docker's.
check_nginx_docker() {
    local dir="$TEST_DIR/nginx-docker"
    service_folder "$dir"
    mkdir -p "$dir/snippets" "$dir/tmp"
    cp "$ROOT"/nginx/snippets/*.conf "$dir/snippets/"
    sed -e 's/server serve:8081 resolve/server 127.0.0.1:8081/' -e "s/listen 8080\\b/listen $(free_port)/" \
        -e 's/worker_connections [0-9]*/worker_connections 256/' -e "s|/tmp/|$dir/tmp/|" -e "s|/dev/stdout|$dir/access.log|" \
        "$ROOT/nginx/docker.conf" >"$dir/nginx.conf"
    ((EUID == 0)) && chown -R "$SERVICE_USER:" "$dir"
    nginx_valid "$dir"
}

# What the configuration promises, shown on a running nginx in front of two scripted instances.
check_nginx_behaviour() {
    local dir="$TEST_DIR/nginx-behaviour" http first second
    http=$(free_port) first=$(free_port) second=$(free_port)
    NGINX_HSTS='max-age=1' nginx_start nginx-behaviour "$dir" "$http" "$first" "$second" || return 1
    "$(yaml_python)" "$ROOT/nginx/behaviour_test.py" "$http" "$first" "$second" "$dir/access.log"
    local result=$?
    nginx_stop nginx-behaviour
    return $result
}

check_compose() {
    "$(yaml_python)" "$ROOT/dev.d/compose_check.py" "$ROOT/docker-compose.yml" "$ROOT/.env.example" || return 1
    "$(yaml_python)" "$ROOT/dev.d/context_check.py" "$ROOT" || return 1
    if has docker && docker compose version >/dev/null 2>&1; then
        docker compose --project-directory "$ROOT" -f "$ROOT/docker-compose.yml" --env-file "$ROOT/.env.example" --profile demo config --quiet
    else
        say "docker compose is not here: structure, references and the build's files were checked without it"
    fi
}

# Files that are or could be committed. An archive without .git is searched whole.
list_sources() {
    if git -C "$ROOT" rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git -C "$ROOT" ls-files -z --cached --others --exclude-standard
    else
        (cd "$ROOT" && find . \( -name target -o -name .run -o -name node_modules \) -prune -o -type f -print0)
    fi
}

scan_secrets() { (cd "$ROOT" && "$(yaml_python)" dev.d/secret_scan.py); }

check_secrets() {
    local bait="$TEST_DIR/bait" planted count
    # Put together here, so that this file holds none itself.
    printf '4%s\n%s_sk_%s\n-----BEGIN %s-----\n%s\n' '111 1111 1111 1111' live "$(random_hex 12)" 'PRIVATE KEY' "$(random_hex 32)" >"$bait"
    planted=$(printf '%s\0' "$bait" | scan_secrets) || true
    count=$(grep -c "^$bait:" <<<"$planted")
    if ((count != 3)); then
        say "the search itself is broken: it found $count of 3 planted secrets"
        return 1
    fi
    rm -f "$bait"
    list_sources | scan_secrets || {
        say "secrets do not belong into the repository: remove them, and replace them wherever they are valid"
        return 1
    }
}
