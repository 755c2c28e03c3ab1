"""What a program gives to a public function is held against its annotations, before any work."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from os import PathLike
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from vesselforge.configs.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])
MOST_SHOWN = 80
"""Characters of a wrong value that a message repeats."""
WORDS = {
    str: "text",
    PathLike: "a path",
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    NoneType: "None",
}


def checked(function: F) -> F:
    """The function, which raises ConfigError for an argument of another type than it takes.

    Types of one argument in WORDS and names to choose from are checked so; what takes other types,
    an array say, is checked by the function itself.
    """
    signature = inspect.signature(function)

    @functools.cache
    def expected() -> dict[str, tuple[TypeAdapter[Any], str]]:
        hints = get_type_hints(function)
        said = {name: _in_words(hints[name]) for name in hints.keys() & signature.parameters.keys()}
        return {name: (TypeAdapter(hints[name]), words) for name, words in said.items() if words}

    @functools.wraps(function)
    def told(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        for name, (type_, words) in expected().items():
            if name in given.arguments:
                found = given.arguments[name]
                try:
                    given.arguments[name] = type_.validate_python(found)
                except ValidationError:
                    fault = f"{name}: found {found!r:.{MOST_SHOWN}}, expected {words}"
                    raise ConfigError(fault) from None
        return function(*given.args, **given.kwargs)

    return told  # type: ignore[return-value]


def _in_words(hint: Any) -> str:
    """`text, a path or None`; empty for a type that has no words here."""
    each = get_args(hint) if get_origin(hint) not in (None, Literal, PathLike) else (hint,)
    words = [_word(type_) for type_ in each]
    return " or ".join(words) if all(words) else ""


def _word(type_: Any) -> str:
    if get_origin(type_) is Literal:
        return f"one of {', '.join(get_args(type_))}"
    return WORDS.get(get_origin(type_) or type_, "")
