"""What Prefect's page posts when somebody opens a deployment's form and presses Submit.

Both of its interfaces (3.8, SchemaFormProperty) do the same: a property without a value takes the
whole default of the schema, then every property inside a group likewise. Of several kinds of value
the form shows the one that fits. What it has no fields for it edits as JSON, and leaves as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNSET: Any = object()
KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def posted(schema: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the new run. schema: the deployment's `parameter_openapi_schema`."""
    return _group(schema, parameters, schema["definitions"])


def _group(
    schema: Mapping[str, Any], values: Mapping[str, Any], known: Mapping[str, Any]
) -> dict[str, Any]:
    shown = {
        name: _value(field, values.get(name, UNSET), known)
        for name, field in schema["properties"].items()
    }
    return {**values, **{name: value for name, value in shown.items() if value is not UNSET}}


def _value(field: Mapping[str, Any], value: Any, known: Mapping[str, Any]) -> Any:
    field = _resolved(field, known)
    if value is UNSET:
        value = field.get("default", UNSET)
    if "anyOf" in field:
        kinds = [_resolved(kind, known) for kind in field["anyOf"]]
        fitting = [kind for kind in kinds if _fits(kind, value)]
        return _value(fitting[0], value, known) if fitting else value
    if field.get("type") == "object" and field.get("properties"):
        return _group(field, {} if value is UNSET else value, known)
    if field.get("type") == "array" and isinstance(value, list) and "items" in field:
        return [_value(field["items"], each, known) for each in value]
    return False if value is UNSET and field.get("type") == "boolean" else value


def _resolved(field: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in field:
        return field
    return {**known[field["$ref"].rpartition("/")[2]], **field}


def _fits(kind: Mapping[str, Any], value: Any) -> bool:
    if isinstance(value, bool):
        return kind.get("type") == "boolean"
    return isinstance(value, KINDS.get(kind.get("type", ""), ()))
