"""Kill test: `kill -9` at random moments of a small pipeline, then the same command once more.

    python -m benchmarks.reliability.kill [--kills 60] [--served 10] [--chain 5]
                                          [--seed 0] [--folder DIR] [--json FILE]

The victims are the whole process family, the command alone, its stage's process alone or the
embedded Prefect server alone; of `--served` kills, under `vesselforge serve`, the server, the
worker or the flow's process. After each kill no process may be left and nothing half-written
visible. Up to `--chain` kills hit one after another, each in a later step of the run that was
started again; the last run has to complete, with files that equal, byte for byte, those of a run
that nobody disturbed. Linux.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path

from benchmarks.reliability import kill_local, kill_served
from benchmarks.reliability.kill_chain import REPORT, START, Chain, Row, Turn, chains, run_chain
from benchmarks.reliability.processes import stoppable
from benchmarks.reliability.reference import Reference
from benchmarks.reliability.tables import facts, markdown, write

WHOLE_EVERY = 4
"""Chains of which one hits a run that has all later steps before it, too."""


def plan(kills: int, served: int, rng: random.Random, steps: list[str]) -> list[Turn]:
    """The kills: every step about equally often, in an order that the seed decides."""
    local = kills - served
    targets = shuffled([START, *steps, REPORT], local, rng) + shuffled(steps, served, rng)
    victims = shuffled(kill_local.VICTIMS, local, rng) + shuffled(kill_served.VICTIMS, served, rng)
    return [
        Turn(target, victim, rng.random(), served=number >= local)
        for number, (target, victim) in enumerate(zip(targets, victims, strict=True))
    ]


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
    found = dict.fromkeys(row["victim"] for row in rows)
    mine = {victim: [row for row in rows if row["victim"] == victim] for victim in found}
    return [_line(victim, hit, "killed") for victim, hit in mine.items()]


def _line(name: str, rows: list[Row], first: str = "killed during") -> Row:
    return {
        first: name,
        "kills": len(rows),
        "the run went on": sum(row["went_on"] for row in rows),
        "it was started again": sum(not row["went_on"] for row in rows),
        "completed": sum(row["completed"] for row in rows),
        "equal hashes": sum(row["equal"] for row in rows),
        "processes left": sum(row["left"] for row in rows),
        "half-written": sum(len(row["half_written"]) for row in rows),
    }


def show(rows: list[Row]) -> None:
    """The tables."""
    print(f"\n{markdown(summary(rows))}\n\n{markdown(by_victim(rows))}")


def main(arguments: list[str] | None = None) -> int:
    """Run all kills, print the tables; status 1 when something was not as it should be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=60, help="in all")
    parser.add_argument("--served", type=int, default=10, help="of them under `vesselforge serve`")
    parser.add_argument("--chain", type=int, default=5, help="one after another, at most")
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
        self.facts = facts(
            seed=given.seed, kills=given.kills, served=given.served, chain=given.chain
        )
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
        turns = plan(self._given.kills, self._given.served, rng, reference.steps)
        left = self._left(turns, reference.steps)
        local = [chain for chain in left if not chain.turns[0].served]
        if local:
            with kill_local.Local(self.folder / "local", reference) as driver:
                for chain in local:
                    self._add(run_chain(chain, driver, reference))
        served = [chain for chain in left if chain.turns[0].served]
        if served:
            with kill_served.Deployed(self.folder) as deployed:
                for chain in served:
                    self._add(run_chain(chain, deployed, reference))

    def _left(self, turns: list[Turn], steps: list[str]) -> list[Chain]:
        """What is not in the file yet."""
        done, left = len(self.rows), []
        for number, chain in enumerate(chains(turns, self._given.chain, steps)):
            if done < len(chain):
                left.append(Chain(chain, whole=number % WHOLE_EVERY == 0))
            done = max(0, done - len(chain))
        return left

    def _add(self, rows: list[Row]) -> None:
        for row in rows:
            self.rows.append(row)
            print(f"{len(self.rows):3}/{self._given.kills} {describe(row)}", flush=True)
        content = {"facts": self.facts, "summary": summary(self.rows), "kills": self.rows}
        write(self._given.json, content)


def describe(row: Row) -> str:
    """One kill in a line."""
    how = "the run went on" if row["went_on"] else "started again"
    end = "completed" if row["completed"] else "NOT COMPLETED"
    equal = "equal hashes" if row["equal"] else "OTHER HASHES"
    told = f"{row['target']}, {row['hit']}: {row['victim']} killed; {how}; {end}, {equal}"
    return told + ("" if row["well"] else f"  <-- not as it should be: {row}")


if __name__ == "__main__":
    sys.exit(main())
