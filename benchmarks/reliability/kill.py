"""Kill test: `kill -9` at random moments of a small pipeline, then the same command once more.

    python -m benchmarks.reliability.kill [--kills 60] [--served 10] [--seed 0]
                                          [--folder DIR] [--json FILE]

Every kill hits a run in which one step, sometimes all from it on, has to be done. The victims are
the whole process family, the command alone, its stage's process alone or the embedded Prefect
server alone; of `--served` runs under `vesselforge serve` the server, the worker or the flow's
process.
Then no process may be left, nothing half-written visible, and the same command has to complete
with files that equal, byte for byte, those of a run that nobody disturbed. Linux.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.reliability import kill_local, kill_served
from benchmarks.reliability.processes import stoppable
from benchmarks.reliability.tables import facts, markdown, write
from benchmarks.reliability.turns import Reference, Turn

Row = dict[str, Any]


def plan(kills: int, served: int, rng: random.Random, steps: list[str]) -> Iterator[Turn]:
    """Yield the kills: every step about equally often, in an order that the seed decides."""
    local = kills - served
    targets = shuffled(kill_local.targets(steps), local, rng)
    victims = shuffled(kill_local.VICTIMS, local, rng)
    for number, (target, victim) in enumerate(zip(targets, victims, strict=True)):
        yield Turn(target, victim, rng.random(), whole=number % kill_local.WHOLE_EVERY == 0)
    targets = shuffled(steps, served, rng)
    victims = shuffled(kill_served.VICTIMS, served, rng)
    for target, victim in zip(targets, victims, strict=True):
        yield Turn(target, victim, rng.random(), served=True)


def shuffled(values: list[str], count: int, rng: random.Random) -> list[str]:
    """So many of them, each as often as the others or once more."""
    found: list[str] = []
    while len(found) < count:
        found += rng.sample(values, len(values))
    return found[:count]


def summary(rows: list[Row]) -> list[Row]:
    """One line a step."""
    table = []
    for target in dict.fromkeys(row["target"] for row in rows):
        mine = [row for row in rows if row["target"] == target]
        table.append(_line(target, mine))
    return [*table, _line("all", rows)]


def by_victim(rows: list[Row]) -> list[Row]:
    """One line a victim."""
    found = dict.fromkeys((row["served"], row["victim"]) for row in rows)
    return [
        _line(f"serve: {victim}" if served else victim,
              [row for row in rows if (row["served"], row["victim"]) == (served, victim)],
              "killed")
        for served, victim in found
    ]  # fmt: skip


def _line(name: str, rows: list[Row], first: str = "killed during") -> Row:
    return {
        first: name,
        "kills": len(rows),
        "went on without us": sum(row["went_on"] for row in rows),
        "reruns": sum(not row["went_on"] for row in rows),
        "completed": sum(row["completed"] for row in rows),
        "equal hashes": sum(row["equal"] for row in rows),
        "processes left": sum(row["left"] for row in rows),
        "half-written": sum(len(row["half_written"]) for row in rows),
    }


def show(rows: list[Row]) -> None:
    """The tables, and what went wrong."""
    print(f"\n{markdown(summary(rows))}\n\n{markdown(by_victim(rows))}")
    for row in rows:
        if not row["well"]:
            print(f"\nnot as it should be: {row}")


def main(arguments: list[str] | None = None) -> int:
    """Run all kills, print the tables; status 1 when something was not as it should be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=60, help="in all")
    parser.add_argument("--served", type=int, default=10, help="of them under `vesselforge serve`")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="work here, and leave it  [a temporary one]")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="every kill; what is there counts"
    )
    given = parser.parse_args(arguments)
    if sys.platform != "linux":
        parser.error("this test looks at /proc, which only Linux has")
    stoppable()
    with tempfile.TemporaryDirectory(prefix="vesselforge-kill-") as temporary:
        test = Test(given, (given.folder or Path(temporary)).absolute())
        try:
            test.run()
        except KeyboardInterrupt:
            print(f"stopped after {len(test.rows)} kills; with --json the same command goes on")
    show(test.rows)
    return 0 if len(test.rows) == given.kills and all(row["well"] for row in test.rows) else 1


class Test:
    """All kills of a seed; those that the JSON file already has are not done again."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self.folder = folder
        self.facts = facts(seed=given.seed, kills=given.kills, served=given.served)
        self.rows: list[Row] = []
        self._given = given
        if given.json is not None and given.json.is_file():
            before = json.loads(given.json.read_text())
            if before["facts"] == self.facts:
                self.rows = before["kills"]

    def run(self) -> None:
        print("the undisturbed run", flush=True)
        reference = Reference.made(self.folder)
        rng = random.Random(self._given.seed)  # noqa: S311 (for the same kills again)
        turns = list(plan(self._given.kills, self._given.served, rng, reference.steps))
        turns = turns[len(self.rows) :]
        for turn in (turn for turn in turns if not turn.served):
            self._add(kill_local.turn(turn, reference, self.folder / "turn"))
        served = [turn for turn in turns if turn.served]
        if served:
            with kill_served.Deployed(self.folder, reference) as deployed:
                for turn in served:
                    self._add(deployed.turn(turn))

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        print(f"{len(self.rows):3}/{self._given.kills} {describe(row)}", flush=True)
        content = {"facts": self.facts, "summary": summary(self.rows), "kills": self.rows}
        write(self._given.json, content)


def describe(row: Row) -> str:
    """One kill in a line."""
    how = "went on" if row["went_on"] else f"rerun {'done' if row['completed'] else 'FAILED'}"
    equal = "equal hashes" if row["equal"] else "OTHER HASHES"
    told = f"{row['target']}: {row['victim']} killed {row['hit']}; {how}, {equal}"
    return told + ("" if row["well"] else "  <-- not as it should be")


if __name__ == "__main__":
    sys.exit(main())
