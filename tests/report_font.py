"""The fonts that PDF reports need, for tests: installed as `pilotline up` does it, or the test says what is missing."""

from __future__ import annotations

import tempfile
from pathlib import Path

from deploy.local import tools
from deploy.local.apt import can_install, install


def have_report_font() -> None:
    """Raises AssertionError with the package's name on a machine where nothing can be installed."""
    missing = [font.package for font in (tools.FONT, tools.SIGNS) if not font.present()]
    if not missing:
        return
    assert can_install(), f"install {' '.join(missing)}"
    install(missing, Path(tempfile.mkdtemp()) / "install.log")
