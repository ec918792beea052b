"""The evaluator's operators, each broken once: a comparison turned, a border moved, an age or a hold forgotten.

A mutant is a change of text, so that it can be read as what somebody might have written instead. Each names the test that has to fail.
"""

from __future__ import annotations

from dataclasses import dataclass


class MisfitError(Exception):
    """The text that a mutant changes does not stand exactly once in its file."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`before` becomes `after` in `file`, a path in the repository; `test` is a pytest node."""

    name: str
    file: str
    before: str
    after: str
    test: str

    def applied(self, text: str) -> str:
        """The file's text with the change. Raises MisfitError when `before` does not stand in it exactly once."""
        found = text.count(self.before)
        if found != 1:
            raise MisfitError(
                f"mutant {self.name} does not fit its file any more: {self.before!r} stands {found} times in {self.file}"
            )
        return text.replace(self.before, self.after)


DOMAIN = "services/verification/domain/"
KIND = DOMAIN + "kinds/"

OF_KINDS = "tests/property/test_verification_kinds.py::test_"
OF_AGGREGATES = "tests/property/test_verification_aggregates.py::test_"
OF_FORMULAS = "tests/property/test_verification_formulas.py::test_"
OF_KERNELS = "tests/property/test_verification_kernels.py::test_"
OF_ARRIVAL = "tests/property/test_verification_arrival.py::test_"
BY_HAND = "tests/unit/verification/test_domain_"

BAND = OF_KINDS + "band_agrees_with_brute_force"
HOLD = OF_KINDS + "hold_agrees_with_brute_force"
TIME_OUT = OF_KINDS + "time_out_of_band_agrees_with_brute_force"
SETTLE = OF_KINDS + "settle_agrees_with_brute_force"
RATE = OF_KINDS + "rate_of_change_agrees_with_brute_force"
STATISTICS = OF_KINDS + "window_statistics_agree_with_brute_force"
QUALITY = OF_KINDS + "data_quality_agrees_with_brute_force"
FRACTION = OF_AGGREGATES + "fraction_in_band_agrees_with_brute_force"
RAMP = OF_AGGREGATES + "ramp_agrees_with_brute_force"
STEADY = OF_AGGREGATES + "steady_state_agrees_with_brute_force"
DRIFT = OF_AGGREGATES + "drift_agrees_with_brute_force"
INTEGRAL = OF_AGGREGATES + "integral_agrees_with_brute_force"
TOTALISER = OF_AGGREGATES + "totaliser_agrees_with_brute_force"
COUNT = OF_AGGREGATES + "count_agrees_with_brute_force"
SUCCESS = OF_AGGREGATES + "success_rate_agrees_with_brute_force"
MTBF = OF_AGGREGATES + "mtbf_agrees_with_brute_force"
ENVELOPE = "tests/property/test_verification_earlier.py::test_an_envelope_agrees_with_brute_force"
FORMULA = OF_FORMULAS + "a_formula_agrees_with_brute_force"
CONDITION = OF_FORMULAS + "a_condition_agrees_with_brute_force"
LIVE = OF_ARRIVAL + "a_live_evaluation_ends_as_the_rebuilt_one"
GUARD = BY_HAND + "kinds.py::test_a_guard_band_is_taken_off_what_each_kind_allows"
LATE = OF_ARRIVAL + "a_late_frame_names_the_criteria_it_touches"

POINTWISE = (
    Mutant(
        "band-end-included",
        KIND + "band.py",
        "if t >= end:",
        "if t > end:",
        BY_HAND + "kinds.py::test_a_phase_is_half_open_and_the_value_carried_into_it_is_not_judged_pointwise",
    ),
    Mutant(
        "band-start-left-out",
        KIND + "band.py",
        "if x != x or t < start:",
        "if x != x or t <= start:",
        BY_HAND + "kinds.py::test_a_phase_is_half_open_and_the_value_carried_into_it_is_not_judged_pointwise",
    ),
    Mutant("band-either-limit", KIND + "band.py", "margin = min(x - low,", "margin = max(x - low,", BAND),
    Mutant(
        "band-equality-fails",
        KIND + "band.py",
        "if margin < 0.0 and not best < 0.0:",
        "if margin <= 0.0 and not best <= 0.0:",
        BY_HAND + "kinds.py::test_equality_with_a_limit_passes",
    ),
    Mutant("band-last-of-equals", KIND + "band.py", "if margin < best:", "if margin <= best:", BAND),
    Mutant(
        "band-guard-left-out",
        KIND + "band.py",
        "return low + width, high - width",
        "return low, high",
        BY_HAND + "kinds.py::test_a_guard_band_takes_the_uncertainty_off_every_limit",
    ),
    Mutant(
        "band-guard-widens-the-lower-limit",
        KIND + "band.py",
        "return low + width, high - width",
        "return low - width, high - width",
        BY_HAND + "kinds.py::test_a_guard_band_takes_the_uncertainty_off_every_limit",
    ),
    Mutant(
        "slack-guard-left-out",
        KIND + "band.py",
        "floats=(width, math.inf)",
        "floats=(0.0, math.inf)",
        BY_HAND + "kinds.py::test_a_guard_band_is_taken_off_what_a_setpoint_allows",
    ),
    Mutant(
        "settle-after-its-time", KIND + "settle.py", "clock(t, held) >= from_ and", "clock(t, held) > from_ and", SETTLE
    ),
    Mutant(
        "settle-judges-held-samples",
        KIND + "settle.py",
        "if is_held(t, held):",
        "if t < start:",
        BY_HAND + "kinds.py::test_settle_leaves_out_what_lies_in_a_hold_when_the_clock_stops",
    ),
    Mutant(
        "settle-begun-at-its-target",
        KIND + "settle.py",
        "if sf[lane, 0] < target:",
        "if sf[lane, 0] <= target:",
        BY_HAND + "kinds.py::test_settle_judges_staying_from_the_time_given_and_overshoot_always",
    ),
    Mutant("settle-end-included", KIND + "settle.py", "if t >= end:", "if t > end:", SETTLE),
    Mutant("overshoot-never-judged", KIND + "settle.py", "if over < sf[lane, 2]:", "if over > sf[lane, 2]:", SETTLE),
    Mutant(
        "settle-guard-left-out",
        KIND + "settle.py",
        "tolerance - width, overshoot)",
        "tolerance, overshoot)",
        GUARD,
    ),
    Mutant(
        "overshoot-guard-left-out",
        KIND + "settle.py",
        'measures.span(criterion.overshoot, "overshoot") - width',
        'measures.span(criterion.overshoot, "overshoot")',
        GUARD,
    ),
    Mutant(
        "ramp-judges-held-samples",
        KIND + "ramp.py",
        "if is_held(t, held):",
        "if t < start:",
        BY_HAND + "aggregates.py::test_a_held_run_holds_its_ramp_when_the_clock_stops",
    ),
    Mutant(
        "ramp-goes-on-beyond-its-end",
        KIND + "ramp.py",
        "target = last if gone >= pn[lane, REACHED] else first",
        "target = first",
        RAMP,
    ),
    Mutant("ramp-may-be-late", KIND + "ramp.py", "tolerance - abs(x - target)", "tolerance - (x - target)", RAMP),
    Mutant(
        "ramp-counts-earlier-holds",
        KIND + "ramp.py",
        "begun = clock(start, held)",
        "begun = start",
        BY_HAND + "aggregates.py::test_a_hold_before_the_phase_does_not_hold_its_ramp",
    ),
    Mutant("ramp-end-included", KIND + "ramp.py", "if t >= end:", "if t > end:", RAMP),
    Mutant(
        "ramp-guard-left-out",
        KIND + "ramp.py",
        "last - first), tolerance - width)",
        "last - first), tolerance)",
        GUARD,
    ),
)

