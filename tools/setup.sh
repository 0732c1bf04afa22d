#!/bin/sh
# Makes .venv ready, or finds in a few milliseconds that it is. Needs Python >= 3.11 with venv, and nothing else.
#
# A stamp says what the environment was made from. It is compared by content, not by time, because git sets file times
# as it likes; and it holds the folder, because an environment does not survive being moved.
set -eu
cd "$(dirname "$0")/.."

UV_VERSION=0.13.8
VENV=.venv
STAMP=$VENV/.ready
WANTED="$(cat pyproject.toml uv.lock tools/setup.sh | cksum) $PWD"

suits() { # is "$1" a Python that runs, is new enough and can make environments? (a pyenv shim may exist and not run)
    "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

version() {
    "$1" -c 'import sys; print(sys.implementation.name, sys.version)' 2>/dev/null || echo none
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        suits "$PYTHON" && echo "$PYTHON" && return
        echo "setup: PYTHON=$PYTHON does not run, is older than 3.11, or has no venv module" >&2
        return 1
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python /usr/bin/python3; do
        suits "$candidate" && echo "$candidate" && return
    done
    echo "setup: no Python >= 3.11 with the venv module found (on Debian: apt install python3-venv); or say PYTHON=..." >&2
    return 1
}

usable() { # a whole environment, of the Python that was asked for if one was
    suits "$VENV/bin/python" || return 1
    [ -z "${PYTHON:-}" ] || [ "$(version "$PYTHON")" = "$(version "$VENV/bin/python")" ]
}

if [ "$(cat "$STAMP" 2>/dev/null)" = "$WANTED" ] && usable; then
    exit 0
fi

has_uv() {
    [ "$("$VENV/bin/uv" --version 2>/dev/null | cut -d' ' -f2)" = "$UV_VERSION" ]
}

python=$(find_python)
# An environment that is half-made, moved or of an older set-up is not mended: a new one takes seconds and leaves no doubt.
if ! { usable && has_uv && [ "$(cat "$VENV/.home" 2>/dev/null)" = "$PWD" ]; }; then
    echo "setup: making $VENV with $("$python" --version)"
    rm -rf "$VENV"
    "$python" -m venv "$VENV"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
    pwd >"$VENV/.home"
fi
rm -f "$STAMP"

# UV_PROJECT_ENVIRONMENT and an activated environment of the caller's must not lead uv away from this one.
unset VIRTUAL_ENV UV_PROJECT_ENVIRONMENT || true
export UV_PYTHON_DOWNLOADS=never
# --system-certs: an index behind a company's own certificate authority is trusted as the rest of the machine trusts it.
uv="$VENV/bin/uv --quiet --system-certs"
echo "setup: installing what uv.lock names"
# Not `uv sync`: uv.lock names no host here (docs/decisions/0002), so versions and hashes come from the lock, and files
# from whichever package index this machine uses.
$uv export --frozen --all-extras --all-groups --no-emit-project --no-header --output-file "$VENV/requirements.txt" >/dev/null
$uv pip sync --python "$VENV/bin/python" --require-hashes "$VENV/requirements.txt"
$uv pip install --python "$VENV/bin/python" --no-deps --no-build-isolation --editable .
printf '%s\n' "$WANTED" >"$STAMP"
