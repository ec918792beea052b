"""Random criteria of every kind, made from the model itself: whatever fields a kind has, some values of them."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import assume
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from services.verification.domain import criteria_model
from services.verification.domain.criteria import earlier, formulas, parts

UNITS = st.sampled_from(
    [
        "kPa",
        "K/min",
        "%",
        "mol%/h",
        "kW.h",
        "1",
        "/s",
        "10*3/ul",
        "m3",
        "[degF]",
        "(kPa)/(m)",
        "[in_i'H2O]",
        "'",
        "''",
        "k\nPa",
        '"',
    ]
)
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False) | st.integers(-100, 100).map(float) | st.just(2.5e-7)
PATHS = st.sampled_from(["a.x", "reactor_2.pressure", "product-analyser.g", "a.b.c", "weird path.x", "9.y", "is.in"])
TEXTS = st.sampled_from(
    ["1e3", "\x85\u2028", "plain", 'with "quotes"', "中文 (甲)", "back\\slash", "# no remark", "true"]
)
QUANTITIES = st.builds(parts.Quantity, value=NUMBERS, unit=UNITS)


def _signals() -> st.SearchStrategy[Any]:
    constant = st.builds(parts.Constant, op=st.just("constant"), value=NUMBERS, unit=UNITS)

    def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        several = st.lists(inner, min_size=2, max_size=3).map(tuple)
        two = st.tuples(inner, inner)
        terms = st.lists(st.builds(parts.Term, factor=NUMBERS, of=inner), min_size=1, max_size=3).map(tuple)
        return st.one_of(
            st.builds(parts.Sum, op=st.just("sum"), of=several),
            st.builds(parts.Difference, op=st.just("difference"), of=two),
            st.builds(parts.Ratio, op=st.just("ratio"), of=two),
            st.builds(parts.Scale, op=st.just("scale"), factor=NUMBERS, of=inner),
            st.builds(parts.Absolute, op=st.just("absolute"), of=inner),
            st.builds(parts.Linear, op=st.just("linear"), terms=terms),
        )

    return st.recursive(PATHS | constant, grown, max_leaves=5)


SIGNALS = _signals()


def _formulas() -> st.SearchStrategy[Any]:
    within = st.none() | st.builds(formulas.Interval, after=QUANTITIES, upto=QUANTITIES)
    leaves = st.builds(
        formulas.Compare,
        op=st.sampled_from(["<=", "<", ">=", ">"]),
        left=SIGNALS,
        right=QUANTITIES | SIGNALS,
        scale=st.none() | QUANTITIES,
    ) | st.builds(
        formulas.Is,
        op=st.just("is"),
        channel=PATHS,
        code=st.booleans() | st.integers(-3, 9) | TEXTS,
    )

    def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        several = st.lists(inner, min_size=2, max_size=3).map(tuple)
        two = st.tuples(inner, inner)
        unary = st.sampled_from(["always", "eventually", "historically", "once"])
        return st.one_of(
            st.builds(formulas.Not, op=st.just("not"), of=inner),
            st.builds(formulas.And, op=st.just("and"), of=several),
            st.builds(formulas.Or, op=st.just("or"), of=several),
            st.builds(formulas.Implies, op=st.just("implies"), of=two),
            st.builds(formulas.Edge, op=st.sampled_from(["rise", "fall"]), of=inner),
            st.builds(formulas.Unary, op=unary, of=inner, within=within),
            st.builds(formulas.Binary, op=st.sampled_from(["until", "since"]), of=two, within=within),
        )

    return st.recursive(leaves, grown, max_leaves=5)


FORMULAS = _formulas()


@st.composite
def _references(draw: st.DrawFn) -> earlier.Reference:
    points = draw(st.lists(st.tuples(NUMBERS, NUMBERS.map(abs)), min_size=1, max_size=4))
    return earlier.Reference(
        step=draw(QUANTITIES),
        unit=draw(UNITS),
        mean=tuple(mean for mean, _ in points),
        sd=tuple(sd for _, sd in points),
        runs=draw(st.sampled_from([(), ("run-1", "9.b")])),
    )


REFERENCES = _references()
CLASSES: tuple[type[BaseModel], ...] = tuple(get_args(get_args(criteria_model.Criterion)[0]))


@st.composite
def criteria(draw: st.DrawFn, kind: type[BaseModel]) -> Any:
    """A criterion of a kind, with any of its optional fields. What its own validators refuse is drawn again."""
    facts = {name: draw(_field(name, field)) for name, field in kind.model_fields.items() if draw(_wanted(field))}
    if facts["kind"] == "window_statistics":
        _of_one_statistic(facts)
    try:
        return kind.model_validate(facts)
    except ValidationError:
        assume(False)


def _of_one_statistic(facts: dict[str, Any]) -> None:
    """The fields that go with the statistic and its windows, and no others."""
    quantity = parts.Quantity(value=2.0, unit="kPa")
    facts.setdefault("high", quantity)
    for name, fits in (
        ("window", facts.get("windows", "phase") != "phase"),
        ("percentile", facts["statistic"] == "percentile"),
        ("upper_spec", facts["statistic"] == "cpk"),
        ("lower_spec", False),
    ):
        facts.pop(name, None)
        if fits:
            facts[name] = 9.5 if name == "percentile" else quantity


def _wanted(field: FieldInfo) -> st.SearchStrategy[bool]:
    return st.just(True) if field.is_required() else st.booleans()


def _field(name: str, field: FieldInfo) -> st.SearchStrategy[Any]:
    if name == "id":
        return st.sampled_from(["c1", "9-a.b", "in", "pressure_limit"])
    if name == "clause":
        return TEXTS
    if name == "phase":
        return st.just("p")
    if not field.metadata or get_origin(field.annotation) is tuple:
        return of(field.annotation)
    return of(Annotated[(field.annotation, *field.metadata)])


def of(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of an annotation of the model."""
    if annotation == parts.Signal:
        return SIGNALS
    if annotation == formulas.Formula or formulas.Compare in get_args(annotation):
        return FORMULAS
    if annotation is parts.Quantity:
        return QUANTITIES
    if annotation is earlier.Reference:
        return REFERENCES
    if annotation is parts.Title:
        return st.builds(parts.Title, en=TEXTS, zh=TEXTS)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of(*(of(item) for item in arguments))
    if annotation is type(None):
        return st.none()
    if origin is tuple:
        return st.lists(of(arguments[0]), min_size=2, max_size=3).map(tuple)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _model(annotation)
    return _scalar(annotation)


def _model(kind: type[BaseModel]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {}, optional={name: _field(name, field) for name, field in kind.model_fields.items()}
    ).map(lambda facts: _valid(kind, facts))


def _valid(kind: type[BaseModel], facts: dict[str, Any]) -> Any:
    try:
        return kind.model_validate(facts)
    except ValidationError:
        return kind()


def _scalar(annotation: Any) -> st.SearchStrategy[Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)

    def fits(value: Any) -> bool:
        try:
            adapter.validate_python(value)
        except ValidationError:
            return False
        return True

    values: list[Any] = [*range(-1, 12), 0.5, 0.75, 0.9, 0.95, 1.5, 60.0, "a.x", "product-analyser.g", "word", True]
    fitting = [value for value in values if fits(value)]
    return st.sampled_from(fitting)
