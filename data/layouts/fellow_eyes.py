"""Names that look like both eyes of one patient, and the setting that keeps them together."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

LEFT = {"left", "l", "os", "le"}
KINDS = ({"left", "right"}, {"od", "os"}, {"le", "re"}, {"l", "r"})
SIDE = re.compile(
    r"((?<![^\W\d_])(?i:left|right|od|os|le|re|l|r)|(?<=[a-z])(?:Left|Right|OD|OS|LE|RE|L|R))"
    r"(?![^\W\d_])"
)
"""A side of the body: a word among what are no letters, or with a capital after a small letter."""
CANDIDATES = (
    r"^(.+?)[-_. ]?(?:{sides})?$",
    r"^(?:(?:{sides})(?![A-Za-z])[-_. ]?)?(.+)$",
    r"^(.+?)(?:[-_. ]?(?:{sides})[-_. ].*)?$",
    r"(?:{sides})[-_. ]?(.+)$",
)
"""Values of data.group: the side at the end, at the beginning, before a visit, after the same word
in all names."""

Pair = tuple[str, str]


def fellow_eyes(splits: Mapping[str, str]) -> str:
    """A warning that names look like fellow eyes in different splits, with the value of data.group
    that keeps them together; empty where there are none. splits: identifier → split."""
    sides, pairs = _pairs(splits)
    apart = [pair for pair in pairs if splits[pair[0]] != splits[pair[1]]]
    if not apart:
        return ""
    (one, other), value = apart[0], _suggested(splits, sides, pairs)
    more = f", and {len(apart) - 1} more such pairs do" if len(apart) > 1 else ""
    setting = f"set data.group: '{value}'" if value else "list patients as `group` in splits.csv"
    return (
        f"{one!r} ({splits[one]}) and {other!r} ({splits[other]}) look like two eyes of one "
        f"patient{more}: scores are too good where training has seen the other eye; {setting} to "
        "keep them together, or data.group: '(.+)' if every image is a patient of its own"
    )


def group_of_eyes(ids: Collection[str]) -> str:
    """The value of data.group that keeps together what looks like fellow eyes; empty where nothing
    does, or no value would."""
    sides, pairs = _pairs(ids)
    return _suggested(ids, sides, pairs) if pairs else ""


def _pairs(ids: Collection[str]) -> tuple[list[str], list[Pair]]:
    """The words for sides as written, and the pairs of names that differ in nothing else."""
    found: dict[tuple[int, str, str], dict[bool, tuple[str, str]]] = {}
    for id_ in sorted(ids):
        for match in SIDE.finditer(id_):
            word = match[1].lower()
            kind = next(n for n, words in enumerate(KINDS) if word in words)
            rest = (kind, id_[: match.start()], id_[match.end() :])
            found.setdefault(rest, {})[word in LEFT] = (id_, match[1])
    both = [sides for sides in found.values() if len(sides) == 2]
    words = sorted({word for sides in both for _, word in sides.values()})
    return words, [(sides[True][0], sides[False][0]) for sides in both]


def _suggested(ids: Collection[str], sides: Collection[str], pairs: Collection[Pair]) -> str:
    """The value that finds a group in every name, the same one in each pair, and the most groups;
    empty where none does."""
    best, most = "", 1
    for candidate in CANDIDATES:
        value = candidate.format(sides="|".join(sides))
        matches = {id_: re.search(value, id_) for id_ in ids}
        groups = {id_: match[1] for id_, match in matches.items() if match}
        joined = all(one in groups and groups[one] == groups.get(other) for one, other in pairs)
        if len(groups) == len(ids) and joined and len(set(groups.values())) > most:
            best, most = value, len(set(groups.values()))
    return best
