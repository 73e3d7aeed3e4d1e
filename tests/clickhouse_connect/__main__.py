"""`python -m tests.clickhouse_connect [CHECKOUT]`: run the client's tests, compare with `known_failures.txt`.

Without CHECKOUT, those in the source distribution of the installed version: a smoke test, because the distribution
leaves the integration tests out. With it, `tests/integration_tests` of a checkout of clickhouse-connect's
repository at that version.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.clickhouse_connect.verdict import judge, read_known, read_report
from tests.fixtures.clickhouse import ClickHouseProcess

HERE = Path(__file__).parent


def main(arguments: list[str]) -> int:
    if len(arguments) > 1:
        print("usage: scripts/clickhouse-connect-suite [CHECKOUT]", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = Path(arguments[0]).resolve() if arguments else source_distribution(folder)
        if not (root / "tests").is_dir() or not (root / "pyproject.toml").is_file():
            print(
                f"{root} is no checkout of clickhouse-connect: it lacks tests/ or pyproject.toml", file=sys.stderr
            )
            return 2
        report = folder / "report.xml"
        server = ClickHouseProcess(folder)
        try:
            run_suite(root, folder, report, server)
            lives = server.process.poll() is None
        finally:
            server.kill()
        if not report.exists():
            print("pytest wrote no report; its own words are above", file=sys.stderr)
            return 1
        verdict = judge(read_report(report), read_known((HERE / "known_failures.txt").read_text()))
    for kind, names in (("fails", verdict.unexpected_failures), ("passes", verdict.unexpected_passes)):
        for test in names:
            print(f"unexpectedly {kind}: {test}")
    print(
        f"clickhouse-connect {version('clickhouse-connect')}: {len(verdict.passed)} passed, "
        f"{len(verdict.failed)} failed, {len(verdict.skipped)} skipped; the server {'lives' if lives else 'DIED'}"
    )
    return 0 if verdict.is_good and lives else 1


def source_distribution(folder: Path) -> Path:
    """Download and unpack the source distribution of the installed version; its root folder."""
    wanted = f"clickhouse-connect=={version('clickhouse-connect')}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-binary", ":all:", "--no-deps", wanted]
    subprocess.run([*command, "--dest", str(folder)], check=True)
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def run_suite(root: Path, folder: Path, report: Path, server: ClickHouseProcess) -> None:
    """Run pytest on a copy of the tests alone: the package beside them would hide the installed one."""
    suite = folder / "suite"
    shutil.copytree(root / "tests", suite / "tests")
    shutil.copy(root / "pyproject.toml", suite)
    tests = suite / "tests" / "integration_tests"
    names = {"HOST": "127.0.0.1", "PORT": str(server.port), "USER": "default", "PASSWORD": server.password}
    environment = os.environ | {f"CLICKHOUSE_CONNECT_TEST_{name}": value for name, value in names.items()}
    environment["PYTHONPATH"] = os.pathsep.join((str(HERE / "plugin"), str(suite)))
    command = [sys.executable, "-m", "pytest", str(tests if tests.exists() else suite / "tests")]
    command += ["-q", "--rootdir", str(suite), "-o", "addopts=", "-o", "log_cli=0", "-p", "no:cacheprovider"]
    command += ["-p", "penstock_suite_defaults", "--import-mode", "importlib", f"--junitxml={report}"]
    subprocess.run(command, env=environment, cwd=suite, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
