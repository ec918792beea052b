"""The text form: the model to text and back loses nothing, for every kind there is (V-5)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from services.verification.domain.criteria.formulas import Formula
from services.verification.domain.criteria.parts import Signal
from services.verification.domain.criteria.reading import read_formula
from services.verification.domain.criteria.writing import formula_text, set_text, signal_text
from services.verification.domain.criteria_model import KINDS, CriteriaSet, load_criteria
from tests.property.criteria_documents import CLASSES, FORMULAS, QUANTITIES, SIGNALS, TEXTS, criteria


def kind_of(model: Any) -> str:
    [kind] = model.model_fields["kind"].annotation.__args__
    return str(kind)


@pytest.mark.parametrize("model", CLASSES, ids=kind_of)
@settings(max_examples=40, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(data=st.data())
def test_a_set_survives_the_way_to_text_and_back(model: Any, data: st.DataObject) -> None:  # V-5
    criterion = data.draw(criteria(model))
    title = {"en": data.draw(TEXTS), "zh": data.draw(TEXTS)}
    phases = [{"id": "p", "title": title, "planned": data.draw(st.none() | QUANTITIES)}]
    facts = {"id": "a-set", "version": 3, "title": title, "phases": phases, "criteria": [criterion]}
    whole = CriteriaSet.model_validate(facts)
    text = set_text(whole)
    again = load_criteria(text)
    assert again == whole
    assert again.digest() == whole.digest()
    assert set_text(again) == text


@given(SIGNALS)
def test_arithmetic_survives(signal: Any) -> None:  # V-5
    adapter: TypeAdapter[Any] = TypeAdapter(Signal)
    assert adapter.validate_python(read_formula(signal_text(signal))) == signal


@given(FORMULAS)
def test_a_formula_survives(formula: Any) -> None:  # V-5
    adapter: TypeAdapter[Any] = TypeAdapter(Formula)
    assert adapter.validate_python(read_formula(formula_text(formula))) == formula


def test_every_kind_is_tried() -> None:  # V-5
    assert {kind_of(model) for model in CLASSES} == set(KINDS)
