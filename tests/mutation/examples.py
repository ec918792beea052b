"""A pytest plugin instead of the conftests: the examples of the quick profile, without looking for the smallest one that fails."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "mutation",
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
    phases=(Phase.explicit, Phase.generate),
)
settings.load_profile("mutation")
