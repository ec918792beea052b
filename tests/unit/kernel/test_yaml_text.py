"""YAML that cannot be read is one kind of error, whatever its reader stumbled on."""

from __future__ import annotations

import pytest
import yaml

from services.verification.domain.criteria_model import read_criteria
from shared.kernel.errors import Malformed
from shared.kernel.yaml_text import read_yaml_text

BAD = ["at: 2026-02-30", "n: " + "9" * 5_000, "9" * 5_000 + ": n"]


@pytest.mark.parametrize("text", [*BAD, "[" * 20_000, "a: ["])
def test_what_the_reader_stumbles_on_is_an_error_of_yaml(text: str) -> None:  # G14
    with pytest.raises(yaml.YAMLError):
        read_yaml_text(text)


@pytest.mark.parametrize("text", BAD)
def test_a_criteria_file_names_the_line_of_such_a_value(text: str) -> None:  # V-8, G14
    with pytest.raises(Malformed) as refused:
        read_criteria(f"id: a\n{text}\n")
    assert (refused.value.code, refused.value.extra["line"]) == ("criteria_malformed", 2)
