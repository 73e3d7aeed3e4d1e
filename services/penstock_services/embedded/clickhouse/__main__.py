"""The process: `python -m penstock_services.embedded.clickhouse --path P --port N --password-file F`."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import logging
import signal
import socket
import sys
from pathlib import Path

import uvicorn

from penstock.errors import InvalidInput, PenstockError, PortTaken
from penstock_services.embedded.clickhouse.access import READER, USER, Account
from penstock_services.embedded.clickhouse.app import App
from penstock_services.embedded.clickhouse.engine import Engine

log = logging.getLogger("penstock.clickhouse")
GRACE_S = 10
"""How long SIGTERM lets statements in flight finish before it stops them."""


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code; errors are one line on stderr."""
    parser = argparse.ArgumentParser(
        prog="penstock-clickhouse", description="Development ClickHouse over HTTP (chdb)."
    )
    parser.add_argument("--path", type=Path, required=True, help="data folder; made where it is missing")
    parser.add_argument("--port", type=int, required=True, help="HTTP port; 0 takes a free one")
    parser.add_argument("--password-file", type=Path, required=True, help="password of the user `default`")
    parser.add_argument(
        "--reader-password-file", type=Path, help="password of the user `reader`, who only reads; without, none"
    )
    parser.add_argument(
        "--reader-readonly", type=int, choices=(1, 2), default=2, help="2: the reader may change settings; 1: not"
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        accounts = [Account(USER, read_password(options.password_file))]
        if options.reader_password_file:
            password = read_password(options.reader_password_file)
            accounts.append(Account(READER, password, options.reader_readonly))
        listener = listen(options.host, options.port)
        with listener:
            serve(Engine.open(options.path.resolve()), accounts, listener)
    except PenstockError as exc:
        print(f"clickhouse: {exc}", file=sys.stderr)
        return exc.exit_code
    return 0


def read_password(path: Path) -> str:
    """The first line of the password file.

    Raises:
        InvalidInput: not readable, or empty.
    """
    try:
        password = path.read_text(encoding="utf-8").split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"password file {path} cannot be read: {exc}") from exc
    if not password:
        raise InvalidInput(f"password file {path} is empty; the engine never runs without a password")
    return password


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on a loopback address.

    Raises:
        InvalidInput: not a loopback address, or no port number.
        PortTaken: another process listens there.
    """
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as exc:
        raise InvalidInput(f"--host {host!r} is no IP address; use 127.0.0.1") from exc
    if not address.is_loopback:
        raise InvalidInput(f"--host {host}: this development engine listens on loopback only; use 127.0.0.1")
    if not 0 <= port < 1 << 16:
        raise InvalidInput(f"--port {port} is not between 0 and 65535")
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    # With the protocol named, the event loop switches Nagle's delay off; without, an answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((str(address), port))
        listener.listen(128)
    except OSError as exc:
        listener.close()
        raise PortTaken(
            f"port {port} on {address} cannot be opened: {exc.strerror}; choose another --port"
        ) from exc
    return listener


def serve(engine: Engine, accounts: list[Account], listener: socket.socket) -> None:
    """Answer requests until a signal; then finish what is in flight for at most `GRACE_S` seconds and close."""
    app = App(engine, accounts)
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_level="warning",
        access_log=False,
        http="httptools",
        timeout_keep_alive=60,
        timeout_graceful_shutdown=GRACE_S,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(
            number, lambda *_: None
        )  # uvicorn raises its signal again once it has stopped; exit 0 instead
    host, port = listener.getsockname()[:2]
    log.info(
        "ClickHouse %s (chdb, a development engine) on http://%s:%d over %s",
        engine.version,
        host,
        port,
        engine.path,
    )

    async def run() -> None:
        await uvicorn.Server(config).serve(sockets=[listener])
        await app.close()

    try:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(run())
    finally:
        engine.close()
        log.info("stopped")


if __name__ == "__main__":
    sys.exit(main())
