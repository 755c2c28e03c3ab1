"""Malformed files given to the command line: is each refused in one line, at once?

    python -m benchmarks.reliability.bad_input [--cases 300] [--seed 0] [--jobs 2]

Sound examples of everything that the command line reads are damaged by seeded mutators until so
many proved malformed. Each is given to the command that reads such a file, in a forked process;
every 15th in a process of its own, as a user starts it. Refused properly means: exit status 2, no
traceback, one error line, which (or a line of `data check` above it) names the file, at most ten
seconds of processor time, at most MOST_MB of memory more than before. A damaged file that is still
sound has to be accepted, exit status 0, and is counted apart.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path
from random import Random

from benchmarks.reliability.attempts import (
    MOST_S,
    WAIT_S,
    Outcome,
    forked,
    in_new_process,
    load_all,
)
from benchmarks.reliability.kinds import KINDS, Kind
from benchmarks.reliability.valid import make_all
from vesselforge.engine.files import write_json

MOST_MB = 2_000
OWN_EVERY = 15


def cases(seed: int) -> Iterator[tuple[int, Kind, Random]]:
    """Numbered cases without end, the kinds in turn; each has random numbers of its own."""
    for number in count():
        yield number, KINDS[number % len(KINDS)], Random(f"{seed}/{number}")  # noqa: S311 (damage, not secrets)


def attempt(
    number: int, kind: Kind, random: Random, examples: Path, room: Path, real: bool = False
) -> Outcome:
    """Damage one file of a copy of the example in `room`, run the command there, judge it."""
    shutil.copytree(examples / kind.example, room)
    file = random.choice(sorted(room.glob(kind.files)))
    damage, certain = _damage(kind, random, file)
    about = f"{file.relative_to(room)}: {damage}"
    outcome = Outcome(kind.name, number, about, " ".join(kind.command), real)
    (in_new_process if real else forked)(list(kind.command), room, outcome)
    outcome.verdict = _judge(outcome, certain, (file.name, *kind.names))
    return outcome


def _damage(kind: Kind, random: Random, file: Path) -> tuple[str, bool]:
    """What was done to the file, or to its folder, and whether no reader may accept it."""
    if kind.arrangements:
        return random.choice(kind.arrangements)(random, file.parent.parent, file)
    sound = file.read_bytes()
    content, damage, certain = random.choice(kind.mutators)(random, sound)
    file.write_bytes(content)
    if kind.reseal is not None:
        kind.reseal(file)
    return damage, certain and content != sound


def _judge(outcome: Outcome, certain: bool, names: tuple[str, ...]) -> str:
    said = outcome.said
    errors = [line for line in said.splitlines() if line.startswith(("error: ", "skipped: "))]
    if outcome.status is None:
        return f"hang: nothing after {WAIT_S} s"
    if outcome.seconds > MOST_S:
        return f"hang: {outcome.seconds:.0f} s of work"
    if outcome.megabytes > MOST_MB:
        return f"memory: {outcome.megabytes:.0f} MB"
    if "Traceback" in said or outcome.status not in (0, 2):
        return f"crash: status {outcome.status}"
    if outcome.status == 0:
        return "accepted, though malformed" if certain else "harmless"
    # They list every fault of a dataset, then sum up.
    checked = outcome.command.startswith(("data check", "data import", "data unpack"))
    if not errors or (len(errors) > 1 and not checked):
        return f"{len(errors)} error lines"
    if not any(name in line for name in names for line in errors):
        return "the error names no file or field"
    return "refused"


def run(
    wanted: int, seed: int, jobs: int = 1, own: int = OWN_EVERY, quiet: bool = False
) -> list[Outcome]:
    """Cases until `wanted` of them, or a few more, were malformed. jobs: processes that share them;
    which cases are run depends on their number, not on their speed. own: each so many is given to
    a process of its own, 0: none."""
    load_all()
    with tempfile.TemporaryDirectory(prefix="bad-input-") as folder:
        make_all(Path(folder) / "valid")
        if jobs == 1:
            return _share(Path(folder), wanted, seed, (0, 1), own, quiet)
        workers = []
        for job in range(jobs):
            pid = os.fork()
            if not pid:
                status = 1
                try:
                    part = -(-wanted // jobs)
                    found = _share(Path(folder), part, seed, (job, jobs), own, quiet)
                    write_json(Path(folder) / f"{job}.json", [asdict(one) for one in found])
                    status = 0
                finally:
                    os._exit(status)
            workers.append(pid)
        ended = [os.waitpid(pid, 0)[1] for pid in workers]
        if any(ended):
            raise RuntimeError("a job ended before it had done its share")
        parts = [json.loads((Path(folder) / f"{job}.json").read_text()) for job in range(jobs)]
    return sorted((Outcome(**one) for part in parts for one in part), key=lambda o: o.number)


def _share(
    folder: Path, wanted: int, seed: int, share: tuple[int, int], own: int, quiet: bool
) -> list[Outcome]:
    """The cases of one job. share: (its number, how many jobs there are)."""
    outcomes: list[Outcome] = []
    for number, kind, random in cases(seed):
        if number % share[1] != share[0]:
            continue
        room = folder / f"case-{number}"
        real = own > 0 and number % own == own - 1
        outcome = attempt(number, kind, random, folder / "valid", room, real)
        shutil.rmtree(room)
        outcomes.append(outcome)
        if not quiet and _column(outcome) == "failed":
            _complain(outcome)
        if sum(o.verdict != "harmless" for o in outcomes) >= wanted:
            break
    return outcomes


def _complain(outcome: Outcome) -> None:
    last = outcome.said.strip().splitlines()[-1:]
    print(f"{outcome.number} {outcome.kind}: {outcome.verdict}: {outcome.damage}", file=sys.stderr)
    print(f"   {last}", file=sys.stderr, flush=True)


def table(outcomes: list[Outcome]) -> str:
    """Markdown: by kind, how many cases came out how."""
    lines = ["| kind | malformed | refused properly | failures | harmless |",
             "| --- | ---: | ---: | ---: | ---: |"]  # fmt: skip
    total: Counter[str] = Counter()
    for kind in dict.fromkeys(outcome.kind for outcome in outcomes):
        found = Counter(_column(o) for o in outcomes if o.kind == kind)
        total += found
        lines.append(_line(kind, found))
    return "\n".join([*lines, _line("all", total)])


def _column(outcome: Outcome) -> str:
    return outcome.verdict if outcome.verdict in ("refused", "harmless") else "failed"


def _line(name: str, found: Counter[str]) -> str:
    malformed = found["refused"] + found["failed"]
    columns = (malformed, found["refused"], found["failed"], found["harmless"])
    return f"| {name} | {' | '.join(map(str, columns))} |"


def main() -> int:
    """Print the table; exit status 1 when anything failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=300, help="malformed inputs to try")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument(
        "--own", type=int, default=OWN_EVERY, help="each so many in a process of its own; 0: none"
    )
    parser.add_argument("--out", type=Path, help="JSON file for every case")
    given = parser.parse_args()
    outcomes = run(given.cases, given.seed, given.jobs, given.own)
    print(table(outcomes))
    forked = [o for o in outcomes if not o.real]
    print(f"longest: {max(o.seconds for o in forked):.1f} s of work; "
          f"most memory: {max(o.megabytes for o in forked):.0f} MB more than before; "
          f"{len(outcomes) - len(forked)} in processes of their own")  # fmt: skip
    if given.out is not None:
        write_json(given.out, {"seed": given.seed, "cases": [asdict(o) for o in outcomes]})
    return int(any(_column(o) == "failed" for o in outcomes))


if __name__ == "__main__":
    sys.exit(main())
