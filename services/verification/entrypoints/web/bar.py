"""The margin interval as an inline SVG: where the limit is, the guard band, and between which bounds the final margin can still lie."""

from __future__ import annotations

import math

from markupsafe import Markup

_WIDTH, _HEIGHT = 180.0, 22.0
_LEFT, _RIGHT = 8.0, 172.0
_ZERO = 70.0


def margin_bar(low: float, high: float, scale: float, guard: float, *, failed: bool, label: str) -> Markup:
    """`low` and `high` bound the final margin, `scale` is the margin drawn at the right end (same unit, > 0), `guard` the width of the
    guard band beyond the acceptance limit.
    The limit stands at a fixed place, so that rows can be compared at a glance; an end that does not fit, or is
    still unbounded, gets an arrow. `label` says the same in words."""
    step = (_RIGHT - _ZERO) / scale
    left, right = _place(low, step), _place(high, step)
    parts = [f'<line class="axis" x1="{_LEFT}" x2="{_RIGHT}" y1="11" y2="11"/>']
    if guard > 0:
        edge = _place(-guard, step)
        parts.append(f'<rect class="guard" x="{edge:.1f}" y="3" width="{_ZERO - edge:.1f}" height="16"/>')
    parts.append(f'<line class="limit" x1="{_ZERO}" x2="{_ZERO}" y1="2" y2="20"/>')
    kind = "interval fail" if failed else "interval"
    if right - left < 3:
        parts.append(f'<circle class="{"point" if not failed else kind}" cx="{left:.1f}" cy="11" r="4"/>')
    else:
        parts.append(f'<rect class="{kind}" x="{left:.1f}" y="8" width="{right - left:.1f}" height="6"/>')
    if low * step < _LEFT - _ZERO:
        parts.append(f'<path class="arrow" d="M{_LEFT} 11l7-6v12z"/>')
    if high * step > _RIGHT - _ZERO:
        parts.append(f'<path class="arrow" d="M{_RIGHT} 11l-7-6v12z"/>')
    body = "".join(parts)
    return Markup('<svg class="bar" viewBox="0 0 {w:.0f} {h:.0f}" role="img" aria-label="{label}">{body}</svg>').format(
        w=_WIDTH, h=_HEIGHT, label=label, body=Markup(body)
    )


def _place(margin: float, step: float) -> float:
    if math.isinf(margin):
        return _RIGHT if margin > 0 else _LEFT
    return min(max(_ZERO + margin * step, _LEFT), _RIGHT)
