"""Two depths of the same properties: `quick` in `make test`, the same examples every time; `long` searches anew, with HYPOTHESIS_PROFILE=long."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)
_PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)

settings.register_profile(
    "quick", deadline=None, derandomize=True, max_examples=60, suppress_health_check=_SLOW, phases=_PHASES
)
settings.register_profile("long", deadline=None, max_examples=2000, suppress_health_check=_SLOW, phases=_PHASES)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
