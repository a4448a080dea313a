"""Many small cases in one test: as tests of their own they would take longer to count than to run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

Test = Callable[..., None]


def each(names: str | tuple[str, ...], cases: Iterable[Any]) -> Callable[[Test], Test]:
    """As `pytest.mark.parametrize`, in one test; what fails says at which case."""
    named, wanted = (names,) if isinstance(names, str) else names, list(cases)
    assert wanted, "no cases"

    def decorate(test: Test) -> Test:
        @wraps(test)
        def every(**given: Any) -> None:
            for case in wanted:
                values = (case,) if isinstance(names, str) else case
                try:
                    test(**given, **dict(zip(named, values, strict=True)))
                except BaseException as error:
                    error.add_note(f"with {', '.join(named)} = {case!r}")
                    raise

        signature = inspect.signature(test)
        own = [parameter for name, parameter in signature.parameters.items() if name not in named]
        every.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]
        return every

    return decorate
