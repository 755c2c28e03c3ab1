"""A few of the malformed files of `benchmarks.reliability.bad_input`, two or so of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import torch

from benchmarks.reliability import mutators
from benchmarks.reliability.bad_input import attempt, run, table
from benchmarks.reliability.kinds import KINDS, Kind
from benchmarks.reliability.valid import make_images

CASES = 40


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The run is for forks, and leaves PyTorch with one thread."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_each_is_refused_in_one_line_that_names_it() -> None:
    outcomes = run(CASES, seed=7, own=0, quiet=True)
    failed = [o for o in outcomes if o.verdict not in ("refused", "harmless")]
    assert not failed, "\n".join(f"{o.verdict}: {o.damage}: {o.said[-300:]}" for o in failed)
    assert {o.kind for o in outcomes} == {kind.name for kind in KINDS}
    assert f"| all | {CASES} | {CASES} | 0 |" in table(outcomes)


def unchanged(random: Random, content: bytes) -> mutators.Mutated:
    return content, "nothing", False


def test_the_judge_tells_sound_from_malformed_from_failed(tmp_path: Path) -> None:
    """It would see a file that is taken and a message without a name."""
    make_images(tmp_path / "valid")

    def verdict(name: str, mutator: mutators.Mutator, *command: str) -> str:
        kind = Kind(name, "table", "quoted.csv", (mutator,), command)
        room = tmp_path / name
        return attempt(0, kind, Random(0), tmp_path / "valid", room).verdict

    check = ("segmenter", "check-table", "quoted.csv")
    assert verdict("sound", unchanged, *check) == "harmless"
    assert verdict("taken", said_to_be_bad, *check) == "accepted, though malformed"
    assert verdict("malformed", mutators.not_utf8, *check) == "refused"
    assert verdict("unnamed", unchanged, "report", "x") == "the error names no file or field"


def said_to_be_bad(random: Random, content: bytes) -> mutators.Mutated:
    return content + b"\n", "a line feed", True
