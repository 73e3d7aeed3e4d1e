"""The sandbox: start-to-exit of a command, commands a second, workspaces, the kill after a timeout, and leftovers.

`python bench/sandbox.py [runs]`. Needs root and bubblewrap. Medians beside bubblewrap on its own, with the same
options and nothing of ours around it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from penstock_services.sandbox import Runtime, Sandbox, command_line, load_policies, seccomp
from penstock_services.sandbox.cgroups import prepared_hierarchy
from penstock_services.sandbox.owners import Owner
from penstock_services.sandbox.processes import memory_file
from penstock_services.workspaces import Workspaces, reap

UID = 2_000_100_000
PARALLEL = os.cpu_count() or 1
TIMEOUT_S = 0.5
FILES = 10_000
KILLED_SHARE = 5
"""One run in so many is of a process that is killed in the middle of it."""


def median_ms(runs: int, action: Callable[[], object]) -> tuple[float, float]:
    """p50 and p99 of `action`, in milliseconds."""
    took = []
    for _ in range(runs):
        started = time.perf_counter()
        action()
        took.append((time.perf_counter() - started) * 1000)
    return statistics.median(took), sorted(took)[int(len(took) * 0.99)]


async def commands(sandbox: Sandbox, runs: int) -> tuple[float, float, float]:
    """p50 and p99 of one at a time in milliseconds, and how many a second with one for each core."""
    took = []
    for _ in range(runs):
        started = time.perf_counter()
        await sandbox.run(["true"])
        took.append((time.perf_counter() - started) * 1000)

    async def several() -> None:
        for _ in range(runs // PARALLEL):
            await sandbox.run(["true"])

    started = time.perf_counter()
    await asyncio.gather(*(several() for _ in range(PARALLEL)))
    rate = runs // PARALLEL * PARALLEL / (time.perf_counter() - started)
    return statistics.median(took), sorted(took)[int(len(took) * 0.99)], rate


def bare(sandbox_options: list[str]) -> None:
    """bubblewrap with the same root and namespaces, as the same user."""
    with ExitStack() as stack:
        fd = memory_file("\0".join(sandbox_options).encode() + b"\0", stack)
        subprocess.run(
            ["bwrap", "--args", str(fd), "true"], pass_fds=[fd], user=UID, group=UID, check=True, cwd="/"
        )


async def lateness(sandbox: Sandbox, runs: int) -> float:
    """The latest kill after a timeout, in milliseconds."""
    late = [
        (await sandbox.run(["sleep", "60"], timeout_s=TIMEOUT_S)).receipt.wall_s - TIMEOUT_S for _ in range(runs)
    ]
    return max(late) * 1000


def killed(base: Path, folder: Path, name: str) -> None:
    """A process of ours that is killed while its command runs, its workspace made."""
    program = (
        "import asyncio, sys; from pathlib import Path\n"
        "from penstock_services.sandbox import Runtime, Sandbox, load_policies\n"
        "from penstock_services.workspaces import Workspaces\n"
        f"made = Workspaces(Path({str(base)!r})).create('bench-killed', {name!r}, quota_bytes=16 << 20, "
        f"uid={UID})\n"
        f"sandbox = Sandbox(load_policies()['free'], made.path, {UID}, runtime=Runtime(Path({str(folder)!r})))\n"
        "print('ready', flush=True)\n"
        "asyncio.run(sandbox.run(['sh', '-c', 'setsid sleep 1234 & exec sleep 1234']))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.02 * (hash(name) % 5))
    process.send_signal(signal.SIGKILL)
    process.wait()


def left(base: Path) -> dict[str, int]:
    """What is there that should not be."""
    return {
        "processes": sum(b"1234" in _cmdline(path) for path in Path("/proc").glob("[0-9]*/cmdline")),
        "mounts": sum(str(base) in line for line in Path("/proc/self/mounts").read_text().splitlines()),
        "control groups": sum(owner_gone(group.name) for group in prepared_hierarchy().groups()),
        "folders": len([path for path in base.glob("*") if not path.name.startswith(".")]),
        "images": len(list(base.glob(".volumes/*"))),
    }


def owner_gone(name: str) -> bool:
    """Whether nobody is left who would remove a control group."""
    owner = Owner.parse(name)
    return owner is None or owner.gone


def _cmdline(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def main(runs: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="penstock-bench-"))
    folder.chmod(0o711)
    try:
        asyncio.run(measure(folder, runs))
    finally:
        shutil.rmtree(folder)


async def measure(folder: Path, runs: int) -> None:
    base, policies = folder / "workspaces", load_policies()
    workspaces, runtime = Workspaces(base), Runtime(folder / "runtime")
    for tier in policies:
        quota = policies[tier].quota_bytes
        made, removed = [], []
        for _ in range(max(3, runs // 50)):
            started = time.perf_counter()
            workspaces.create("bench", "e", quota_bytes=quota, uid=UID)
            made.append(time.perf_counter() - started)
            started = time.perf_counter()
            workspaces.remove("bench", "e")
            removed.append(time.perf_counter() - started)
        print(
            f"workspace of {quota >> 20:6} MiB     made and mounted {statistics.median(made) * 1000:6.1f} ms, "
            f"removed "
            f"{statistics.median(removed) * 1000:6.1f} ms"
        )
    workspace = workspaces.create("bench", "e", quota_bytes=1 << 30, uid=UID)
    sandbox = Sandbox(policies["free"], workspace.path, UID, runtime=runtime)
    p50, p99, rate = await commands(sandbox, runs)
    print(
        f"true in the sandbox          p50 {p50:6.1f} ms  p99 {p99:6.1f} ms, {rate:.0f} a second on "
        f"{PARALLEL} cores"
    )
    with ExitStack() as stack:
        fds = [memory_file(program, stack) for program in seccomp.programs()]
        options = command_line.bwrap_options(
            policies["free"], str(workspace.path), runtime.shown(policies["free"]), fds, 1
        )
    options = [
        option
        for n, option in enumerate(options)
        if "seccomp" not in option
        and "status" not in option
        and (n == 0 or ("seccomp" not in options[n - 1] and "status" not in options[n - 1]))
    ]
    p50, p99 = median_ms(runs, lambda: bare(options))
    print(f"bare bubblewrap              p50 {p50:6.1f} ms  p99 {p99:6.1f} ms")
    print(
        f"timeout                      latest kill {await lateness(sandbox, max(3, runs // 20)):.0f} ms after "
        f"its time"
    )
    started = time.perf_counter()
    await sandbox.run(["python3", "-c", f"for n in range({FILES}): open(f'f{{n}}', 'w').close()"])
    workspaces.create(
        "bench", "other", quota_bytes=1 << 30, uid=UID
    )  # so that the volume stays, and files go one by one
    workspaces.remove("bench", "e")
    print(f"{FILES} files               created and removed in {time.perf_counter() - started:.2f} s")
    workspaces.remove("bench", "other")
    await leftovers(workspaces, runtime, base, folder, runs)


async def leftovers(workspaces: Workspaces, runtime: Runtime, base: Path, folder: Path, runs: int) -> None:
    for n in range(runs):
        if n % KILLED_SHARE == 0:
            await asyncio.to_thread(killed, base, folder / "runtime", f"k{n}")
            continue
        made = workspaces.create("bench", f"e{n}", quota_bytes=16 << 20, uid=UID)
        await Sandbox(load_policies()["free"], made.path, UID, runtime=runtime).run(
            ["sh", "-c", "sleep 1234 & echo x > y"]
        )
        workspaces.remove("bench", f"e{n}")
    reaped = reap(prepared_hierarchy(), workspaces)
    print(f"after {runs} runs, {-(-runs // KILLED_SHARE)} of them killed: reaped {reaped}; left: {left(base)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
