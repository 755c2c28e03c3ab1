"""What `pip install` brings: from the repository, and from a source distribution."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from commands import REPOSITORY, environment, run
from PIL import Image

from vesselforge.data.phantoms.draw import make_phantom

pytestmark = pytest.mark.slow
BUILD = (
    "import sys\nfrom setuptools import build_meta\n"
    "print(getattr(build_meta, f'build_{sys.argv[1]}')(sys.argv[2]))"
)


def built(what: str, source: Path, out: Path) -> Path:
    """A wheel or sdist, built without network."""
    said = run([sys.executable, "-c", BUILD, what, str(out)], environment(out / "home"), source)
    assert said.returncode == 0, said.stderr
    return out / said.stdout.splitlines()[-1]


def tracked() -> list[str]:
    """The files of the repository as they are, new ones, too."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    said = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [n for n in said.stdout.split("\0") if n and (REPOSITORY / n).exists()]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """From a copy of the repository, and from its sdist."""
    folder = tmp_path_factory.mktemp("built")
    rooms = tuple(f"{path.name}/" for path in (REPOSITORY / "vesselforge").iterdir())
    for name in tracked():
        if name.startswith(("vesselforge/", *rooms)) or "/" not in name:
            (folder / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / "copy" / name, follow_symlinks=False)
    sdist = built("sdist", folder / "copy", folder)
    shutil.unpack_archive(sdist, folder / "unpacked", filter="data")
    (source,) = (folder / "unpacked").iterdir()
    sources = {"from the copy": folder / "copy", "from the sdist": source}
    return [built("wheel", where, folder / name) for name, where in sources.items()]


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as files:
        return {name: files.read(name) for name in files.namelist()}


def test_both_hold_every_file_of_every_room_and_nothing_else(wheels: list[Path]) -> None:
    first, second = map(contents, wheels)
    assert first == second
    links = {p.name for p in (REPOSITORY / "vesselforge").iterdir() if p.is_symlink()}
    expected = {name for name in tracked() if name.startswith("vesselforge/")}
    expected -= {f"vesselforge/{link}" for link in links}
    expected |= {f"vesselforge/{n}" for n in tracked() if n.partition("/")[0] in links}
    about = {name for name in first if ".dist-info/" in name}
    assert first.keys() - about == expected
    assert {"vesselforge/py.typed", "vesselforge/__init__.pyi"} <= expected
    assert any(name.endswith("/LICENSE") for name in about)
    kinds = {Path(name).suffix for name in expected}
    assert {".py", ".yaml", ".css", ".js", ".j2", ".safetensors", ".json", ".md"} <= kinds


AS_INSTALLED = """
import json, sys
from typer.testing import CliRunner
from vesselforge.cli.main import main
import vesselforge
done = [CliRunner().invoke(main, words) for words in json.loads(sys.argv[1])]
print(json.dumps([vesselforge.__file__, *([one.exit_code, one.output] for one in done)]))
"""


def test_what_is_installed_works_in_an_empty_folder(wheels: list[Path], tmp_path: Path) -> None:
    site, here = tmp_path / "site", tmp_path / "here"
    shutil.unpack_archive(wheels[1], site, "zip")
    here.mkdir()
    Image.fromarray(make_phantom(1, 96).image).save(here / "eye.png")
    commands = [
        ["--help"],
        ["run", "quickstart", "--dry-run"],
        ["segmenter", "predict", "sa-unet-drive", "eye.png", "-o", "maps", "--fov-width", "200"],
    ]
    env = environment(tmp_path / "home", PYTHONPATH=str(site))
    said = run([sys.executable, "-c", AS_INSTALLED, json.dumps(commands)], env, here)
    assert said.returncode == 0, said.stderr
    place, *done = json.loads(said.stdout)
    assert Path(place).is_relative_to(site)
    assert [status for status, _ in done] == [0, 0, 0], done
    assert "stages to do" in done[1][1]
    assert Image.open(here / "maps" / "eye_probability.png").size == (96, 96)
