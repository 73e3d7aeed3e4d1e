"""Settings of a worker."""

import pytest

from penstock.errors import InvalidInput
from penstock_consumers.worker.settings import WorkerSettings


def test_queues_come_comma_separated_from_the_environment(monkeypatch):
    monkeypatch.setenv("PENSTOCK_WORKER_QUEUES", "agents-default, batch")
    assert WorkerSettings().queues == ("agents-default", "batch")


@pytest.mark.parametrize("queues", ["", "a/b", "a,,b"])
def test_a_queue_whose_name_cannot_be_part_of_a_topic_is_refused(monkeypatch, queues):
    monkeypatch.setenv("PENSTOCK_WORKER_QUEUES", queues)
    with pytest.raises(InvalidInput):
        WorkerSettings()


@pytest.mark.parametrize("setting", ["concurrency", "heartbeat_s", "claim_retry_s", "session_timeout_s"])
def test_nothing_that_must_be_positive_may_be_zero(setting):
    with pytest.raises(InvalidInput, match=setting.upper()):
        WorkerSettings(**{setting: 0})


def test_tiers_are_a_queues_setting_or_all_queues(monkeypatch):
    monkeypatch.setenv("PENSTOCK_WORKER_TIERS", "free, batch:enterprise")
    settings = WorkerSettings()
    assert settings.tiers_of("agents-default") == {"free"}
    assert settings.tiers_of("batch") == {"free", "enterprise"}
    monkeypatch.setenv("PENSTOCK_WORKER_TIERS", "")
    assert WorkerSettings().tiers_of("batch") == frozenset()
