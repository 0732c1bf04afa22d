#!/bin/sh
# Makes one environment for each file in tests/interop/requirements: the peers we must be understood by, each in its own,
# because they pin versions that contradict each other and ours. Like tools/setup.sh, it finds at once that all is made.
#   sh tools/interop.sh           make what is missing
#   sh tools/interop.sh bench     and the peers that only a benchmark needs: those of bench/requirements, and a Redis
#   sh tools/interop.sh lock      choose newer versions of what the peers depend on
set -eu
cd "$(dirname "$0")/.."

unset VIRTUAL_ENV UV_PROJECT_ENVIRONMENT || true
export UV_PYTHON_DOWNLOADS=never
uv=".venv/bin/uv --quiet --system-certs"
verb=${1:-}

wishes() { # what the environment of this name is made for
    case $1 in
        queues) printf 'celery[redis]\nrq\n' ;;
        *) echo "apache-airflow-task-sdk==$1" ;;
    esac
}

made() { # "$1" made from "$2", as its stamp says
    [ "$(cat "$1/.ready" 2>/dev/null)" = "$2" ]
}

for file in tests/interop/requirements/*.txt bench/requirements/*.txt; do
    name=$(basename "$file" .txt)
    case $verb:$file in
        bench:* | lock:* | :tests/*) ;;
        *) continue ;;
    esac
    if [ "$verb" = lock ]; then
        wishes "$name" |
            $uv pip compile --upgrade --universal --python-version 3.11 --no-annotate --no-header --output-file "$file" - >/dev/null
    fi
    home=.interop/$name
    wanted="$(cksum <"$file") $(.venv/bin/python --version) $PWD"
    if made "$home" "$wanted" && "$home/bin/python" -c ''; then
        continue
    fi
    echo "interop: installing $(wishes "$name" | xargs)"
    rm -rf "$home"
    $uv venv --python .venv/bin/python "$home"
    $uv pip sync --python "$home/bin/python" "$file"
    printf '%s\n' "$wanted" >"$home/.ready"
done

# A redis-server: the machine's, or one unpacked here from Debian's packages, which changes nothing of the machine and needs
# no rights. Where neither can be had, the peers that need one are left out of the report, which says so.
unpack_redis() {
    rm -rf .interop/redis
    mkdir -p .interop/redis/packages
    (cd .interop/redis/packages && apt-get download redis-server redis-tools libjemalloc2 liblzf1) >/dev/null 2>&1 || return 1
    for package in .interop/redis/packages/*.deb; do
        dpkg-deb --extract "$package" .interop/redis
    done
    LD_LIBRARY_PATH=$(echo .interop/redis/usr/lib/*) .interop/redis/usr/bin/redis-server --version >/dev/null
}

if [ "$verb" = bench ] && ! command -v redis-server >/dev/null && [ ! -f .interop/redis/.ready ]; then
    echo "interop: unpacking redis-server"
    if unpack_redis || { apt-get update >/dev/null 2>&1 && unpack_redis; }; then
        touch .interop/redis/.ready
    else
        echo "interop: no redis-server here, and none can be unpacked: Celery and RQ are left out"
    fi
fi
