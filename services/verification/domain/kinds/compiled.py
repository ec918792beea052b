"""How kernels are compiled: Numba, cached on disk, never with `fastmath` (it would let the compiler reassociate sums).

Division follows IEEE 754 instead of raising, which saves a branch; every kernel sees to its divisors itself.

Numba's cache looks at a function's own file alone. Whoever changes what kernels of other files call (`clock`, `is_held`, `value_of`,
`percentile_of`, the windows of formulas) deletes the `*.nbi` and `*.nbc` files, or judges with the old code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The compiled function; its `py_func` is the same code interpreted."""
    return cast("Callable[P, R]", njit(cache=True, fastmath=False, error_model="numpy")(function))
