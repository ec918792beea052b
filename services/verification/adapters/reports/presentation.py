"""What a report shows, section by section, as plain values: the one source of the HTML and of the PDF (V-23)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.verification.adapters.reports.wording import ABSENT, Wording, share
from services.verification.domain.computed import SLACKS
from shared.kernel.times import SECOND, to_rfc3339

Cell = dict[str, str]
Block = dict[str, Any]


def present(report: Mapping[str, Any], signatures: Sequence[Mapping[str, Any]], language: str) -> dict[str, Any]:
    """`report`: document, digest, issue (None for a draft), state. The answer holds text, lists and mappings only."""
    return _Presentation(report, signatures, language).whole()


class _Presentation:
    def __init__(self, report: Mapping[str, Any], signatures: Sequence[Mapping[str, Any]], language: str) -> None:
        self._report = report
        self._document = report["document"]
        self._signatures = signatures
        self._say = Wording(language, self._document["zone"])
        self._words = self._say.words

    def whole(self) -> dict[str, Any]:
        document, words = self._document, self._words
        mark = {"draft": "draft_mark", "void": "void_mark"}.get(self._report["state"])
        replaced = document["replaces"]
        return {
            "language": self._say.language,
            "title": self._say.both(document["title"]),
            "laboratory": self._say.both(document["laboratory"]["name"]),
            "number": document["number"],
            "number_label": words("number"),
            "page": [words("page"), words("of"), words("pages")],
            "mark": "" if mark is None else words(mark),
            "replaces": ""
            if replaced is None
            else words("replaces", number=replaced["number"], reason=replaced["reason"]),
            "sections": [
                self._section("summary", self._summary()),
                self._section("parties", self._parties()),
                self._section("item_section", self._item()),
                self._section("method_section", self._method()),
                self._section("results", self._results()),
                self._section("decision_section", self._decision()),
                self._section("quality_section", self._quality()),
                self._section("deviations_section", self._deviations()),
                self._section("history", self._history()),
                self._section("evidence_section", self._evidence()),
                self._section("statements", self._statements()),
                self._section("signatures_section", self._signed()),
            ],
            "end": self._say.both(document["end_mark"]),
        }

    def _section(self, key: str, blocks: list[Block]) -> dict[str, Any]:
        return {"id": key, "title": self._words(key), "blocks": blocks}

    def _pairs(self, *rows: tuple[str, str | None]) -> Block:
        return {"kind": "pairs", "rows": [[self._words(key), text] for key, text in rows if text]}

    def _table(self, columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Cell | str]]) -> Block:
        """`columns`: label and share of the width, which ends in `r` where numbers stand."""
        shown = [[cell if isinstance(cell, dict) else {"text": cell, "state": ""} for cell in row] for row in rows]
        heads = [
            {"title": self._words(key), "width": width.rstrip("r"), "align": "right" if width.endswith("r") else "left"}
            for key, width in columns
        ]
        return {"kind": "table", "columns": heads, "rows": shown}

    def _text(self, text: str) -> Block:
        return {"kind": "text", "text": text}

    def _parties(self) -> list[Block]:
        document, both = self._document, self._say.both
        laboratory, customer = document["laboratory"], document["customer"]
        known = laboratory["accreditation"]
        scope = "" if known is None or known["scope"] is None else f", {both(known['scope'])}"
        return [
            self._pairs(
                ("laboratory", both(laboratory["name"])),
                ("address", both(laboratory["address"])),
                ("contact", laboratory["contact"]),
                ("accreditation", None if known is None else f"{known['body']} {known['number']}{scope}"),
                ("location", both(document["location"])),
                ("platform", both(laboratory["platform"])),
                ("customer", f"{both(customer['name'])} ({customer['id']})"),
                ("credit_code", customer["credit_code"]),
                ("customer_contact", both(customer["contact"])),
            )
        ]

    def _item(self) -> list[Block]:
        document, say = self._document, self._say
        item, dates, issue = document["item"], document["dates"], self._report["issue"]
        return [
            self._pairs(
                ("item", item["name"]),
                ("revision", item["revision"]),
                ("description", say.both(item["description"])),
                ("condition", say.both(item["condition"])),
                ("sampling", say.both(document["sampling"])),
                ("received", dates["item_received_on"]),
                ("sampled", dates["sampled_on"]),
                (
                    "performed",
                    f"{say.instant(dates['performed_from'])} \N{EN DASH} {say.instant(dates['performed_to'])}",
                ),
                ("drafted", say.instant(dates["drafted_at"])),
                ("issued", self._words("not_issued") if issue is None else say.instant(issue["issued_at"])),
                ("environment", None if document["environment"] is None else say.both(document["environment"])),
            )
        ]

    def _method(self) -> list[Block]:
        document, words = self._document, self._words
        method, run = document["method"], document["run"]
        return [
            self._pairs(
                (
                    "criteria_set",
                    f"{self._say.both(method['title'])} ({method['criteria_set']}, {words('version')} {method['criteria_version']})",
                ),
                ("criteria_digest", method["criteria_digest"]),
                ("standard", None if method["standard"] is None else self._say.expression(method["standard"])),
                ("engine", method["engine"]),
                ("run", run["run"]),
                ("project", run["project"]),
                ("line", f"{self._say.both(run['line_name'])} ({run['line']})"),
                ("scene", words.known(run["scene"])),
                ("verification_kind", words.known(run["verification_kind"])),
                ("iteration", str(run["iteration"])),
                ("previous_run", run["previous_run"]),
                ("equipment", ", ".join(run["equipment"])),
                ("end_reason", run["end_reason"]),
            )
        ]

    def _summary(self) -> list[Block]:
        words = self._words
        rows = [
            [item["clause"], {"text": words(item["state"]), "state": item["state"]}, ", ".join(item["criteria"])]
            for item in self._document["clauses"]
        ]
        return [
            {
                "kind": "verdict",
                "label": words("verdict"),
                "word": self._document["verdict"],
                "text": words(self._document["verdict"]),
            },
            *([self._table((("clause", "2"), ("conformity", "3"), ("criteria", "9")), rows)] if rows else []),
        ]

    def _results(self) -> list[Block]:
        return [
            self._table(
                (
                    ("criterion", "5"),
                    ("requirement", "7"),
                    ("result", "6r"),
                    ("margin", "4r"),
                    ("rule", "4"),
                    ("conformity", "4"),
                ),
                [self._result(item) for item in self._document["results"]],
            ),
            *self._entries(),
        ]

    def _entries(self) -> list[Block]:
        """What people entered, with author and second person."""
        words, say = self._words, self._say
        rows: list[list[Cell | str]] = []
        for item in self._document["results"]:
            for entry in item["entered"]:
                value = say.agreed(entry["value"], entry["unit"])
                if entry["value"] is None:
                    value = words("passed") if entry["passed"] else words("not_passed")
                elif entry["uncertainty"] is not None:
                    value += f" \N{PLUS-MINUS SIGN} {say.agreed(entry['uncertainty'], entry['unit'])}"
                by = f"{entry['entered_by']}\n{say.instant(entry['at'])}"
                rows.append(
                    [
                        item["criterion"],
                        value,
                        by,
                        entry["confirmed_by"] or ABSENT,
                        {"text": entry["attachment"] or ABSENT, "state": "code"},
                    ]
                )
        columns = (
            ("criterion", "4"),
            ("entered_value", "4"),
            ("entered_by", "5"),
            ("confirmed_by", "3"),
            ("attachment", "6"),
        )
        return [self._table(columns, rows)] if rows else []

    def _result(self, item: Mapping[str, Any]) -> list[Cell | str]:
        say, words = self._say, self._words
        clause = f"{words('clause')} {item['clause']} · " if item["clause"] else ""
        margin = say.quantity(item["margin"], item["unit"])
        if item["kind"] == "data_quality" and item["margin"] is not None:
            margin = f"{share(item['margin'])}\n{words('least_left')}"
        if item["share"] is not None:
            margin += f"\n{words('of_tolerance', share=share(item['share']))}"
        word = str(item.get("level") or item["outcome"]).lower()
        reason = f"\n{words.of('reason', item['reason'])}" if item["reason"] else ""
        deviations = "".join(f"\n{words('deviation')} {name}" for name in item["deviations"])
        return [
            f"{say.both(item['title'])}\n{clause}{item['criterion']}\n{words('phase')} {self._phase_title(item['phase'])}",
            say.requirement(item["kind"], item["requirement"]),
            self._measured(item),
            margin,
            self._rule(item["decision"]),
            {"text": f"{words.known(word)}{reason}{deviations}", "state": word},
        ]

    def _phase_title(self, phase: str) -> str:
        titles = {known["id"]: self._say.both(known["title"]) for known in self._document["method"]["phases"]}
        return titles.get(phase, phase)

    def _measured(self, item: Mapping[str, Any]) -> str:
        """What was measured (7.8.2.1 m): the value itself, then where it was worst."""
        say, words = self._say, self._words
        worst = say.quantity(item["worst_value"], item.get("worst_unit", item["unit"]))
        at = "" if item["worst_at"] is None else f"{words('worst_at')} {say.instant(item['worst_at'])}"
        found = item.get("measured")
        if item["kind"] == "data_quality":
            lines = [
                f"{share(item['coverage'])} {words('covered')}",
                f"{words('longest_gap')} {say.duration(item['longest_gap'])}",
            ]
        elif found is not None:
            beside = item["kind"] not in SLACKS and item["worst_value"] is not None
            lines = [
                say.quantity(found["value"], found["unit"]),
                *([f"{words('worst_value')} {worst}"] if beside else []),
                at,
            ]
        elif item["kind"] in SLACKS and item["worst_value"] is not None:
            lines = [f"{worst} {words('left')}", at]
        else:
            lines = [worst, at]
        if item["time_out"] is not None and found != {"value": item["time_out"] / SECOND, "unit": "s"}:
            lines.append(f"{words('time_out')} {say.duration(item['time_out'])}")
        return "\n".join(line for line in lines if line)

    def _rule(self, decision: Mapping[str, Any]) -> str:
        """The name of the rule, and its parameters where the name does not hold them."""
        rule = str(decision["rule"])
        if rule == "simple":
            return self._words("rule_simple")
        if rule == "guard_band":
            return self._words("rule_guard_band", multiplier=self._say.expression(decision["multiplier"]))
        rest = [
            f"{self._words.of('field', name)} {self._say.expression(value)}"
            for name, value in sorted(decision.items())
            if name not in ("rule", "uncertainty") and value is not None
        ]
        return "; ".join([self._words.known(f"rule_{rule}").removeprefix("rule "), *rest])

    def _decision(self) -> list[Block]:
        words, say = self._words, self._say
        rows: list[list[Cell | str]] = []
        for item in self._document["results"]:
            for known in item["uncertainty"]:
                factor = (
                    "" if known["coverage_factor"] is None else f" (k = {say.expression(known['coverage_factor'])})"
                )
                due = known["calibration_due"] or ABSENT
                if known["calibration_valid"] is False:
                    due += f" ({words('expired')})"
                source = words("agreed") if known["source"] == "agreed" else known["source"]
                rows.append(
                    [
                        item["criterion"],
                        known["of"],
                        f"{say.agreed(known['expanded'], known['unit'])}{factor}",
                        source,
                        due,
                    ]
                )
        columns = (
            ("criterion", "4"),
            ("channel", "4"),
            ("uncertainty", "5r"),
            ("source", "5"),
            ("calibration_due", "4"),
        )
        day = to_rfc3339(self._document["dates"]["performed_from"])[:10]
        return [
            *(
                [self._table(columns, rows), self._text(words("calibration_day", day=day))]
                if rows
                else [self._text(words("no_uncertainty"))]
            ),
            self._text(say.both(self._document["statements"]["comparison"])),
        ]

    def _quality(self) -> list[Block]:
        streams = [
            [
                item["stream"],
                str(item["frames"]),
                str(item["rows"]),
                str(item["late_frames"]),
                f"{item['gaps']} ({item['missing_frames']})",
                ", ".join(f"{code} {count}" for code, count in sorted(item["quarantined"].items())) or "0",
                str(item["conflicts"]),
            ]
            for item in self._document["data_quality"]["streams"]
        ]
        criteria = [
            [
                item["criterion"],
                share(item["coverage"]),
                self._say.duration(item["longest_gap"]),
                str(item["samples"]),
                str(item["bad_samples"]),
            ]
            for item in self._document["results"]
        ]
        return [
            self._table(
                (("stream", "5"), ("frames", "2r"), ("rows", "2r"), ("late", "2r"), ("gaps", "4r"), ("quarantined", "4"),
                 ("conflicts", "3r")),
                streams,
            ),
            self._table(
                (("criterion", "5"), ("coverage", "3r"), ("longest_gap", "3r"), ("samples", "3r"), ("bad_samples", "3r")), criteria
            ),
        ]  # fmt: skip

    def _deviations(self) -> list[Block]:
        document, say, words = self._document, self._say, self._words
        rows = [
            [item["id"], item["criterion"] or ABSENT, words.known(item["kind"]), item["reason"],
             f"{item['recorded_by']}\n{say.instant(item['recorded_at'])}", f"{item['accepted_by']}\n{say.instant(item['accepted_at'])}"]
            for item in document["deviations"]
        ]  # fmt: skip
        columns = (
            ("deviation", "4"),
            ("criterion", "3"),
            ("kind", "3"),
            ("reason", "9"),
            ("recorded_by", "4"),
            ("accepted_by", "4"),
        )
        externals = "; ".join(f"{item['provider']}: {say.both(item['what'])}" for item in document["externals"])
        none = words("none")
        return [
            *([self._table(columns, rows)] if rows else []),
            self._pairs(
                *([] if rows else [("deviation", none)]),
                ("additions", none if document["additions"] is None else say.both(document["additions"])),
                ("externals", externals or none),
                ("opinions", none if document["opinions"] is None else say.both(document["opinions"])),
                ("remark", None if document["remark"] is None else say.both(document["remark"])),
            ),
        ]

    def _history(self) -> list[Block]:
        words = self._words
        titles = {phase["id"]: self._say.both(phase["title"]) for phase in self._document["method"]["phases"]}
        rows = []
        for item in self._document["run"]["history"]:
            what = (
                titles.get(item.get("phase", ""), "") or words.known(item["how"])
                if item.get("phase") or item.get("how")
                else ""
            )
            more = " · ".join(part for part in (what, item.get("reason", "")) if part)
            rows.append([self._say.instant(item.get("at")), words.known(item["type"]), more or ABSENT])
        return [self._table((("at", "4"), ("event", "3"), ("reason", "7")), rows), *self._phases(titles)]

    def _phases(self, titles: Mapping[str, str]) -> list[Block]:
        rows = [
            [
                titles[span["phase"]],
                self._say.instant(span["start"]),
                self._say.instant(span["end"]),
                self._words(f"by_{span['starts_by']}"),
            ]
            for span in self._document["run"].get("phases", ())
        ]
        columns = (("phase", "5"), ("phase_start", "4"), ("phase_end", "4"), ("begun", "3"))
        return [self._table(columns, rows)] if rows else []

    def _evidence(self) -> list[Block]:
        document, words = self._document, self._words
        evaluation = document["evaluation"]
        rows = [
            [part["stream"], str(part["registry_version"]), str(part["frames"]), str(part["rows"]), {"text": part["merkle_root"], "state": "code"}]
            for part in document["evidence"]["parts"]
            if part["part"] == "frames"
        ]  # fmt: skip
        return [
            self._pairs(
                ("evaluation", str(evaluation["number"])),
                ("evaluation_digest", evaluation["digest"]),
                ("inputs_digest", evaluation["inputs_digest"]),
                ("evidence_root", document["evidence"]["root"]),
                ("document_digest", self._report["digest"]),
            ),
            self._table(
                (("stream", "4"), ("registry_version", "2r"), ("frames", "2r"), ("rows", "2r"), ("merkle_root", "9")),
                rows,
            ),
            self._text(words("recompute", number=document["number"])),
        ]

    def _statements(self) -> list[Block]:
        statements = self._document["statements"]
        return [self._text(self._say.both(statements[name])) for name in ("items_only", "whole_only")]

    def _signed(self) -> list[Block]:
        rows: list[list[Cell | str]] = []
        for index, role in enumerate(self._document["signatures"]):
            made = self._signatures[index] if index < len(self._signatures) else None
            title = self._words(f"role_{role}")
            if made is None:
                rows.append([title, {"text": self._words("missing"), "state": "missing"}, ABSENT, ABSENT, ABSENT])
                continue
            rows.append(
                [title, made["name"], self._say.instant(made["signed_at"]), {"text": made["key"], "state": "code"},
                 {"text": made["signature"], "state": "code"}]
            )  # fmt: skip
        columns = (("role", "2"), ("name", "3"), ("signed_at", "3"), ("key", "5"), ("signature", "7"))
        return [self._table(columns, rows)]
