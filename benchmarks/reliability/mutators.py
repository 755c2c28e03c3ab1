"""Seeded damage to whole files: bytes, texts, JSON, YAML and CSV; `binary` has more.

A mutator is a function `(random, content) -> (content, what was done, certain)`; certain says that
no reader may accept the result, or else it may prove harmless.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import yaml

Mutated = tuple[bytes, str, bool]
Mutator = Callable[[Random, bytes], Mutated]

FOREIGN = (b"", b"\0", b"not what you think\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>",
           b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"PK\5\6" + bytes(18),
           b"\x80\x04]\x94.", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff", b"II*\0" + bytes(9),
           bytes(range(256)) * 8, "umlaut ä".encode("latin-1"))  # fmt: skip
STRANGE: tuple[Any, ...] = (
    None, True, "", "nan", "../../../etc/passwd", "/etc/passwd", "a\0b", "x" * 5000, -1, 0, 10**400,
    1e308, math.nan, math.inf, -math.inf, [], [None], {}, {"a": {"b": []}}, [[[[[1]]]]], 0.5,
)  # fmt: skip
"""Values that do not belong where they are put."""


def truncated(random: Random, content: bytes) -> Mutated:
    at = random.randrange(max(1, len(content) // 8), max(2, len(content) - 12))
    return content[:at], f"truncated to {at} of {len(content)} bytes", False


def flipped(random: Random, content: bytes) -> Mutated:
    changed = bytearray(content)
    count = random.choice((1, 8, 64, 512))
    for _ in range(count):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed), f"{count} bits flipped", False


def overwritten(random: Random, content: bytes) -> Mutated:
    start = random.randrange(len(content))
    size = random.randrange(1, max(2, len(content) // 4))
    filler = random.randbytes(size) if random.random() < 0.5 else bytes(size)
    whole = content[:start] + filler + content[start + size :]
    return whole, f"{size} bytes from {start} overwritten", False


def head_lost(random: Random, content: bytes) -> Mutated:
    lost = random.randrange(1, max(2, min(64, len(content))))
    return content[lost:], f"first {lost} bytes lost", False


def foreign(random: Random, content: bytes) -> Mutated:
    other = random.choice(FOREIGN)
    return other, f"replaced by {other[:12]!r}, {len(other)} bytes", True


BYTES: tuple[Mutator, ...] = (truncated, flipped, overwritten, head_lost, foreign)


# -- texts ----------------------------------------------------------------------------------------


def not_utf8(random: Random, content: bytes) -> Mutated:
    at = random.randrange(len(content) + 1)
    return content[:at] + b"\xff\xfe\x80" + content[at:], f"not UTF-8 at byte {at}", True


def nested(random: Random, content: bytes) -> Mutated:
    depth = random.choice((2_000, 100_000))
    return b"[" * depth, f"{depth} open brackets", True


def changed_value(random: Random, document: Any) -> tuple[Any, str]:
    """A deep copy with one value replaced, removed, added to or wrapped, and which."""
    whole = copy.deepcopy(document)
    places = list(_places(whole))
    path = random.choice(places)
    parent, key = _find(whole, path[:-1]), path[-1]
    shown = ".".join(map(str, path))
    way = random.choice(("replace", "replace", "remove", "wrap", "add", "text"))
    if way == "remove":
        del parent[key]
    elif way == "wrap":
        parent[key] = [parent[key]]
    elif way == "text":
        parent[key] = str(parent[key])[:200] + random.choice(("", "é", "\u202e", "\n", "'\"<b>"))
    elif way == "add" and isinstance(parent, dict):
        parent[random.choice(("unknown", "__class__", "", "a.b", "é"))] = random.choice(STRANGE)
    else:
        way, value = "replace", random.choice(STRANGE)
        parent[key] = copy.deepcopy(value)
        shown += f" by {value!r:.40}"
    return whole, f"{way} {shown}"


def _places(value: Any, before: tuple[Any, ...] = ()) -> Any:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, below in inner:
        yield (*before, key)
        if isinstance(below, dict | list) and below:
            yield from _places(below, (*before, key))


def _find(value: Any, path: Sequence[Any]) -> Any:
    for key in path:
        value = value[key]
    return value


def json_value(random: Random, content: bytes) -> Mutated:
    whole, what = changed_value(random, json.loads(content))
    return json.dumps(whole, indent=1).encode(), what, False


def json_root(random: Random, content: bytes) -> Mutated:
    whole = random.choice(("[]", "null", "3", '"text"', "NaN", "{}", '{"a": ', "{'a': 1}"))
    return whole.encode(), f"all of it {whole!r}", True


JSON: tuple[Mutator, ...] = (
    json_value, json_value, json_value, json_value, json_root, not_utf8, nested, truncated, foreign
)  # fmt: skip


def yaml_value(random: Random, content: bytes) -> Mutated:
    whole, what = changed_value(random, yaml.safe_load(content))
    try:
        return yaml.safe_dump(whole, allow_unicode=True).encode(), what, False
    except yaml.YAMLError:  # a lone surrogate and the like
        return yaml_root(random, content)


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
YAML_TEXTS = (
    LAUGHS, "name: [", "\tname: x", "name: x\nname: y: z", "- a\n- b\n", "just words",
    "name: !!python/object/apply:os.system ['true']\n", "&a [*a]", "name: *nowhere", "? [a]\n: b",
    "1: 2\n", "null: 3\n", "name: x\nname: y\n", "name: !!binary '####'\n", "name: 'x\n",
    "{a: &b {c: *b}}",
    "%YAML 9.9\n---\nname: x", "name: " + "9" * 5000, "a: b\n---\nc: d\n",
)  # fmt: skip


def yaml_root(random: Random, content: bytes) -> Mutated:
    text = random.choice(YAML_TEXTS)
    return text.encode(), f"all of it {text[:30]!r}", True


def yaml_line(random: Random, content: bytes) -> Mutated:
    lines = content.decode().splitlines()
    at = random.randrange(len(lines))
    added = random.choice(("unknown_key: 1", "  : :", "\tx: 1", "]", "teacher: 3", "sample: [1]"))
    lines.insert(at, added)
    return "\n".join(lines).encode(), f"line {at + 1} {added!r} added", False


YAML: tuple[Mutator, ...] = (
    yaml_value, yaml_value, yaml_value, yaml_value, yaml_root, yaml_root, yaml_line, not_utf8,
    nested,
)  # fmt: skip


MISREAD = (
    ("  steps: {n}\n", "a key twice"), ("  lr: 010:30\n", "a number to the base of 60"),
    ("  batch: yes\n", "a word for a number"), ("  crop: 0x20\n", "a number of base 16"),
    ("\tsteps: 3\n", "a tab"), ("---\nname: other\n", "a second document"),
    ("data: {name: phantom}\n", "a group twice"),
)  # fmt: skip
"""Lines that other readers of YAML take for something, after the group `teacher`."""


def yaml_misread(random: Random, content: bytes) -> Mutated:
    line, what = random.choice(MISREAD)
    values = yaml.safe_load(content)
    teacher = {k: v for k, v in values.pop("teacher").items() if k not in ("lr", "batch", "crop")}
    text = yaml.safe_dump(values) + yaml.safe_dump({"teacher": teacher})
    return (text + line.replace("{n}", str(random.randrange(9)))).encode(), what, True


def unknown_excluded(random: Random, content: bytes) -> Mutated:
    values = yaml.safe_load(content)
    name = random.choice(("nobody", "01", "TRAIN-0000", "train-0000 ", ""))
    values["data"]["exclude"] = [name]
    return yaml.safe_dump(values).encode(), f"excludes {name!r}", True


YAML_MISREAD: tuple[Mutator, ...] = (yaml_misread, yaml_misread, yaml_misread, unknown_excluded)


def csv_cell(random: Random, content: bytes) -> Mutated:
    lines = content.decode().splitlines()
    at = random.randrange(len(lines))
    cells = lines[at].split(",")
    value = random.choice(
        ("", "nan", "inf", "-1", "9" * 400, "a" * 200_000, '"', "1,2", "../x", "\0")
    )
    cells[random.randrange(len(cells))] = value
    lines[at] = ",".join(cells)
    return "\n".join(lines).encode(), f"a cell of line {at + 1} is {value[:9]!r}", False


def csv_line(random: Random, content: bytes) -> Mutated:
    lines = content.decode().splitlines()
    at = random.randrange(len(lines))
    if random.random() < 0.5:
        lines.insert(at, lines[at])
        return "\n".join(lines).encode(), f"line {at + 1} twice", False
    del lines[at]
    return "\n".join(lines).encode(), f"line {at + 1} lost", False


CSV: tuple[Mutator, ...] = (csv_cell, csv_cell, csv_line, not_utf8, foreign)
