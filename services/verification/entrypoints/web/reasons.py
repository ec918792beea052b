"""Why a criterion has no verdict, in the reader's language: the evaluator's own sentence in English, elsewhere a sentence with its figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.verification.entrypoints.web.texts import Language

REASONS: Final[Mapping[str, str]] = {
    "awaiting_confirmation": "A result was entered; somebody else has to confirm it",
    "awaiting_result": "No result has been entered",
    "bad_quality": "{bad} bad values",
    "calibration_expired": "The calibration was overdue",
    "coverage": "Only {coverage} of the phase is covered",
    "gap": "{gap} without a sample",
    "no_data": "No valid sample in the phase",
    "no_operation": "No time in operation",
    "no_previous_run": "There is no run to compare with",
    "no_window": "No window was full",
    "not_reached": "The phase ended before the time it is judged at",
    "past_reference": "The phase outlasts the reference",
    "phase_not_run": "The phase never began",
    "rate": "More samples than the registered rate allows",
    "result_unit": "The unit of the result does not fit",
    "silent": "No data towards the end of the phase",
    "too_few_trials": "Too few trials",
    "uncertainty_missing": "The uncertainty of the result is missing",
    "undecided": "Nothing in the phase answers the criterion",
}


def reason_text(reason: str | None, detail: str, state: Mapping[str, Any], language: Language) -> str:
    """Empty where there is none; `detail` also for a reason that has no sentence here."""
    if not reason or language.code == "en" or reason not in REASONS:
        return detail if reason else ""
    quality = state.get("quality") or {}
    return language.text(REASONS[reason]).format(
        bad=quality.get("bad_samples", ""),
        coverage=f"{100 * quality.get('coverage', 0.0):.2f} %",
        gap=language.duration(quality.get("longest_gap")),
    )
