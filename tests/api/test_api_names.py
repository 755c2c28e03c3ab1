"""`import vesselforge as vf`: what has a name there, and what that costs."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

import vesselforge as vf

pytestmark = pytest.mark.slow
MODULES = (
    "vesselforge",
    "vesselforge.api.segmenting",
    "vesselforge.api.drawing",
    "vesselforge.api.images",
    "vesselforge.api.running",
    "vesselforge.segmenter.metrics.scores",
)
FUNCTIONS = ("load_model", "score", "load_generator", "load_dataset", "phantom", "run", "compare")
HEAVY = ("torch", "prefect", "numpy", "pydantic", "PIL", "scipy", "skimage", "matplotlib", "rich")
BESIDE_OWN_MODULES = f"""
import sys
import vesselforge as vf
assert {{*{FUNCTIONS}}} <= {{*dir(vf)}}
print([name for name in {HEAVY} if name in sys.modules])
eye = vf.phantom(0, 64)
print([name for name in ("torch", "prefect") if name in sys.modules])
import data, configs, flows
print(data.mine, configs.mine, flows.mine)
"""


class Unwrapped(doctest.DocTestFinder):
    """Finds the examples of decorated functions, too."""

    def _from_module(self, module: Any, object: Any) -> bool:
        found: bool = super()._from_module(module, inspect.unwrap(object))  # type: ignore[misc]
        return found


def test_importing_loads_nothing_heavy_beside_modules_of_the_users_own(tmp_path: Path) -> None:
    for name in ("data", "configs", "flows"):
        (tmp_path / f"{name}.py").write_text(f"mine = {name!r}\n")
    command = [sys.executable, "-c", BESIDE_OWN_MODULES]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines() == ["[]", "[]", "data configs flows"]


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="load_modle"):
        _ = vf.load_modle  # type: ignore[attr-defined]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_docstrings(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(optionflags=flags)
    for test in Unwrapped(exclude_empty=True).find(resolve_name(module)):
        runner.run(test)
    assert runner.tries > 0 and runner.failures == 0


def test_every_public_function_has_an_example() -> None:
    methods = [(vf.TrainedSegmenter, ("predict", "segment"))]
    methods += [(vf.TrainedGenerator, ("draw", "draw_to", "dataset"))]
    functions = [getattr(vf, name) for name in FUNCTIONS]
    functions += [getattr(kind, name) for kind, names in methods for name in names]
    for function in functions:
        assert ">>> " in (function.__doc__ or ""), function.__qualname__
        assert function.__module__ in MODULES