ON_THE_HELD_VALUE = (
    Mutant(
        "hold-maximum-age-ignored",
        KIND + "hold.py",
        "a, b = max(last_t, start), min(t, last_u)",
        "a, b = max(last_t, start), t",
        HOLD,
    ),
    Mutant(
        "hold-window-too-long", KIND + "hold.py", "rn[head, 0] <= cb - duration", "rn[head, 0] < cb - duration", HOLD
    ),
    Mutant(
        "hold-held-time-counts",
        KIND + "hold.py",
        "ca, cb = clock(a, held), clock(b, held)",
        "ca, cb = a, b",
        BY_HAND + "kinds.py::test_the_clock_of_a_hold_stops_in_held_when_the_criterion_says_so",
    ),
    Mutant(
        "hold-longer-than-asked",
        KIND + "hold.py",
        "if cb - defined_from >= duration",
        "if cb - defined_from > duration",
        HOLD,
    ),
    Mutant("hold-equality-fails", KIND + "hold.py", "if margin < 0.0:", "if margin <= 0.0:", HOLD),
    Mutant("hold-goes-on-over-a-gap", KIND + "hold.py", "if undefined < t and", "if undefined < start and", HOLD),
    Mutant(
        "hold-decided-late",
        KIND + "hold.py",
        "if cb - in_from >= duration and",
        "if cb - in_from > duration and",
        BY_HAND + "kinds.py::test_hold_counts_held_values_up_to_the_next_sample",
    ),
    Mutant(
        "hold-failed-in-spite-of-a-gap",
        KIND + "hold.py",
        "if sn[lane, MAYBE_LONGEST] < duration and",
        "if longest < duration and",
        BY_HAND + "quality.py::test_a_hold_that_could_lie_in_the_gap_is_not_failed",
    ),
    Mutant(
        "time-out-maximum-age-ignored", KIND + "time_out.py", "start), min(t, sn[lane, LAST_U])", "start), t", TIME_OUT
    ),
    Mutant(
        "time-out-before-the-phase",
        KIND + "time_out.py",
        "a, b = max(sn[lane, LAST_T], start),",
        "a, b = sn[lane, LAST_T],",
        TIME_OUT,
    ),
    Mutant(
        "time-out-held-time-counts",
        KIND + "time_out.py",
        "ca, cb = clock(a, held), clock(b, held)",
        "ca, cb = a, b",
        TIME_OUT,
    ),
    Mutant(
        "excursion-as-long-as-allowed",
        KIND + "time_out.py",
        "total_mode == 0 and length > allowed",
        "total_mode == 0 and length >= allowed",
        BY_HAND + "kinds.py::test_the_longest_excursion_may_last_exactly_as_long_as_allowed",
    ),
    Mutant(
        "time-out-as-long-as-allowed",
        KIND + "time_out.py",
        "sn[lane, TOTAL] > allowed:",
        "sn[lane, TOTAL] >= allowed:",
        TIME_OUT,
    ),
    Mutant(
        "excursion-goes-on-over-a-gap",
        KIND + "time_out.py",
        "if undefined < t and",
        "if undefined < start and",
        BY_HAND + "kinds.py::test_a_gap_ends_an_excursion",
    ),
    Mutant("fraction-equality-is-out", KIND + "fraction.py", "if margin >= 0.0:", "if margin > 0.0:", FRACTION),
    Mutant(
        "fraction-maximum-age-ignored", KIND + "fraction.py", "start), min(t, sn[lane, LAST_U])", "start), t", FRACTION
    ),
    Mutant(
        "fraction-held-time-counts",
        KIND + "fraction.py",
        "length = clock(b, held) - clock(a, held) if",
        "length = b - a if",
        FRACTION,
    ),
    Mutant(
        "fraction-equality-fails",
        KIND + "fraction.py",
        "(length - outside) / length < demanded",
        "(length - outside) / length <= demanded",
        BY_HAND + "aggregates.py::test_fraction_in_band_of_four_seconds",
    ),
    Mutant(
        "integral-maximum-age-ignored", KIND + "integral.py", "start), min(t, sn[lane, LAST_U])", "start), t", INTEGRAL
    ),
    Mutant(
        "integral-held-time-counts",
        KIND + "integral.py",
        "length = clock(b, held) - clock(a, held) if",
        "length = b - a if",
        INTEGRAL,
    ),
    Mutant("integral-of-the-next-value", KIND + "integral.py", "term = sf[lane, HELD] *", "term = x *", INTEGRAL),
    Mutant(
        "integral-guard-left-out",
        KIND + "integral.py",
        "bounds = [bottom + width, top - width]",
        "bounds = [bottom, top]",
        GUARD,
    ),
    Mutant(
        "integral-rounding-lost",
        KIND + "integral.py",
        "total = float(view.f[SUM]) + float(view.f[REST])",
        "total = float(view.f[SUM])",
        BY_HAND + "aggregates.py::test_sums_lose_nothing_beside_large_terms",
    ),
    Mutant(
        "totaliser-carry-at-its-age",
        KIND + "totaliser.py",
        "sn[lane, LAST_U] <= start",
        "sn[lane, LAST_U] < start",
        BY_HAND + "aggregates.py::test_a_totaliser_begins_with_the_reading_carried_into_the_phase",
    ),
    Mutant("totaliser-standstill-is-a-reset", KIND + "totaliser.py", "if term < 0.0:", "if term <= 0.0:", TOTALISER),
    Mutant(
        "totaliser-equality-fails",
        KIND + "totaliser.py",
        "if total > high:",
        "if total >= high:",
        BY_HAND + "aggregates.py::test_a_totaliser_over_a_reset_and_a_rollover",
    ),
    Mutant(
        "totaliser-rollover-ignored", KIND + "totaliser.py", "max(rollover - sf[lane, READING], 0.0)", "0.0", TOTALISER
    ),
    Mutant("totaliser-end-included", KIND + "totaliser.py", "if t >= end:", "if t > end:", TOTALISER),
    Mutant("totaliser-guard-left-out", KIND + "totaliser.py", "low, high = low + width, high - width", "pass", GUARD),
    Mutant(
        "totaliser-rounding-lost",
        KIND + "totaliser.py",
        "total = float(view.f[SUM]) + float(view.f[REST])",
        "total = float(view.f[SUM])",
        BY_HAND + "aggregates.py::test_sums_lose_nothing_beside_large_terms",
    ),
)

