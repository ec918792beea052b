"""The standing sentences of a report: what its results are about, whether it may be copied, and how values at a limit are judged (V-23)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.verification.domain.criteria.temporal import FORMULA_KINDS

_ALWAYS = {
    "items_only": {
        "en": "The results relate only to the items tested.",
        "zh": "本报告结果仅对被测样品有效。",
    },
    "whole_only": {
        "en": "This report shall not be reproduced except in full without the written approval of the laboratory.",
        "zh": "未经本实验室书面批准，不得部分复制本报告。",
    },
}
_COMPARISON = {
    "rounding": {
        "en": "Conformity is decided with unrounded values; results are rounded for this report, requirements and uncertainties are not.",
        "zh": "符合性以未修约值判定；报告中的结果为修约值，要求与不确定度未经修约。",
    },
    "simple": {
        "en": "Under simple acceptance a value equal to its limit conforms.",
        "zh": "按简单接受规则，等于限值即为符合。",
    },
    "drawn_in": {
        "en": "Where a guard band or a minimum probability draws the limit in, a value equal to the limit drawn in conforms;"
        " one between it and the agreed limit does not.",
        "zh": "采用保护带或最低合格概率而收紧限值时，等于收紧后的限值即为符合；介于其与约定限值之间的不符合。",
    },
    "four_level": {
        "en": "Under four levels a value inside its limit by less than w, or equal to it, conforms conditionally.",
        "zh": "按四级判定，限值以内且距限值不足 w 或等于限值的，为有条件符合。",
    },
    "conditions": {
        "en": "In conditions, ≤ and ≥ hold at the limit, < and > do not; by this it is also decided whether what is forbidden has occurred.",
        "zh": "条件中，等于限值时 ≤ 与 ≥ 成立，< 与 > 不成立；禁止的情形是否出现亦按此判定。",
    },
}
_DRAWN_IN = frozenset({"guard_band", "min_probability"})
_OF_CONDITIONS = FORMULA_KINDS | {"count", "success_rate", "mtbf"}
"""Kinds that judge conditions, whose limits lie in the conditions."""


def statements_of(criteria: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """In both languages; `criteria` are those of the set, as JSON."""
    return {**_ALWAYS, "comparison": _comparison(criteria)}


def _comparison(criteria: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """How values at a limit are judged, for the kinds and decision rules of these criteria and no other."""
    rules = {item["decision"]["rule"] for item in criteria if item["kind"] not in _OF_CONDITIONS}
    said = ["rounding"]
    said += ["simple"] if "simple" in rules else []
    said += ["drawn_in"] if rules & _DRAWN_IN else []
    said += ["four_level"] if "four_level" in rules else []
    said += ["conditions"] if any(item["kind"] in _OF_CONDITIONS for item in criteria) else []
    return {
        "en": " ".join(_COMPARISON[key]["en"] for key in said),
        "zh": "".join(_COMPARISON[key]["zh"] for key in said),
    }
