"""What the Dockerfile puts into an image, and above all what it does not."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from docker.utils.build import exclude_paths

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PACKAGES = (
    "cli", "configs", "data", "engine", "flows", "generator", "pipeline", "pretrained", "report",
    "segmenter", "vesselforge",
)  # fmt: skip
PRIVATE = (
    ".git/config",
    ".env",
    "data/DRIVE/training/images/21_training.tif",
    "data/patients.csv",
    "data/mine/IM0001",
    "data/mine/fold.py.png",
    "cli/__pycache__/main.cpython-311.pyc",
    "generator/weights.pkl",
    "notes.txt",
    "pretrained/mine/eye.png",
    "runs/report.html",
)


def sent(root: Path) -> set[str]:
    """The files that `docker build` takes from this folder, by docker-py's reading of the rules."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    found = exclude_paths(str(root), rules, dockerfile="Dockerfile")
    found = {name for name in found if (root / name).is_file() or (root / name).is_symlink()}
    return found - {"Dockerfile", ".dockerignore"}


def ignored_by_git() -> list[str]:
    """A file under each pattern of .gitignore."""
    patterns = (ROOT / ".gitignore").read_text().split()
    return [f"{p.strip('/').replace('*', 'any')}/eye.png" for p in patterns]


@pytest.mark.parametrize("name", [*PRIVATE, *ignored_by_git()])
def test_no_image_of_a_patient_and_no_history_gets_into_an_image(name: str, tmp_path: Path) -> None:
    for path in (name, "cli/main.py", "pyproject.toml"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    assert sent(tmp_path) == {"cli/main.py", "pyproject.toml"}


def test_all_that_the_program_needs_gets_in() -> None:
    listed = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True
    )
    tracked = set(listed.stdout.split())
    assert len(tracked) > 200, listed.stderr
    assert tracked <= sent(ROOT)
    assert sent(ROOT) - tracked <= {
        "LICENSE", "README.md", "constraints.txt", "prefect.toml", "prefect.yaml", "pyproject.toml"
    }  # fmt: skip


def test_what_the_dockerfile_copies_is_there() -> None:
    sources = re.findall(r"^COPY (\S+) \./$", DOCKERFILE, re.MULTILINE)
    assert sources == ["constraints.txt", "pyproject.toml"]
    assert set(sources) <= sent(ROOT)


def test_the_image_runs_as_the_user_of_the_templates() -> None:
    assert "\nUSER 10001:10001\n" in DOCKERFILE
    for kind in ("docker", "kubernetes"):
        assert "10001" in (ROOT / "deploy" / f"{kind}-pool.json").read_text()


def test_the_composed_server_is_for_this_machine_alone() -> None:
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports == ["127.0.0.1:4200:4200"]
    assert services["worker"]["volumes"][1].endswith(":/datasets:ro")