OVER_WINDOWS = (
    Mutant(
        "rate-window-closed-at-its-start",
        KIND + "rate.py",
        "rn[ring + head] <= t - window",
        "rn[ring + head] < t - window",
        RATE,
    ),
    Mutant(
        "rate-first-window-left-out",
        KIND + "rate.py",
        "if t - window < start or",
        "if t - window <= start or",
        BY_HAND + "kinds.py::test_a_slope_is_the_least_squares_line_of_the_window",
    ),
    Mutant(
        "rate-judged-with-the-first-of-an-instant",
        KIND + "rate.py",
        "later < count and times[t0 + later] == t:",
        "later < 0:",
        BY_HAND + "kinds.py::test_a_sliding_window_holds_every_sample_of_its_last_instant",
    ),
    Mutant("rate-one-sample-more", KIND + "rate.py", "size < min_count", "size <= min_count", RATE),
    Mutant("rate-proven-over-a-gap", KIND + "rate.py", "broken <= t - window:", "broken <= t:", RATE),
    Mutant("rate-gap-at-its-limit", KIND + "rate.py", "else latest) > gap:", "else latest) >= gap:", RATE),
    Mutant("rate-without-the-mean", KIND + "rate.py", "size * tt - t1 * t1", "size * tt", RATE),
    Mutant(
        "slope-guard-left-out",
        KIND + "rate.py",
        "(criterion.high.value - width) / factor",
        "criterion.high.value / factor",
        GUARD,
    ),
    Mutant(
        "sd-over-n",
        KIND + "statistics.py",
        "return math.sqrt(m2 / (count - 1)) if",
        "return math.sqrt(m2 / count) if",
        BY_HAND + "kinds.py::test_sd_has_n_minus_1_and_a_percentile_is_linear_between_order_statistics",
    ),
    Mutant(
        "percentile-rank-of-n", KIND + "statistics.py", "place = rank * (count - 1)", "place = rank * count", STATISTICS
    ),
    Mutant(
        "percentile-not-linear",
        KIND + "statistics.py",
        "(place - below) * (ordered",
        "0.0 * (ordered",
        BY_HAND + "kinds.py::test_sd_has_n_minus_1_and_a_percentile_is_linear_between_order_statistics",
    ),
    Mutant(
        "rms-without-the-mean",
        KIND + "statistics.py",
        "math.sqrt(mean * mean + m2 / count)",
        "math.sqrt(m2 / count)",
        BY_HAND + "kinds.py::test_the_worst_window_of_each_statistic",
    ),
    Mutant("sd-guard-left-out", KIND + "statistics.py", "return low + width, high - width", "return low, high", GUARD),
    Mutant(
        "slope-guard-widens-the-lower-limit",
        KIND + "rate.py",
        "(criterion.low.value + width) / factor",
        "(criterion.low.value - width) / factor",
        GUARD,
    ),
    Mutant(
        "cpk-of-the-farther-limit",
        KIND + "statistics.py",
        "room = min(upper - mean,",
        "room = max(upper - mean,",
        BY_HAND + "aggregates.py::test_process_capability",
    ),
    Mutant(
        "tumbling-last-window-left-out", KIND + "statistics_blocks.py", "if to > end or", "if to >= end or", STATISTICS
    ),
    Mutant("tumbling-sample-at-the-border", KIND + "statistics_blocks.py", "or t < to:", "or t <= to:", STATISTICS),
    Mutant(
        "tumbling-one-sample-more",
        KIND + "statistics_blocks.py",
        "if n >= min_count and n > 0:",
        "if n > min_count and n > 0:",
        STATISTICS,
    ),
    Mutant(
        "tumbling-spread-of-the-last-window",
        KIND + "statistics_blocks.py",
        "sf[lane, M1], sf[lane, M2] = 0.0, 0.0",
        "sf[lane, M1] = 0.0",
        BY_HAND + "kinds.py::test_the_worst_window_of_each_statistic",
    ),
    Mutant(
        "tumbling-max-for-min",
        KIND + "statistics_blocks.py",
        "min(sf[lane, LOWEST], x)",
        "max(sf[lane, LOWEST], x)",
        BY_HAND + "kinds.py::test_the_worst_window_of_each_statistic",
    ),
    Mutant(
        "tumbling-proven-over-a-gap",
        KIND + "statistics_blocks.py",
        "window > 0 and (whole or beyond)",
        "window > 0",
        BY_HAND + "quality.py::test_a_mean_over_a_gap_proves_nothing",
    ),
    Mutant(
        "sliding-window-closed-at-its-start",
        KIND + "statistics_sliding.py",
        "rn[ring + head] <= t - window",
        "rn[ring + head] < t - window",
        BY_HAND + "kinds.py::test_a_sliding_window_is_open_at_its_start",
    ),
    Mutant(
        "sliding-judged-with-the-first-of-an-instant",
        KIND + "statistics_sliding.py",
        "later < count and times[t0 + later] == t:",
        "later < 0:",
        BY_HAND + "kinds.py::test_a_sliding_window_holds_every_sample_of_its_last_instant",
    ),
    Mutant(
        "sliding-first-window-left-out",
        KIND + "statistics_sliding.py",
        "if t - window < start or",
        "if t - window <= start or",
        BY_HAND + "kinds.py::test_a_sliding_window_is_open_at_its_start",
    ),
    Mutant(
        "sliding-wrong-weight",
        KIND + "statistics_sliding.py",
        "mean = older + delta * (nb / size)",
        "mean = older + delta * (front / size)",
        BY_HAND + "kinds.py::test_a_sliding_window_is_open_at_its_start",
    ),
    Mutant(
        "sliding-max-for-min",
        KIND + "statistics_sliding.py",
        "x if j == 0 else min(mean, x)",
        "x if j == 0 else max(mean, x)",
        BY_HAND + "kinds.py::test_the_worst_window_of_each_statistic",
    ),
    Mutant(
        "sliding-proven-over-a-gap",
        KIND + "statistics_sliding.py",
        "if beyond or broken <= t - window:",
        "if beyond or broken <= t:",
        BY_HAND + "quality.py::test_a_window_that_begins_where_a_gap_ends_is_seen_whole",
    ),
    Mutant(
        "sliding-gap-at-its-limit",
        KIND + "statistics_sliding.py",
        "else latest) > gap:",
        "else latest) >= gap:",
        BY_HAND + "quality.py::test_a_window_that_begins_where_a_gap_ends_is_seen_whole",
    ),
    Mutant(
        "sliding-least-leaves-first",
        KIND + "statistics_sliding.py",
        "size, rf[ring + head, 0])",
        "size, rf[ring, 1])",
        BY_HAND + "kinds.py::test_the_worst_window_of_each_statistic",
    ),
    Mutant(
        "steady-guard-left-out",
        KIND + "steady.py",
        "(criterion.gradient.value - width) / factor",
        "criterion.gradient.value / factor",
        GUARD,
    ),
    Mutant(
        "steady-one-window-more",
        KIND + "steady.py",
        "if sn[lane, RUN] >= windows:",
        "if sn[lane, RUN] > windows:",
        STEADY,
    ),
    Mutant(
        "steady-any-window",
        KIND + "steady.py",
        "least = min(least, rf[ring + j, 0])",
        "least = rf[ring + j, 0]",
        BY_HAND + "aggregates.py::test_steady_state_passes_at_the_end_of_its_windows",
    ),
    Mutant("steady-falling-is-steady", KIND + "steady.py", "gradient - abs(slope)", "gradient - slope", STEADY),
    Mutant(
        "steady-one-sample-more",
        KIND + "steady.py",
        "if n >= pn[lane, MIN_COUNT] and",
        "if n > pn[lane, MIN_COUNT] and",
        STEADY,
    ),
    Mutant(
        "steady-over-an-empty-window",
        KIND + "steady.py",
        "following = (t - start) // window\n                    sn[lane, RUN], sn[lane, WHOLE] = 0, 0",
        "following = (t - start) // window",
        BY_HAND + "aggregates.py::test_steady_state_passes_at_the_end_of_its_windows",
    ),
    Mutant(
        "steady-proven-over-a-gap",
        KIND + "steady.py",
        "0 if sn[lane, BROKEN] == 1 else sn[lane, WHOLE] + 1",
        "sn[lane, WHOLE] + 1",
        BY_HAND + "aggregates.py::test_a_gap_in_a_steady_window_proves_nothing",
    ),
    Mutant("drift-one-sample-more", KIND + "drift.py", ">= int(view.q[MIN_COUNT])", "> int(view.q[MIN_COUNT])", DRIFT),
    Mutant("drift-squares-of-raw-steps", KIND + "drift.py", "tt += dt * (ts - mt)", "tt += dt * dt", DRIFT),
    Mutant("drift-end-included", KIND + "drift.py", "if t >= end:", "if t > end:", DRIFT),
)

