"""All benchmarks, one after the other, and the report of them: `python -m bench.report [--quick] [--only NAME …]`.

A full run (at most 20 minutes, on a machine that does nothing else) writes docs/benchmarks.json, the page and its
plots; `--quick` (at most 4) writes the same into build/bench/, because it measures too little to be published. `--only`
measures some modules. After each it is written anew with what is known of the others, so that a run that was stopped
has not been for nothing.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import broker, page
from bench.environments import AIRFLOW, QUEUES, ROOT, version

MODULES = (
    "peers",
    "attempt",
    "phases",
    "exec",
    "memory",
    "growth",
    "child",
    "roundtrip",
    "variable",
    "httpclient",
    "codec",
    "logs",
    "journal",
    "drain",
    "adoption",
    "server",
    "store",
)
QUICK = ROOT / "build" / "bench"


def facts() -> dict[str, str]:
    """Say what was measured on, and against what."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    found = {
        "cores": f"{os.cpu_count()}, {_model()}",
        "memory": f"{pages * size / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "Python": platform.python_version(),
    }
    for name, python in (("apache-airflow", AIRFLOW), ("celery", QUEUES), ("rq", QUEUES)):
        found[name] = version(python, name) if python.exists() else "not there"
    found["redis-server"] = broker.version() or "not there"
    return found


def _model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def measure(module: str, load: float, *, quick: bool) -> dict[str, Any] | None:
    """Run one; None when it failed, of which it has spoken itself."""
    began, before = time.perf_counter(), _cpu_s()
    command = [sys.executable, "-m", f"bench.{module}", "--json", *(["--quick"] if quick else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    seconds = round(time.perf_counter() - began)
    if done.returncode:
        print(f"bench: {module} failed after {seconds} s", flush=True)
        return None
    rows = json.loads(done.stdout.splitlines()[-1])["rows"]
    print(
        f"bench: {module}: {len(rows)} rows in {seconds} s, {_cpu_s() - before:.0f} s of them CPU of its own",
        flush=True,
    )
    return {"seconds": seconds, "load": load, "rows": rows}


def _cpu_s() -> float:
    """Give what benchmarks have used so far: under load, how long one would take without."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def where_time_went(found: dict[str, Any], names: Sequence[str]) -> str:
    """Say which modules took how long, the longest first."""
    spent = sorted(((found[name]["seconds"], name) for name in names if name in found), reverse=True)
    return ", ".join(f"{name} {seconds} s" for seconds, name in spent)


def write(report: page.Report, folder: Path) -> None:
    """Write data, page and plots."""
    files = {"benchmarks.json": json.dumps(report, indent=1, ensure_ascii=False) + "\n"}
    files |= page.drawn(report)
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def main() -> int:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description="all benchmarks, and their report")
    parser.add_argument("--quick", action="store_true", help="measure little, and write into build/bench")
    parser.add_argument("--only", nargs="+", choices=MODULES, metavar="NAME", help="measure these, keep the others")
    given = parser.parse_args()
    folder = QUICK if given.quick else ROOT / "docs"
    known = folder / "benchmarks.json"
    found = page.load(known)["modules"] if known.exists() else {}
    load, seen, began, failed = round(os.getloadavg()[0], 1), facts(), time.perf_counter(), []
    for module in given.only or MODULES:
        measured = measure(module, load, quick=given.quick)
        if measured is None:
            failed.append(module)
            continue
        found[module] = measured
        write({"facts": seen, "modules": {name: found[name] for name in MODULES if name in found}}, folder)
    print(f"bench: where the time went: {where_time_went(found, given.only or MODULES)}")
    print(f"bench: {folder.relative_to(ROOT) / 'benchmarks.md'} written, {time.perf_counter() - began:.0f} s in all")
    print(f"bench: failed, and what was known of them kept: {' '.join(failed)}" if failed else "bench: all measured")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
