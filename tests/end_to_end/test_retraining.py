"""`vesselforge retrain` and `models` as users type them, on a workspace that has a finished run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import environment, manifests, run, tiny
from typer.testing import Result

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_two_versions_compared_promoted_and_rolled_back(
    used_again: Path, home: Path, server: str, typed: Callable[..., Result], tmp_path: Path
) -> None:
    before, env = manifests(used_again), environment(home, PREFECT_API_URL=server)
    first = run(tiny("retrain", used_again, "--json"), env, tmp_path)
    assert first.returncode == 0, first.stderr
    made = json.loads(first.stdout)
    assert (made["state"], made["version"], made["champion"]) == ("Promoted", 1, 1)
    assert manifests(used_again).keys() == before.keys()  # the run had made everything

    change = ["--set", "evaluate.bootstrap=101"]  # a reason to ask again; the same model comes out
    second = run(tiny("retrain", used_again, *change), env, tmp_path)
    assert second.returncode == 0, second.stderr
    assert "Promoted: version 2: promoted; F1 +0.0000 against version 1" in second.stdout
    new = manifests(used_again).keys() - before.keys()
    assert sorted(name.split("/")[0] for name in new) == ["segmenter.compare", "segmenter.evaluate"]

    where = ["--workspace", str(used_again)]
    told = typed(["vesselforge", "models", "rollback", "quickstart", *where])
    assert (told.exit_code, told.stdout) == (0, "quickstart: version 1 serves again\n")
    told = typed(["vesselforge", "models", "list", "quickstart", *where])
    assert told.exit_code == 0 and "rolled back" in told.stdout
    model = used_again / "models" / "quickstart"
    picture = next((used_again / "store").glob("data.prepare/*/images/*.png"))
    command = ["vesselforge", "segmenter", "predict", str(model), str(picture), "-o", "maps"]
    told = typed(command)
    assert told.exit_code == 0, told.stderr
    assert list((tmp_path / "maps").rglob("*.png"))