QUALITY_AND_EVENTS = (
    Mutant(
        "coverage-maximum-age-ignored",
        KIND + "quality.py",
        "max(min(t, last_u) - max(last_t, start), 0)",
        "t - max(last_t, start)",
        BY_HAND + "quality.py::test_coverage_is_the_measure_of_the_defined_held_value",
    ),
    Mutant(
        "coverage-maximum-age-ignored-amid-the-phase",
        KIND + "quality.py",
        "covered += min(t, last_u) - last_t",
        "covered += t - last_t",
        OF_KERNELS + "cutting_gives_the_same_bytes[quality]",
    ),
    Mutant(
        "gap-not-from-the-start",
        KIND + "quality.py",
        "before = start if samples == 0 else last_at",
        "before = t if samples == 0 else last_at",
        BY_HAND + "quality.py::test_a_gap_counts_from_the_phases_start_and_to_its_end",
    ),
    Mutant(
        "gap-not-to-the-end",
        KIND + "quality.py",
        "for k in range(first, count + closing):",
        "for k in range(first, count):",
        BY_HAND + "quality.py::test_a_gap_counts_from_the_phases_start_and_to_its_end",
    ),
    Mutant(
        "gap-at-its-limit",
        KIND + "quality.py",
        "if longest > max_gap and",
        "if longest >= max_gap and",
        BY_HAND + "quality.py::test_a_gap_counts_from_the_phases_start_and_to_its_end",
    ),
    Mutant(
        "stuck-at-its-limit",
        KIND + "quality.py",
        "if stuck > max_stuck and",
        "if stuck >= max_stuck and",
        BY_HAND + "kinds.py::test_a_stuck_value_is_found",
    ),
    Mutant(
        "saturated-beyond-the-range-only",
        KIND + "quality.py",
        "elif bottom < x < top:",
        "elif bottom <= x <= top:",
        BY_HAND + "aggregates.py::test_saturation_needs_a_range_and_is_the_longest_time_at_it",
    ),
    Mutant(
        "as-many-bad-values-as-allowed",
        KIND + "quality.py",
        "if found > allowed and not proof:",
        "if found >= allowed and not proof:",
        BY_HAND + "aggregates.py::test_values_of_suspect_clock_are_counted",
    ),
    Mutant(
        "coverage-equality-fails",
        KIND + "quality.py",
        "closing[0] < 0 and",
        "closing[0] <= 0 and",
        BY_HAND + "quality.py::test_coverage_equal_to_the_demand_is_enough",
    ),
    Mutant("event-at-every-instant", KIND + "events.py", "and before & 1 == 0 and", "and", COUNT),
    Mutant(
        "event-after-an-expired-value",
        KIND + "events.py",
        "known = sn[lane, HAS] == 1 and (sn[lane, LAST_T] >= start or sn[lane, LAST_U] > start)",
        "known = sn[lane, HAS] == 1",
        BY_HAND + "aggregates.py::test_an_event_begins_where_the_value_before_is_known_in_the_phase",
    ),
    Mutant(
        "count-equality-fails",
        KIND + "events.py",
        "sn[lane, EVENTS] > pn[lane, AT_MOST]",
        "sn[lane, EVENTS] >= pn[lane, AT_MOST]",
        BY_HAND + "aggregates.py::test_events_are_counted_where_they_begin",
    ),
    Mutant(
        "count-decided-late",
        KIND + "events.py",
        "sn[lane, EVENTS] >= pn[lane, AT_LEAST]",
        "sn[lane, EVENTS] > pn[lane, AT_LEAST]",
        BY_HAND + "aggregates.py::test_events_are_counted_where_they_begin",
    ),
    Mutant(
        "event-in-a-hold",
        KIND + "events.py",
        " and not is_held(t, held):",
        ":",
        BY_HAND + "aggregates.py::test_a_failure_in_a_hold_does_not_count_when_the_clock_stops",
    ),
    Mutant("operation-maximum-age-ignored", KIND + "events.py", "start), min(t, sn[lane, LAST_U])", "start), t", MTBF),
    Mutant("operation-held-time-counts", KIND + "events.py", "clock(b, held) - clock(a, held)", "b - a", MTBF),
    Mutant(
        "success-of-the-value-before",
        KIND + "events.py",
        "if now & 2 == 2:",
        "if before & 2 == 2:",
        BY_HAND + "aggregates.py::test_a_success_rate_by_its_lower_bound",
    ),
    Mutant(
        "clock-runs-back-in-a-hold",
        KIND + "clock.py",
        "min(t, held[k, 1]) - held[k, 0]",
        "held[k, 1] - held[k, 0]",
        OF_KERNELS + "the_run_clock_counts_what_is_not_held",
    ),
    Mutant(
        "hold-closed-at-its-end",
        KIND + "clock.py",
        "held[k, 0] <= t < held[k, 1]",
        "held[k, 0] <= t <= held[k, 1]",
        BY_HAND + "kinds.py::test_settle_leaves_out_what_lies_in_a_hold_when_the_clock_stops",
    ),
    Mutant(
        "unclock-behind-a-hold",
        KIND + "clock.py",
        "if t <= start:",
        "if t < start:",
        OF_KERNELS + "the_run_clock_counts_what_is_not_held",
    ),
)

