"""Every setting, from the JSON schema that also makes Prefect's forms: one table a group."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from cells import cell, paragraphs

from vesselforge.configs.settings import PipelineConfig
from vesselforge.configs.study import StudyConfig

Schema = dict[str, Any]
ROOTS = {"A run": PipelineConfig, "A study": StudyConfig}
KINDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true, false"}
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def settings() -> str:
    """Markdown: what a run has, what a study has, then every group that these name."""
    schemas = {title: model.model_json_schema() for title, model in ROOTS.items()}
    groups = {name: g for schema in schemas.values() for name, g in schema["$defs"].items()}
    text = "".join(_section(f"## {title}", schema) for title, schema in schemas.items())
    for name, places in _places(schemas, groups).items():
        title = ", ".join(f"`{place}`" for place in places)
        if "kind" in groups[name]["properties"]:
            title += f": {groups[name]['properties']['kind']['const']}"
        if len(where := [root for root, schema in schemas.items() if name in schema["$defs"]]) == 1:
            title += f" ({where[0].lower()})"
        about = "\n\n".join(paragraphs(groups[name].get("description", "")))
        text += _section(f"## {title} {{: #{name} }}\n\n{about}", groups[name])
    return text


def _places(schemas: dict[str, Schema], groups: dict[str, Schema]) -> dict[str, list[str]]:
    """Group → where it stands, as dotted names; groups in the order in which they are met."""
    found: dict[str, list[str]] = {}

    def look(schema: Schema, before: str) -> None:
        for setting, field in schema["properties"].items():
            for group, suffix in _groups(field):
                place = f"{before}{setting}{suffix}"
                if place not in found.setdefault(group, []):
                    found[group].append(place)
                    look(groups[group], f"{place}.")

    for schema in schemas.values():
        look(schema, "")
    return found


def _groups(field: Schema) -> Iterator[tuple[str, str]]:
    """The groups that a setting holds, with what stands behind its name to get there."""
    if "$ref" in field:
        yield _group(field), ""
    for part in (*field.get("anyOf", ()), *field.get("oneOf", ())):
        yield from _groups(part)
    for key, suffix in (("items", "[…]"), ("additionalProperties", ".NAME")):
        if isinstance(inner := field.get(key), dict):
            for group, further in _groups(inner):
                yield group, suffix + further


def _group(field: Schema) -> str:
    return str(field["$ref"].rpartition("/")[2])


def _section(head: str, schema: Schema) -> str:
    rows = "".join(
        f"| `{name}` | {cell(field.get('description', ''))} | {_values(field)} | "
        f"{_default(field)} |\n"
        for name, field in schema["properties"].items()
    )
    return f"\n{head}\n\n| setting | is | values | default |\n| --- | --- | --- | --- |\n{rows}"


def _values(field: Schema) -> str:
    """What a setting may be, with its range."""
    if "discriminator" in field:
        kinds = field["discriminator"]["mapping"].items()
        return ", ".join(f"[`{kind}`](#{_group({'$ref': ref})})" for kind, ref in kinds)
    if kinds := field.get("anyOf", field.get("oneOf")):
        return ", ".join(_values(kind) for kind in kinds if kind.get("type") != "null")
    if "$ref" in field:
        return f"[a group](#{_group(field)})"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if "prefixItems" in field:
        return f"[{'; '.join(_values(kind) for kind in field['prefixItems'])}]"
    if field["type"] == "array":
        return f"list of {_values(field['items'])}"
    if field["type"] == "object":
        return f"NAME: {_values(field['additionalProperties'])}"
    kind = "path" if field.get("format") == "path" else KINDS[field["type"]]
    limits = [f"{sign} {field[limit]:g}" for limit, sign in LIMITS.items() if limit in field]
    if "multipleOf" in field:
        limits.append(f"a multiple of {field['multipleOf']}")
    return cell(f"{kind} {', '.join(limits)}".strip())


def _default(field: Schema) -> str:
    value = field.get("default", "required")
    if value == "required" or value in (None, {}, []):
        return "–" if "default" in field else "required"
    if isinstance(value, dict):  # of a group: what makes it that group
        return ", ".join(f"`{part}`" for part in value.values())
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"
