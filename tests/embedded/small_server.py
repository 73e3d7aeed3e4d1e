"""A server that starts in a moment: `small_server.py PORT [--ignore-term] [--child] [--broken-if FILE]`."""

from __future__ import annotations

import argparse
import signal
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("port", type=int)
parser.add_argument("--ignore-term", action="store_true")
parser.add_argument("--child", action="store_true", help="leave a process of one's own behind")
parser.add_argument("--broken-if", type=Path, default=Path("/nowhere"))
options = parser.parse_args()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(503 if options.broken_if.exists() else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


if options.ignore_term:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if options.child:
    subprocess.Popen(["sleep", "1000"])
HTTPServer(("127.0.0.1", options.port), Handler).serve_forever()