BY_EARLIER_RUNS = (
    Mutant(
        "envelope-maximum-age-ignored", KIND + "envelope.py", "start), min(t, sn[lane, LAST_U])", "start), t", ENVELOPE
    ),
    Mutant(
        "past-the-reference-forgotten",
        KIND + "envelope.py",
        "sn[lane, PAST] = 1",
        "sn[lane, PAST] = 0",
        BY_HAND + "earlier.py::test_a_phase_that_outlasts_its_reference_is_undecided_unless_it_has_failed",
    ),
    Mutant(
        "outside-as-long-as-allowed",
        KIND + "envelope.py",
        "sn[lane, TOTAL] > allowed:",
        "sn[lane, TOTAL] >= allowed:",
        BY_HAND + "earlier.py::test_time_outside_may_be_allowed",
    ),
    Mutant(
        "envelope-open-below",
        KIND + "envelope.py",
        "- abs(sf[lane, 0] - pf[lane, MEANS + j])",
        "- (sf[lane, 0] - pf[lane, MEANS + j])",
        BY_HAND + "earlier.py::test_a_held_run_waits_for_its_reference_when_the_clock_stops",
    ),
    Mutant(
        "envelope-held-time-counts",
        KIND + "envelope.py",
        "(clock(a, held), clock(b, held)) if",
        "(a, b) if",
        BY_HAND + "earlier.py::test_a_held_run_waits_for_its_reference_when_the_clock_stops",
    ),
    Mutant(
        "reference-stands-still",
        KIND + "envelope.py",
        "upto = min(to, begun + (j + 1) * step)",
        "upto = to",
        BY_HAND + "earlier.py::test_a_held_value_leaves_the_envelope_when_the_reference_moves_away",
    ),
    Mutant(
        "envelope-guard-left-out",
        KIND + "envelope.py",
        "*(half - width for half in halves)",
        "*halves",
        BY_HAND + "earlier.py::test_a_guard_band_narrows_the_envelope",
    ),
    Mutant("resumed-before-a-hold", KIND + "clock.py", "if t < held[k, 0]:", "if t <= held[k, 0]:", ENVELOPE),
    Mutant(
        "previous-ignored",
        KIND + "previous.py",
        "low, high = previous + low, previous + high",
        "pass",
        BY_HAND + "earlier.py::test_a_mean_beside_that_of_the_run_before",
    ),
    Mutant(
        "ratio-to-a-negative-value",
        KIND + "previous.py",
        "sorted((low * previous, high * previous))",
        "low * previous, high * previous",
        BY_HAND + "earlier.py::test_a_ratio_to_the_run_before",
    ),
    Mutant(
        "judged-without-a-run-before",
        KIND + "previous.py",
        "if view.q[HAS_PREVIOUS]:",
        "if view.closed:",
        BY_HAND + "earlier.py::test_the_first_run_of_a_chain_has_nothing_to_compare_with_but_tells_its_value",
    ),
    Mutant(
        "previous-guard-left-out",
        KIND + "previous.py",
        "(low + width, high - width) if",
        "(low, high) if",
        BY_HAND + "earlier.py::test_a_guard_band_narrows_a_comparison",
    ),
)

