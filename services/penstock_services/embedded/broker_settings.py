"""The settings of a broker on one machine: alone with the only copy of everything, or one of a cluster."""

from __future__ import annotations

from pathlib import Path

from penstock_services.embedded.brokers import Membership

_ALONE: dict[str, object] = {
    # One node holds the only copy of everything.
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
}
_REPLICATED: dict[str, object] = {
    # As in docker-compose.kafka.yml: everything three times, and acknowledged once two have it.
    "default.replication.factor": 3,
    "min.insync.replicas": 2,
    "offsets.topic.replication.factor": 3,
    "transaction.state.log.replication.factor": 3,
    "transaction.state.log.min.isr": 2,
    "share.coordinator.state.topic.replication.factor": 3,
    "share.coordinator.state.topic.min.isr": 2,
    # They stop together. A broker that asked for its leaders to be moved first would wait, with no majority of
    # controllers left, until it is killed.
    "controlled.shutdown.enable": "false",
}


def broker_settings(data: Path, port: int, controller_port: int, member: Membership | None) -> dict[str, object]:
    """What goes into `server.properties`.

    Args:
        data: where the broker keeps its data.
        member: its place in a cluster; None where it is alone.
    """
    node, controllers = (1, (controller_port,)) if member is None else (member.node, member.controller_ports)
    return {
        "process.roles": "broker,controller",
        "node.id": node,
        "controller.quorum.voters": ",".join(f"{n}@127.0.0.1:{at}" for n, at in enumerate(controllers, 1)),
        "listeners": f"CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"CLIENTS://127.0.0.1:{port}",
        "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENTS",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": data,
        # A mistyped topic must be an error, not a new topic.
        "auto.create.topics.enable": "false",
        **(_ALONE if member is None else _REPLICATED),
        # Each is a folder and two mapped files: the defaults of 50 cost start-up time for nothing here.
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.num.partitions": 1,
        # A group starts with its first member instead of waiting 3 s for more.
        "group.initial.rebalance.delay.ms": 0,
        # Faults are found fast: a short session is the member's choice (the default forbids less than 6 s).
        "group.min.session.timeout.ms": 1000,
        # A stopped producer holds up readers until its transaction times out and this scan sees it.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
        # After kill -9 the controller refuses the new broker until the old one's session ends; the default is 9 s.
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        "log.cleaner.dedupe.buffer.size": 32 * 1024 * 1024,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "num.recovery.threads.per.data.dir": 2,
    }
