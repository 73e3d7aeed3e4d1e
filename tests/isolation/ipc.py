"""System V objects on the host: found by the key a scene has made up, and removed after the control."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from penstock_services.sandbox import Outcome
    from tests.isolation.scene import Scene

Kind = Literal["shm", "msg", "sem"]
REMOVE = {"shm": "-M", "msg": "-Q", "sem": "-S"}


def choose_key(scene: Scene) -> None:
    """A key of this scene alone."""
    scene.facts["key"] = int(scene.token[:7], 16) | 1
    scene.closing.callback(_remove, scene)


def left(kind: Kind) -> Callable[[Scene, Outcome], str | None]:
    """Evidence: the object is in the host's own list."""

    def evidence(scene: Scene, outcome: Outcome) -> str | None:
        return f"a System V object ({kind}) of the host" if _is_there(kind, scene) else None

    return evidence


def plant(scene: Scene, kind: Kind = "shm") -> None:
    """Shared memory of the host, for everybody, with the secret in it."""
    import ctypes

    choose_key(scene)
    libc = ctypes.CDLL(None)
    libc.shmat.restype = ctypes.c_void_p
    segment = libc.shmget(scene.facts["key"], ctypes.c_size_t(4096), 0o1666)
    address = libc.shmat(segment, None, 0)
    ctypes.memmove(address, scene.secret.encode(), len(scene.secret))
    libc.shmdt(ctypes.c_void_p(address))


def _is_there(kind: Kind, scene: Scene) -> bool:
    lines = Path("/proc/sysvipc", kind).read_text().splitlines()[1:]
    return any(line.split()[0] == str(scene.facts["key"]) for line in lines)


def _remove(scene: Scene) -> None:
    for kind, option in REMOVE.items():
        if _is_there(kind, scene):  # type: ignore[arg-type]
            subprocess.run(["ipcrm", option, hex(int(str(scene.facts["key"])))], check=True)


plant_memory = partial(plant, kind="shm")