FORMULAS = (
    Mutant(
        "formula-equality-fails",
        KIND + "formula.py",
        "scope != SOME and hi < 0.0",
        "scope != SOME and hi <= 0.0",
        CONDITION,
    ),
    Mutant(
        "rise-at-the-first-instant", KIND + "formula.py", "lo, hi = -math.inf, -math.inf", "lo, hi = llo, lhi", FORMULA
    ),
    Mutant(
        "rise-for-fall",
        KIND + "formula.py",
        "if op == RISE:",
        "if op != RISE:",
        BY_HAND + "formulas.py::test_a_condition_rises_behind_an_instant_at_which_it_did_not_hold",
    ),
    Mutant(
        "or-for-and",
        KIND + "formula.py",
        "lower(llo, rlo), lower(lhi, rhi)",
        "higher(llo, rlo), higher(lhi, rhi)",
        FORMULA,
    ),
    Mutant(
        "or-for-implies",
        KIND + "formula.py",
        "higher(opposite(lhi), rlo), higher(opposite(llo), rhi)",
        "higher(llo, rlo), higher(lhi, rhi)",
        BY_HAND + "formulas.py::test_an_answer_in_time_and_one_too_late",
    ),
    Mutant(
        "best-instant-for-worst",
        KIND + "formula.py",
        "else min(sf[lane, HIGH], hi)",
        "else max(sf[lane, HIGH], hi)",
        CONDITION,
    ),
    Mutant(
        "formula-without-a-margin-at-equality",
        KIND + "formula.py",
        "if seen and (low >= 0 or",
        "if seen and (low > 0 or",
        BY_HAND + "formulas.py::test_an_answer_in_time_and_one_too_late",
    ),
    Mutant(
        "formula-end-included",
        KIND + "formula.py",
        "if k == count or t >= end:",
        "if k == count or t > end:",
        BY_HAND + "formulas.py::test_the_instant_at_which_a_phase_ends_is_not_in_it",
    ),
    Mutant(
        "window-open-at-its-end",
        KIND + "formula_windows.py",
        "<= last:\n            push(op",
        "< last:\n            push(op",
        CONDITION,
    ),
    Mutant(
        "window-open-at-its-start",
        KIND + "formula_windows.py",
        "rn[ring + head % slots, 0] < first:",
        "rn[ring + head % slots, 0] <= first:",
        CONDITION,
    ),
    Mutant(
        "first-window-open-at-its-start",
        KIND + "formula_windows.py",
        "rn[ring + pushed % slots, 0] >= first:",
        "rn[ring + pushed % slots, 0] > first:",
        FORMULA,
    ),
    Mutant(
        "window-over-the-end-is-known",
        KIND + "formula_windows.py",
        "upto < FAR and last >= end:",
        "upto < FAR and last > end:",
        BY_HAND + "formulas.py::test_a_window_over_the_end_without_an_answer_is_undecided",
    ),
    Mutant(
        "first-window-over-the-end-is-known",
        KIND + "formula_windows.py",
        "and last < end)",
        "and last <= end)",
        BY_HAND + "formulas.py::test_a_window_over_the_end_without_an_answer_is_undecided",
    ),
    Mutant(
        "until-without-holding",
        KIND + "formula_windows.py",
        "return max(a1, min(b1, a2)), min(b1, b2)",
        "return max(a1, a2), min(b1, b2)",
        BY_HAND + "formulas.py::test_until_passes_when_it_is_reached_and_fails_when_it_cannot_be",
    ),
    Mutant(
        "past-window-reversed",
        KIND + "formula_windows.py",
        "else t - upto",
        "else t - after",
        BY_HAND + "formulas.py::test_since_looks_back_no_further_than_it_says",
    ),
    Mutant(
        "once-for-historically",
        KIND + "formula_windows.py",
        "return min(x, y) if op in (ALWAYS, HISTORICALLY)",
        "return min(x, y) if op in (ALWAYS,)",
        FORMULA,
    ),
    Mutant(
        "until-in-reverse",
        KIND + "formula_windows.py",
        "alo, blo = composed(flo, glo, alo, blo)\n            ahi, bhi = composed(fhi, ghi, ahi, bhi)",
        "alo, blo = composed(alo, blo, flo, glo)\n            ahi, bhi = composed(ahi, bhi, fhi, ghi)",
        BY_HAND + "formulas.py::test_until_within_a_window_is_broken_before_it_is_reached",
    ),
    Mutant(
        "strict-passes-at-equality",
        DOMAIN + "conditions.py",
        "(*node.program, (NEGATE, 0.0))",
        "(*node.program, (TIMES, -1.0))",
        BY_HAND + "conditions.py::test_the_sign_of_a_margin_is_its_truth",
    ),
    Mutant(
        "greater-for-less",
        DOMAIN + "conditions.py",
        'if item.op in ("<=", ">") else',
        'if item.op in ("<=",) else',
        CONDITION,
    ),
    Mutant(
        "implies-not-negated",
        DOMAIN + "conditions.py",
        "nodes[0] = _negated(nodes[0])",
        "pass",
        BY_HAND + "conditions.py::test_codes_and_booleans_have_no_distance",
    ),
    Mutant(
        "condition-and-for-or",
        DOMAIN + "conditions.py",
        "LOWER if isinstance(formula, formulas.And) else HIGHER",
        "LOWER",
        BY_HAND + "conditions.py::test_codes_and_booleans_have_no_distance",
    ),
    Mutant(
        "share-times-its-scale",
        DOMAIN + "conditions.py",
        "(TIMES, 1.0 / one)",
        "(TIMES, one)",
        BY_HAND + "conditions.py::test_dimensions_that_differ_give_shares",
    ),
    Mutant(
        "limit-converted-as-a-difference",
        DOMAIN + "signals.py",
        "where, difference=value.difference)",
        "where, difference=True)",
        BY_HAND + "conditions.py::test_dimensions_that_differ_give_shares",
    ),
)

