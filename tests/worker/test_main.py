"""What the worker's process ends with."""

import pytest

from penstock.errors import KafkaUnreachable
from penstock_consumers.worker.main import cause_of

OURS, OTHER = KafkaUnreachable("away"), OSError("closed")


@pytest.mark.parametrize(
    ("group", "cause"),
    [
        (ExceptionGroup("", [OURS]), OURS),
        (ExceptionGroup("", [OTHER, ExceptionGroup("", [OURS])]), OURS),
        (ExceptionGroup("", [ExceptionGroup("", [OTHER])]), OTHER),
    ],
)
def test_the_cause_is_the_error_raised_on_purpose_where_there_is_one(group, cause):
    assert cause_of(group) is cause
