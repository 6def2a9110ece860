# Sourced by scripts/run and scripts/test: the Python environment in .venv, and steps with times.
# Progress goes to stderr, so that stdout stays that of the program that is run in the end.
# shellcheck shell=bash

began=$EPOCHREALTIME
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_PROGRESS_BAR=off

since() { # since MOMENT: seconds with one decimal
    local now=${EPOCHREALTIME/[.,]/} then=${1/[.,]/}
    local tenths=$(((now - then) / 100000))
    printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

say() {
    printf '[%6s s] %s\n' "$(since "$began")" "$*" >&2
}

# step WHAT COMMAND...: run it, say every ten seconds where it is, and how long it took.
# Its output is shown whole when it fails, and its code is given back.
step() {
    local what=$1 log code=0 start=$EPOCHREALTIME ticks=0
    shift
    log=$(mktemp)
    say "$what ..."
    # What runs in the background is deaf to Ctrl-C: its whole group is ended here.
    set -m
    "$@" >"$log" 2>&1 </dev/null &
    local child=$!
    set +m
    trap 'kill -- "-$child" 2>/dev/null; exit 130' INT TERM
    while kill -0 "$child" 2>/dev/null; do
        sleep 0.1
        if ((++ticks % 100 == 0)); then
            say "  ... $(tail -n 1 "$log" | LC_ALL=C tr -cd "[:print:]" | cut -c 1-80)"
        fi
    done
    wait "$child" || code=$?
    trap - INT TERM
    if ((code == 0)); then
        say "$what: done in $(since "$start") s"
    else
        cat "$log" >&2
        say "$what: FAILED with code $code after $(since "$start") s"
    fi
    rm -f "$log"
    return "$code"
}

is_debian_root() {
    [[ $(id -u) == 0 ]] && command -v apt-get dpkg-query >/dev/null
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# The newest Python that can make an environment; else the newest of all.
find_python() {
    local name second=
    for name in python3.14 python3.13 python3.12 python3.11 python3; do
        if new_enough "$name"; then
            if "$name" -c 'import ensurepip, venv' 2>/dev/null; then
                echo "$name"
                return
            fi
            second=${second:-$name}
        fi
    done
    echo "$second"
}

apt_install() {
    apt-get update -q &&
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
            -o Dpkg::Use-Pty=0 "$@"
}

make_venv() {
    local python
    python=$(find_python)
    if [[ -n $python ]] && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        if is_debian_root; then
            step "install python3-venv" apt_install python3-venv
            python=$(find_python)
        else
            say "$python cannot make an environment: install python3-venv (or run this as root)"
            exit 1
        fi
    fi
    if [[ -z $python ]]; then
        say "no Python of 3.11 or newer was found (looked for python3.14 ... python3.11, python3)"
        exit 1
    fi
    rm -rf .venv
    step "make .venv with $("$python" -V)" "$python" -m venv .venv
}

install_locked() { # install_locked LOCK
    .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip
    # Wheels only: building from source would run tools that no hash vouches for.
    .venv/bin/python -m pip install --require-hashes --no-deps --only-binary :all: --no-compile \
        --no-warn-script-location -r "$1" &&
        .venv/bin/python -m pip install --no-deps --no-build-isolation --no-index -e .
}

fingerprint() { # fingerprint LOCK: one line that changes when the lock or the project file does
    cksum "$1" pyproject.toml | tr '\n' ' '
}

# ensure_venv LOCK...: .venv has what the last LOCK says; the earlier ones are parts of it.
ensure_venv() {
    local stamp=.venv/locked lock=${!#} part
    if [[ -f $stamp && $(head -n 1 "$stamp") != "$PWD" ]] || ! new_enough .venv/bin/python; then
        make_venv
    fi
    if [[ ! -f $stamp ]] || ! grep -qF "$(fingerprint "$lock")" "$stamp"; then
        step "install $(grep -c == "$lock") packages from $lock" install_locked "$lock"
        echo "$PWD" >"$stamp"
        for part; do
            fingerprint "$part" >>"$stamp"
            echo >>"$stamp"
        done
    fi
}
