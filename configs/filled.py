"""Groups of settings that something else fills in where they say nothing: a preset, the teacher."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from pydantic import GetJsonSchemaHandler, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from vesselforge.configs.base import Settings


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
