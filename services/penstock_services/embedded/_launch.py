"""Run as a script between the supervisor and a server: ties its life to the supervisor's, then becomes it.

    python -I -S _launch.py SUPERVISOR_PID PROGRAM ARGUMENT...

A `preexec_fn` could do the same without another program, but it runs Python between fork and exec of a process
that has threads, which may deadlock.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    supervisor_pid, argv = int(sys.argv[1]), sys.argv[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != supervisor_pid:  # it died before the line above: no signal will come
        sys.exit("the supervisor is gone")
    try:
        os.execvp(argv[0], argv)
    except OSError as exc:
        sys.exit(f"{argv[0]} cannot be run: {exc.strerror}")


if __name__ == "__main__":
    main()
