"""The Faust driver refuses a Faust it was not written against."""

from __future__ import annotations

import pytest

from shared.messaging import faust_app


def test_the_installed_faust_is_the_one_the_adjustments_fit() -> None:
    assert faust_app.changed_sources() == []


def test_a_changed_function_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = dict(faust_app._relied_on) | {"Consumer.getmany": (test_a_changed_function_is_named, "0" * 16)}
    monkeypatch.setattr(faust_app, "_relied_on", changed)
    assert faust_app.changed_sources() == ["Consumer.getmany"]


def test_another_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faust_app, "_versions", {"faust-streaming": "0.14."})
    assert faust_app.changed_sources() == ["faust-streaming 0.15.3"]