SIGNALS = (
    Mutant(
        "merged-maximum-age-ignored",
        DOMAIN + "merging.py",
        "until[c, 0] = t + inputs[c, 4]",
        "until[c, 0] = t + 2**60",
        BAND,
    ),
    Mutant(
        "merged-until-the-last-ends",
        DOMAIN + "merging.py",
        "upto = min(upto, until[c, 0])",
        "upto = max(upto, until[c, 0])",
        BAND,
    ),
    Mutant("merged-value-at-its-age", DOMAIN + "merging.py", "if upto <= t:", "if upto < t:", BAND),
    Mutant(
        "negation-of-equality-holds",
        DOMAIN + "merging.py",
        "return JUST_BELOW if margin == 0.0 else -margin",
        "return -margin",
        BY_HAND + "conditions.py::test_the_sign_of_a_margin_is_its_truth",
    ),
    Mutant("lower-is-higher", DOMAIN + "merging.py", "a != a or a <= b", "a != a or a >= b", FORMULA),
    Mutant(
        "division-by-zero-is-zero",
        DOMAIN + "merging.py",
        "if stack[top] != 0.0 else np.nan",
        "if stack[top] != 0.0 else 0.0",
        BAND,
    ),
    Mutant("undefined-value-lasts", DOMAIN + "merging.py", "upto if value == value else t", "upto", HOLD),
    Mutant(
        "difference-is-a-sum",
        DOMAIN + "merging.py",
        "stack[top - 1] -= stack[top]",
        "stack[top - 1] += stack[top]",
        BY_HAND + "kinds.py::test_several_channels_meet_by_held_values_at_every_instant_of_any",
    ),
    Mutant(
        "truth-not-at-equality",
        DOMAIN + "merging.py",
        "1.0 if stack[top - 1] >= 0.0 else",
        "1.0 if stack[top - 1] > 0.0 else",
        COUNT,
    ),
)

