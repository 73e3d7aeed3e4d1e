"""Our processes, each under its own Kafka user with nothing but the derived rules: a run works from end to end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from penstock.settings import ClickHouseSettings
from tests.e2e.waiting import eventually
from tests.fixtures.secured_kafka import ADMIN, SecuredKafka, password_of, secured_kafka_in

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
COMMAND_DEADLINE_S = 100


class World:
    """Addresses of one secured cluster, and commands under any of its users."""

    def __init__(self, folder: Path, kafka: SecuredKafka, registry: str, clickhouse: ClickHouseSettings) -> None:
        self.folder = folder
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")} | {
            "PENSTOCK_HOME": str(folder),
            "PENSTOCK_PARTITIONS": "2",
            "PENSTOCK_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka.tls_port}",
            "PENSTOCK_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "PENSTOCK_KAFKA_SSL_CAFILE": str(kafka.ca_file),
            "PENSTOCK_REGISTRY_URL": registry,
            "PENSTOCK_CLICKHOUSE_PORT": str(clickhouse.port),
            "PENSTOCK_CLICKHOUSE_PASSWORD": clickhouse.password.get_secret_value(),
            "PENSTOCK_CLICKHOUSE_DATABASE": clickhouse.database,
            "PENSTOCK_ARTIFACTS_URL": (folder / "artifacts").as_uri(),
            "COLUMNS": "160",
        }

    def env(self, user: str) -> dict[str, str]:
        login = {"PENSTOCK_KAFKA_SASL_USERNAME": user, "PENSTOCK_KAFKA_SASL_PASSWORD": password_of(user)}
        return self._env | login

    def penstock(self, user: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "penstock", *arguments],
            env=self.env(user),
            capture_output=True,
            text=True,
            timeout=COMMAND_DEADLINE_S,
        )

    def done(self, user: str, *arguments: str) -> str:
        ran = self.penstock(user, *arguments)
        assert ran.returncode == 0, f"{user}: {arguments}\n{ran.stdout}{ran.stderr}\n{self.logs()}"
        return ran.stdout

    @contextmanager
    def running(self, user: str, *arguments: str) -> Iterator[None]:
        with (self.folder / f"{arguments[0]}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "penstock", *arguments], env=self.env(user), stdout=log, stderr=log
            )
        try:
            yield
            assert process.poll() is None, f"{arguments} ended:\n{self.logs()}"
        finally:
            process.terminate()
            process.wait(30)

    def logs(self) -> str:
        return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in self.folder.glob("*.log"))


@pytest.fixture
async def world(tmp_path: Path, registry_url: str, clickhouse_database: ClickHouseSettings):
    async with secured_kafka_in(tmp_path) as kafka:
        yield World(tmp_path, kafka, registry_url, clickhouse_database)


async def test_a_run_goes_from_request_to_result_with_every_process_under_its_own_user(world: World) -> None:
    world.done(ADMIN, "acl", "apply")
    again = json.loads(world.done(ADMIN, "acl", "apply", "--prune", "--json"))
    assert (again["missing"], again["stale"]) == ([], [])
    operator = "penstock-operator"
    world.done(operator, "topics", "apply")
    world.done(operator, "schemas", "register")
    world.done(operator, "clickhouse", "migrate")
    with ExitStack() as processes:
        processes.enter_context(world.running("penstock-streams", "streams"))
        processes.enter_context(world.running("penstock-loader", "loader"))
        processes.enter_context(world.running("penstock-worker", "worker"))
        eventually(  # the processes have just been started, and this command is patient for some seconds only
            lambda: world.penstock(operator, "tenants", "set", "acme", "--tier", "pro").returncode == 0,
            within_s=120,
        )
        ran = world.penstock("penstock-upstream", "run", "echo", "--input", "hi", "--tenant", "acme", "--follow")
        assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "hi"), ran.stderr
        (execution_id,) = set(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", ran.stderr))
        assert "completed" in world.done("penstock-follower", "watch", execution_id)
        world.done("penstock-follower", "get", execution_id)
        denied = world.penstock("penstock-follower", "run", "echo", "--input", "hello", "--tenant", "acme")
        assert denied.returncode == 3, denied.stdout + denied.stderr
        assert "does not let penstock-follower" in denied.stderr
        refused = world.penstock("penstock-upstream", "tenants", "set", "acme", "--tier", "free")
        assert refused.returncode == 3, refused.stdout + refused.stderr
