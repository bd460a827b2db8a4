# shellcheck shell=bash
# Installs packages with apt, and nothing else: no service of the machine is left running or set to
# start, no Postgres cluster is created, and whatever was changed for that is put back.

readonly POLICY=/usr/sbin/policy-rc.d
readonly NO_CLUSTER=/etc/postgresql-common/createcluster.d/admit-no-main-cluster.conf

as_root() { if ((EUID == 0)); then "$@"; else sudo "$@"; fi; }

may_become_root() {
    ((EUID == 0)) && return 0
    has sudo || return 1
    sudo -n true 2>/dev/null && return 0
    # Asking for a password makes sense only to somebody who is there, and who may.
    [[ -t 0 ]] && { say "To install packages, sudo asks for your password."; sudo -v; }
}

# Uses packages and wants of need_tools.
install_packages() {
    local list
    list=$(printf '    %s\n' "${wants[@]}")
    local by_hand="Missing on this machine:
$list"
    if ! has apt-get; then
        die "$by_hand
  This system has no apt; install these with its own package manager, then run the same command again."
    fi
    local line="apt-get install --no-install-recommends ${packages[*]}"
    if ! may_become_root; then
        die "$by_hand
  Neither root nor sudo is at hand. Ask an administrator to run
    $line
  then run the same command again."
    fi
    progress "Installing with apt: ${packages[*]}"
    as_root apt-get update -qq || die "apt-get update failed; $by_hand
  install it by hand: $line"
    candidates_are_new_enough
    install_quietly || die "apt could not install everything; try by hand: $line"
    hash -r
    find_postgres "${SERVICE_DIR:-$RUN_DIR}/postgres/data" || die "PostgreSQL $POSTGRES_MIN or newer is still missing after the installation"
    has_redis || die "Redis $REDIS_MIN or newer is still missing after the installation"
}

# Debian 12 and Ubuntu 24.04 have them; older systems are told before anything is changed.
candidates_are_new_enough() {
    local package minimum candidate
    for package in "postgresql $POSTGRES_MIN" "redis-server $REDIS_MIN"; do
        read -r package minimum <<<"$package"
        [[ " ${packages[*]} " == *" $package "* ]] || continue
        candidate=$(LC_ALL=C apt-cache policy "$package" | sed -n 's/^ *Candidate: *\([0-9]*:\)\{0,1\}\([0-9]*\).*/\2/p')
        if [[ -z $candidate ]] || ((candidate < minimum)); then
            die "this system offers $package ${candidate:-in no version}, and version $minimum or newer is needed.
  Use Debian 12, Ubuntu 24.04 or newer, or add the package source of the PostgreSQL or Redis project."
        fi
    done
}

put_back() {
    if as_root test -e "$POLICY.admit-saved"; then
        as_root mv -f "$POLICY.admit-saved" "$POLICY"
    elif as_root grep -qs 'written by Admit' "$POLICY"; then
        as_root rm -f "$POLICY"
    fi
    as_root rm -f "$NO_CLUSTER"
    as_root rmdir --ignore-fail-on-non-empty "${NO_CLUSTER%/*}" 2>/dev/null || true
}

# In a subshell, so that its exit trap puts things back whatever happens in between.
install_quietly() (
    local -a before=()
    local unit
    for unit in postgresql redis-server nginx; do
        dpkg-query -W -f '${Status}' "$unit" 2>/dev/null | grep -q 'ok installed' && before+=("$unit")
    done
    put_back
    trap put_back EXIT
    trap 'exit 130' INT TERM HUP
    as_root test -e "$POLICY" && as_root mv "$POLICY" "$POLICY.admit-saved"
    printf '#!/bin/sh\n# written by Admit ./dev while it installs packages: start nothing\nexit 101\n' | as_root tee "$POLICY" >/dev/null
    as_root chmod 755 "$POLICY"
    as_root mkdir -p "${NO_CLUSTER%/*}"
    echo 'create_main_cluster = false' | as_root tee "$NO_CLUSTER" >/dev/null
    # Unquoted on purpose: an entry may name two packages.
    # shellcheck disable=SC2068
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
        apt-get install -y -q --no-install-recommends -o Dpkg::Options::=--force-confold ${packages[@]} || return 1
    # Packages enable their service for the next boot; those that were not here before are switched off.
    for unit in postgresql redis-server nginx; do
        [[ " ${before[*]} " == *" $unit "* ]] || ! dpkg-query -W "$unit" >/dev/null 2>&1 && continue
        as_root deb-systemd-helper disable "$unit.service" >/dev/null 2>&1 || true
        as_root update-rc.d "$unit" disable >/dev/null 2>&1 || true
    done
)
