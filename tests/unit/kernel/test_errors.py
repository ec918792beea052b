"""Errors keep what they say when they cross processes."""

from __future__ import annotations

import pickle

from shared.kernel.errors import Reject, TooMany


def test_a_problem_crosses_processes_whole() -> None:  # G14
    sent = TooMany("busy", "too much", field="f", remedy="wait", retry_after=3.0, extra={"k": 1})
    got = pickle.loads(pickle.dumps(sent))
    assert (type(got), got.document(), str(got)) == (TooMany, sent.document(), str(sent))


def test_a_rejection_crosses_processes_whole() -> None:
    got = pickle.loads(pickle.dumps(Reject("code", "detail")))
    assert (type(got), got.code, got.detail) == (Reject, "code", "detail")
