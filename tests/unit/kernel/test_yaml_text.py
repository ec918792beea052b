"""YAML that cannot be read is one kind of error, whatever its reader stumbled on."""

from __future__ import annotations

import pytest
import yaml

from shared.kernel.yaml_text import read_yaml_text

BAD = ["at: 2026-02-30", "n: " + "9" * 5_000, "9" * 5_000 + ": n"]


@pytest.mark.parametrize("text", [*BAD, "[" * 20_000, "a: ["])
def test_what_the_reader_stumbles_on_is_an_error_of_yaml(text: str) -> None:  # G14
    with pytest.raises(yaml.YAMLError):
        read_yaml_text(text)


def test_a_text_that_grows_as_it_is_read_is_refused_at_once() -> (
    None
):  # G14: aliases of aliases, of themselves, merges of merges
    laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    for text in (laughs, "a: &a [*a]", "a: &a {x: 1}\nb: {<<: *a}"):
        with pytest.raises(yaml.YAMLError):
            read_yaml_text(text)
    assert read_yaml_text("a: &a [1]\nb: *a") == {"a": [1], "b": [1]}
