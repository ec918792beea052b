"""What does not fit in an evidence pack, named as closely as the data allow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FindingKind(StrEnum):
    STRUCTURE = "structure"
    BYTE = "byte"
    PIECE = "piece"
    MEMBER = "member"
    ROW = "row"
    FRAME = "frame"
    VALUE = "value"
    SIGNATURE = "signature"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not fit. `offset` counts from the pack's first byte, `member_offset` from the member's; -1: not a byte.

    `where` names the place in words: a member, `stream boot seq row`, a criterion's field, or `position role` of a signature.
    """

    kind: FindingKind
    where: str
    detail: str
    offset: int = -1
    member_offset: int = -1

    def text(self) -> str:
        place = "" if self.offset < 0 else f", byte {self.offset} of the pack"
        inside = "" if self.member_offset < 0 else f" (byte {self.member_offset} of the member)"
        return f"{self.kind} {self.where}{place}{inside}: {self.detail}"
