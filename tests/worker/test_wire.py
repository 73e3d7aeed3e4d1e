"""Messages between supervisor and slot."""

import pytest

from penstock_consumers.worker.wire import (
    LENGTH_BYTES,
    MAX_FRAME_BYTES,
    CallKnown,
    Cancel,
    Ended,
    Extend,
    FrameTooLong,
    Ready,
    Reported,
    Start,
    body_length,
    frame,
    from_slot,
    to_slot,
)

START = Start("e", 1, "acme", "echo", "größe", None, "gpt-4", 5, 9, {"k": "v"}, "/w", 1.5)


@pytest.mark.parametrize("message", [START, Extend(2.5), CallKnown(3), Cancel()])
def test_what_the_supervisor_sends_arrives_as_it_was(message):
    assert to_slot(frame(message)[LENGTH_BYTES:]) == message


@pytest.mark.parametrize("message", [Ready(), Reported("X", b"{}"), Ended("out"), Ended("", "E", "m", True)])
def test_what_a_slot_sends_arrives_as_it_was(message):
    assert from_slot(frame(message)[LENGTH_BYTES:]) == message


def test_the_prefix_says_how_long_the_body_is():
    data = frame(START)
    assert body_length(data[:LENGTH_BYTES]) == len(data) - LENGTH_BYTES


def test_a_length_that_no_message_has_is_refused_before_it_is_read():
    assert body_length(MAX_FRAME_BYTES.to_bytes(4, "big")) == MAX_FRAME_BYTES
    with pytest.raises(FrameTooLong):
        body_length((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))


def test_a_message_that_is_too_long_is_refused_where_it_is_made():
    with pytest.raises(FrameTooLong):
        frame(Ended("x" * (MAX_FRAME_BYTES + 1)))
