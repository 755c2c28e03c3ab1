"""What all settings share: no unknown keys, no later changes, fields that are not identity; and
groups that something else fills in where they say nothing: a preset, the teacher."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    field_validator,
    model_validator,
)
from pydantic.functional_validators import ModelWrapValidatorHandler
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


class Beside(NamedTuple):
    """What a group of settings is made from: what was given, and what fills in the rest."""

    given: Any
    filling: Mapping[str, Any]


class Filled(Settings):
    """A group whose fields, where they are left out or null, something else fills in.

    The values are then there, but do not count as set: `model_dump(exclude_unset=True)` repeats
    what was given, whichever way it came. Forms, which post every field, show these empty.
    """

    @classmethod
    def filling(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The values of fields that are not in `given`, which nobody has checked yet."""
        return {}

    @classmethod
    def fillable(cls) -> Collection[str]:
        """The fields that something else may fill in."""
        return cls.model_fields.keys()

    @classmethod
    def otherwise(cls, name: str) -> str:
        """What a field that is left empty means, for people."""
        raise NotImplementedError

    @model_validator(mode="wrap")
    @classmethod
    def _fill_in(cls, values: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        beside = values if isinstance(values, Beside) else Beside(values, {})
        if not isinstance(beside.given, dict):
            return handler(beside.given)
        given = {name: value for name, value in beside.given.items() if value is not None}
        made = handler({**beside.filling, **cls.filling(given), **given})
        made.model_fields_set.intersection_update(given)
        return made

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = super().__get_pydantic_json_schema__(core_schema, handler)
        properties = handler.resolve_ref_schema(schema)["properties"]
        for name in cls.fillable():
            properties[name] = _or_empty(properties[name], cls.otherwise(name))
        return schema


def _or_empty(field: JsonSchemaValue, otherwise: str) -> JsonSchemaValue:
    """The schema of a field that may be left empty, and is so at first."""
    outer = {key: field[key] for key in ("title", "description") if key in field}
    outer["description"] = f"{outer['description']}; left empty: {otherwise}"
    inner = {key: value for key, value in field.items() if key not in {*outer, "default"}}
    kinds = [kind for kind in inner.get("anyOf", [inner]) if kind.get("type") != "null"]
    return outer | {"anyOf": [*kinds, {"type": "null"}], "default": None}


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
