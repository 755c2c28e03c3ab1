"""What all settings share: no unknown keys, no later changes, and fields that are not identity."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    field_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

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
        allow_inf_nan=False,
    )

    @field_validator("*")
    @classmethod
    def _from_home(cls, value: Any) -> Any:
        return expanded(value) if isinstance(value, Path) else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Forms post the default of a group that was left out: it holds what makes it that group,
        and no value as if somebody had chosen it."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, field in cls.model_fields.items():
            if (given := as_given(field.default)) != field.default:
                properties[name]["default"] = given
        return schema


def as_given(value: Any) -> Any:
    """Settings as they were given, plain values that can be JSON: nothing that a default, a preset
    or another group filled in. Inside lists and dicts, too; anything else as it is."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, list):
        return [as_given(inner) for inner in value]
    if isinstance(value, dict):
        return {name: as_given(inner) for name, inner in value.items()}
    return value


def as_written(value: object) -> str:
    """A value in a message: as `repr`, but backslashes, of a regular expression say, are as many as
    were typed."""
    return repr(value).replace(r"\\", "\\")


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
