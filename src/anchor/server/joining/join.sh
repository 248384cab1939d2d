#!/bin/sh
# Makes this machine a node of an Anchor server:
#
#     curl -fsSL URL/join.sh | sh -s -- URL TOKEN [what the machine gives, such as --slots 2 --ram 4GiB]
#
# It needs no root, and writes to one folder, ~/.anchor:
#     venv/      Anchor, the server's own version, and what it needs from the Python package index
#     data/      what the agent keeps: its key, its id, its work
#     agent.sh   starts the agent; agent.log is what it says
# Then it enrols this machine with the token, and starts the agent: as a service of yours where systemd runs those, else
# in the background, until the machine is restarted. Running it again is harmless: a machine that has joined stays the
# node it is, gets the server's version, and its agent is started if it does not run.
#
# What may be set before it:
#     JOIN_FOLDER   another folder
#     JOIN_PYTHON   the Python to use, 3.11 or newer
#     JOIN_START    systemd, background, or no: how the agent is started

set -eu

WHEEL='@WHEEL@'
SHA256='@SHA256@'
PACKAGE='@PACKAGE@'

say() { printf '%s\n' "$*"; }

give_up() {
    say "$@" >&2
    exit 1
}

quoted() {
    printf "'%s' " "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"
}

is_new_enough() {
    "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

make_venv() {
    [ -x "$home/venv/bin/python" ] && return
    for python in ${JOIN_PYTHON:-python3.14 python3.13 python3.12 python3.11 python3}; do
        if is_new_enough "$python"; then
            say "Making $home/venv with $python."
            "$python" -m venv "$home/venv"
            return
        fi
    done
    if command -v uv >/dev/null 2>&1; then
        say "Making $home/venv with uv."
        uv venv --quiet --seed --python '>=3.11' "$home/venv"
        return
    fi
    say "Anchor needs Python 3.11 or newer with its module venv, and there is none here. Install one and run this again:" >&2
    case $(uname -s) in
    Darwin) say "    brew install python" >&2 ;;
    *)
        say "    Debian, Ubuntu:  sudo apt install python3 python3-venv" >&2
        say "    Fedora:          sudo dnf install python3" >&2
        ;;
    esac
    give_up "    without root:    curl -LsSf https://astral.sh/uv/install.sh | sh"
}

install_anchor() {
    pip="$home/venv/bin/python -m pip --disable-pip-version-check --quiet"
    if [ -z "$WHEEL" ]; then
        # No public index is asked instead: whatever has that name there need not be Anchor.
        give_up "This server was never installed as a package, so it has none to hand out." \
            "Install Anchor here as it was there, then: anchor join $url TOKEN"
    elif [ "$(cat "$home/venv/anchor.sha256" 2>/dev/null)" != "$SHA256" ]; then
        say "Installing $WHEEL. What it needs comes from the package index: that may take a minute."
        $pip install --force-reinstall --no-deps "$url/dist/$WHEEL#sha256=$SHA256"
        $pip install "$PACKAGE"
        printf '%s' "$SHA256" >"$home/venv/anchor.sha256"
    fi
}

enrol() {
    if [ -s "$home/data/agent/node.id" ] && [ "$(cat "$home/server" 2>/dev/null)" = "$url" ]; then
        say "This machine is $(cat "$home/data/agent/node.id") already; the token was not used."
        return
    fi
    "$home/venv/bin/anchor" join "$url" "$token" --no-start --data "$home/data" "$@"
    printf '%s\n' "$url" >"$home/server"
}

write_launcher() {
    {
        say '#!/bin/sh'
        say '# Starts the agent of this machine.'
        printf 'exec '
        quoted "$home/venv/bin/anchor"
        printf 'agent '
        for word in "$url" --data "$home/data" "$@"; do quoted "$word"; done
        say
    } >"$home/agent.sh"
    chmod 700 "$home/agent.sh"
}

start() {
    how=${JOIN_START:-}
    if [ -z "$how" ]; then
        if systemctl --user show-environment >/dev/null 2>&1; then how=systemd; else how=background; fi
    fi
    case $how in
    systemd) start_service ;;
    background) start_in_background ;;
    *) say "Start its agent with $home/agent.sh" ;;
    esac
}

start_service() {
    units=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user
    mkdir -p "$units"
    cat >"$units/anchor-agent.service" <<UNIT
[Unit]
Description=Anchor: this machine works for $url

[Service]
ExecStart="$home/agent.sh"
Restart=on-failure
RestartSec=5

[Install]
WantedBy=default.target
UNIT
    systemctl --user daemon-reload
    systemctl --user enable --quiet anchor-agent.service
    systemctl --user restart anchor-agent.service
    # Short of this, the agent would stop when you sign out.
    loginctl enable-linger >/dev/null 2>&1 || say "It stops when you sign out: an admin can change that with loginctl enable-linger."
    say "Its agent runs as your service anchor-agent: systemctl --user status anchor-agent"
}

start_in_background() {
    if [ -s "$home/agent.pid" ] && ps -ww -p "$(cat "$home/agent.pid")" -o args= 2>/dev/null | grep -q agent; then
        say "Its agent runs already; what it says is in $home/agent.log"
        return
    fi
    nohup "$home/agent.sh" >>"$home/agent.log" 2>&1 </dev/null &
    printf '%s\n' "$!" >"$home/agent.pid"
    say "Its agent runs in the background; what it says is in $home/agent.log"
    say "After the machine was restarted, start it with $home/agent.sh"
}

# All of it is read before any of it runs: half a download does nothing.
main() {
    [ $# -ge 2 ] || give_up "Say which server to join, and with which token: sh join.sh URL TOKEN"
    url=${1%/}
    token=$2
    shift 2
    home=${JOIN_FOLDER:-$HOME/.anchor}
    mkdir -p "$home"
    chmod 700 "$home"
    make_venv
    install_anchor
    enrol "$@"
    write_launcher "$@"
    start
}

main "$@"
