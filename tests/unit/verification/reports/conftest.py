from __future__ import annotations

import pytest

from tests.report_font import have_report_font


@pytest.fixture(scope="session")
def font() -> None:
    have_report_font()
