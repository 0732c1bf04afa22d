"""Each core module is covered by its own test file, alone, every branch of it.

That a module is covered by the suite as a whole says little: it may be reached only through its callers, and then
nobody can change it by reading it and its test. So the gate runs the tests of the core once, with each line and branch
remembering which test reached it, and reports each module against the tests of the file that mirrors it.
"""

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import coverage
from coverage.exceptions import NoDataError

from tests.architecture.layout import ROOT, core_modules, file_of, mirror_of

COMPLETE = 100.0


def main() -> int:
    """Run, report what is not covered, and say by the exit code whether that is nothing."""
    modules = core_modules()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "coverage"
        tests = [str(mirror_of(module)) for module in modules]
        # One process and no random order: which test reached a line first must not depend on the seed.
        pytest = ["-m", "pytest", "--quiet", "--no-header", "-p", "no:randomly", "-n", "0", *tests]
        command = [sys.executable, "-m", "coverage", "run", f"--data-file={data}", f"--source={_packages()}", *pytest]
        # Which branches are reached, a few random cases say as well as thousands, and ten times sooner.
        environment = {**os.environ, "TASKHAND_FUZZ_CASES": "100"}
        if subprocess.run(command, cwd=ROOT, check=False, env=environment).returncode:
            return 1
        lacking = [module for module in modules if not covered(data, module)]
    if lacking:
        print(f"coverage: not covered by their own tests: {', '.join(lacking)}")
        return 1
    print(f"coverage: {len(modules)} core modules, each covered by its own test file, every branch")
    return 0


def _packages() -> str:
    return ",".join(sorted({module.partition(".")[0] for module in core_modules()}))


def covered(data: Path, module: str) -> bool:
    """Report one module against its own tests, and against what importing it executes (the empty context)."""
    own = ".".join(mirror_of(module).relative_to(ROOT).with_suffix("").parts)
    report = coverage.Coverage(data_file=str(data), config_file=str(ROOT / "pyproject.toml"))
    report.load()
    table = io.StringIO()
    try:
        percent = report.report(morfs=[str(file_of(module))], contexts=["^$", f"^{own}\\."], file=table)
    except NoDataError:  # not reached at all
        return False
    if percent < COMPLETE:
        print(table.getvalue())
    return percent >= COMPLETE


if __name__ == "__main__":
    sys.exit(main())