EVALUATION = (
    Mutant(
        "phase-closed-after-its-end",
        DOMAIN + "groups.py",
        "lanes.bounds[:, END] <= upto",
        "lanes.bounds[:, END] < upto",
        BAND,
    ),
    Mutant(
        "plain-maximum-age-ignored", DOMAIN + "groups.py", "chunk.times + self._ages[name]", "chunk.times + 2**60", HOLD
    ),
    Mutant(
        "border-judged-twice",
        DOMAIN + "groups.py",
        "between(self.released, upto)",
        "between(self.released - 1, upto)",
        LIVE,
    ),
    Mutant(
        "clock-never-stops",
        DOMAIN + "groups.py",
        "0, int(lane.stops))",
        "0, 0)",
        BY_HAND + "kinds.py::test_the_clock_of_a_hold_stops_in_held_when_the_criterion_says_so",
    ),
    Mutant(
        "intervals-open-at-their-end",
        DOMAIN + "arrivals.py",
        "number <= self.ends[at]",
        "number < self.ends[at]",
        BY_HAND + "evaluator.py::test_intervals_stay_joined",
    ),
    Mutant(
        "conflict-for-duplicate",
        DOMAIN + "arrivals.py",
        "known[0] != content_hash",
        "known[0] == content_hash",
        BY_HAND + "evaluator.py::test_the_same_frame_again_is_a_duplicate_and_another_under_its_name_a_conflict",
    ),
    Mutant(
        "broken-chain-forgotten",
        DOMAIN + "arrivals.py",
        "self.broken = True",
        "self.broken = False",
        BY_HAND + "evaluator.py::test_a_frame_later_than_the_tail_breaks_the_chain_of_inputs_only",
    ),
    Mutant(
        "linked-frame-at-the-end-forgotten",
        DOMAIN + "arrivals.py",
        "self.latest_linked < end",
        "self.latest_linked <= end",
        BY_HAND + "evaluator.py::test_a_linked_frame_at_the_runs_end_breaks_the_chain",
    ),
    Mutant(
        "frame-at-the-end-hashed",
        DOMAIN + "arrivals.py",
        "if first < end:",
        "if first <= end:",
        BY_HAND + "evaluator.py::test_a_frame_that_begins_at_the_runs_end_is_no_input",
    ),
    Mutant(
        "frames-hashed-as-they-came",
        DOMAIN + "arrivals.py",
        "in sorted(self.tail):",
        "in self.tail:",
        OF_ARRIVAL + "any_order_with_duplicates_gives_the_same_digest",
    ),
    Mutant(
        "late-sample-forgotten",
        DOMAIN + "evaluator.py",
        "late += self._late(group, times[times <= group.released], reach - self.plan.start)",
        "pass",
        LATE,
    ),
    Mutant(
        "sample-at-the-frontier-is-not-late",
        DOMAIN + "evaluator.py",
        "if first <= group.released:",
        "if first < group.released:",
        LIVE,
    ),
    Mutant("late-carry-forgotten", DOMAIN + "evaluator.py", "last >= start + reach", "last >= start", LATE),
    Mutant(
        "late-hold-forgotten",
        DOMAIN + "evaluator.py",
        "bool(plan.lane.stops and plan.phase == self._phase)",
        "False",
        BY_HAND + "evaluator.py::test_a_late_phase_or_hold_marks_the_criteria_that_have_gone_past_it",
    ),
    Mutant(
        "frontier-of-the-fastest",
        DOMAIN + "evaluator.py",
        "frontier = min(self._rows[name].watermark",
        "frontier = max(self._rows[name].watermark",
        BY_HAND + "quality.py::test_a_silent_stream_makes_only_its_own_criteria_wait",
    ),
    Mutant(
        "run-closed-at-its-end",
        DOMAIN + "evaluator.py",
        "(times >= reach) & (times < self._end)",
        "(times >= reach) & (times <= self._end)",
        BY_HAND + "evaluator.py::test_frames_outside_the_run_or_of_unread_streams_are_ignored",
    ),
    Mutant(
        "phase-at-a-judged-sample-is-not-late",
        DOMAIN + "evaluator.py",
        "if group.released >= at:\n                    self._mark",
        "if group.released > at:\n                    self._mark",
        BY_HAND + "evaluator.py::test_a_phase_that_begins_at_a_judged_sample_is_late",
    ),
    Mutant(
        "waiting-at-its-idle-time",
        DOMAIN + "evaluator.py",
        "self._rows[name].watermark < now -",
        "self._rows[name].watermark <= now -",
        BY_HAND + "quality.py::test_a_silent_channel_waits_after_its_idle_time_and_ends_inconclusive",
    ),
    Mutant(
        "duplicates-judged-again",
        DOMAIN + "evaluator.py",
        "if verdict is not Verdict.ACCEPTED:",
        "if verdict is Verdict.CONFLICT:",
        OF_ARRIVAL + "any_order_with_duplicates_gives_the_same_digest",
    ),
    Mutant(
        "dropped-rows-forgotten",
        DOMAIN + "evaluator.py",
        "group.behind = True",
        "group.behind = False",
        BY_HAND + "evaluator.py::test_rows_wait_in_bounded_memory_for_a_slower_stream",
    ),
    Mutant("hold-never-ends", DOMAIN + "evaluator.py", "held[-1:, 1] = record.at", "held[-1:, 1] = FAR", HOLD),
    Mutant("result-of-stale-criteria", DOMAIN + "evaluator.py", "bool(self.stale) or not all(", "not all(", LIVE),
    Mutant(
        "bad-value-at-the-phases-end",
        DOMAIN + "evaluator.py",
        "(chunk.times >= start) & (chunk.times < end)",
        "(chunk.times >= start) & (chunk.times <= end)",
        BY_HAND + "quality.py::test_bad_values_are_counted_in_their_phase",
    ),
)

AGAIN = OF_ARRIVAL + "what_a_late_record_touched_is_read_again_and_nothing_else"

READ_AGAIN = (
    Mutant("state-of-the-late-kept", DOMAIN + "rebuilding.py", "target[...] = source", "pass", AGAIN),
    Mutant(
        "outcomes-of-the-late-kept",
        DOMAIN + "rebuilding.py",
        "evaluator._outcomes[numbers[plan.id]] = fresh._outcomes[number]",
        "pass",
        "tests/unit/verification/test_domain_evaluator.py::test_what_was_read_again_is_told_once",
    ),
    Mutant(
        "bad-values-of-the-late-kept",
        DOMAIN + "rebuilding.py",
        "evaluator._bad[numbers[plan.id]] = fresh._bad[number]",
        "pass",
        "tests/unit/verification/test_domain_evaluator.py::test_what_was_read_again_is_told_once",
    ),
    Mutant(
        "chain-not-mended",
        DOMAIN + "rebuilding.py",
        "evaluator._arrivals.update(fresh._arrivals)",
        "pass",
        "tests/unit/verification/test_domain_evaluator.py::test_a_broken_chain_alone_has_its_stream_read_again",
    ),
    Mutant(
        "boots-numbered-anew", DOMAIN + "rebuilding.py", "rows.boots = list(evaluator._rows[name].boots)", "pass", AGAIN
    ),
    Mutant("late-again-forgotten", DOMAIN + "rebuilding.py", " | fresh.stale", "", AGAIN),
    Mutant(
        "broken-chain-alone-not-read",
        DOMAIN + "rebuilding.py",
        "return stale or not broken.isdisjoint(group.streams)",
        "return stale",
        "tests/unit/verification/test_domain_evaluator.py::test_a_broken_chain_alone_has_its_stream_read_again",
    ),
)

MUTANTS: tuple[Mutant, ...] = (
    *POINTWISE,
    *ON_THE_HELD_VALUE,
    *OVER_WINDOWS,
    *QUALITY_AND_EVENTS,
    *BY_EARLIER_RUNS,
    *FORMULAS,
    *SIGNALS,
    *EVALUATION,
    *READ_AGAIN,
)
