"""What all settings share: no unknown keys, no later changes, and fields that are not identity."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

T = TypeVar("T")
Device = Literal["auto", "cpu", "cuda"]


class Settings(BaseModel):
    """Base of every settings model: unknown keys are errors, values are frozen.

    What a field is stands in its own line or, as a docstring, below it; people read it in forms.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        use_attribute_docstrings=True,
        coerce_numbers_to_str=True,  # a name may be a number: `plain_yaml` keeps how it is written
    )

    @field_validator("*")
    @classmethod
    def _from_home(cls, value: Any) -> Any:
        return expanded(value) if isinstance(value, Path) else value


def expanded(path: Path | str) -> Path:
    """The path, with the user's folder for a `~` that it begins with."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # `~name`, and there is no such user
        return Path(path)


def _each_once(values: list[T]) -> list[T]:
    if len(set(values)) < len(values):
        raise ValueError(f"found a value twice in {values}; give each once")
    return values


Each = Annotated[list[T], AfterValidator(_each_once)]
"""A list of different values."""


def operational(default: Any, **kwargs: Any) -> Any:
    """A field that changes how the work is done, not its result: left out of artifact digests."""
    return Field(default, json_schema_extra={"operational": True}, **kwargs)
