#!/bin/sh
# Makes one environment for each file in tests/interop/requirements: the peers we must be understood by, each in its own,
# because they pin versions that contradict each other and ours. Like tools/setup.sh, it finds at once that all is made.
#   sh tools/interop.sh           make what is missing
#   sh tools/interop.sh lock      choose newer versions of what the peers depend on
set -eu
cd "$(dirname "$0")/.."

unset VIRTUAL_ENV UV_PROJECT_ENVIRONMENT || true
export UV_PYTHON_DOWNLOADS=never
uv=".venv/bin/uv --quiet --system-certs"

for file in tests/interop/requirements/*.txt; do
    version=$(basename "$file" .txt)
    if [ "${1:-}" = lock ]; then
        echo "apache-airflow-task-sdk==$version" |
            $uv pip compile --upgrade --universal --python-version 3.11 --no-annotate --no-header --output-file "$file" - >/dev/null
    fi
    home=.interop/$version
    wanted="$(cksum <"$file") $(.venv/bin/python --version) $PWD"
    if [ "$(cat "$home/.ready" 2>/dev/null)" = "$wanted" ] && "$home/bin/python" -c ''; then
        continue
    fi
    echo "interop: installing apache-airflow-task-sdk $version"
    rm -rf "$home"
    $uv venv --python .venv/bin/python "$home"
    $uv pip sync --python "$home/bin/python" "$file"
    printf '%s\n' "$wanted" >"$home/.ready"
done
