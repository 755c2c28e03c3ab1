"""The table of what became of each tensor when a training starts from trained networks."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vesselforge.generator.transfer.drafts import LOADED, NEW, RANDOM

ORDER = ("loaded", "adapted", "new", "unused")
HEAD = ("network", "what", "tensors", "how", "which")


@dataclass(frozen=True)
class Row:
    """Tensors of one network that shared a fate."""

    network: str
    what: str
    how: str
    names: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Every name is listed, save of those that were simply loaded."""
        whole = asdict(self) | {"count": len(self.names), "names": list(self.names)}
        if self.what == LOADED:
            del whole["names"]
        return whole


def rows_of(
    network: str, fates: Mapping[str, tuple[str, str]] | None, tensors: Iterable[str]
) -> list[Row]:
    """Group a network's tensors by fate; `fates` None: all are random."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    fates = dict.fromkeys(tensors, (NEW, RANDOM)) if fates is None else fates
    for name in tensors:
        groups[fates.get(name, (LOADED, ""))].append(name)
    for name, fate in fates.items():
        if name not in groups[fate]:
            groups[fate].append(name)
    rows = [Row(network, what, how, tuple(names)) for (what, how), names in groups.items()]
    return sorted(rows, key=lambda row: ORDER.index(row.what))


def lines_of(rows: Iterable[Row]) -> list[str]:
    """Return the table as lines of text, aligned."""
    cells = [HEAD]
    for row in rows:
        which = "" if row.what == LOADED else short(row.names)
        cells.append((row.network, row.what, str(len(row.names)), row.how, which))
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEAD))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def short(names: Iterable[str]) -> str:
    """Join names, those that differ in their block alone into one: `b{8,16}.conv0.weight`."""
    blocks: dict[str, list[str]] = defaultdict(list)
    for name in names:
        match = re.search(r"\bb(\d+)\.", name)
        key = name if match is None else name.replace(match[0], "b#.", 1)
        blocks[key].append("" if match is None else match[1])
    tails: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key, found in blocks.items():
        head, _, tail = key.partition("#.") if "#." in key else key.rpartition(".")
        tails[head, ",".join(found)].append(tail)
    return " ".join(_joined(head, found, ends) for (head, found), ends in tails.items())


def _joined(head: str, blocks: str, tails: list[str]) -> str:
    number = f"{{{blocks}}}" if "," in blocks.strip(",") else blocks.strip(",")
    end = tails[0] if len(tails) == 1 else f"{{{','.join(tails)}}}"
    return f"{head}{number}.{end}" if head else end
