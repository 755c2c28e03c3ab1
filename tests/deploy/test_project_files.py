"""Files about the project that other programs read: CI, issue forms, citation, hooks, versions."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml
from check_jsonschema import main as check
from typer.testing import CliRunner

from vesselforge.cli.main import main

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", ".github/workflows/*.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/[bq]*.yml"),
        ("citation-file-format", "CITATION.cff"),
    ],
)
def test_what_github_reads_is_as_its_schema_says(schema: str, files: str, tmp_path: Path) -> None:
    found = [str(path) for path in ROOT.glob(files)]
    options = ["--quiet", "--builtin-schema", f"vendor.{schema}"]
    with pytest.raises(SystemExit) as ended:
        check([*options, *found])
    assert found and ended.value.code == 0
    (tmp_path / "spoilt.yml").write_text("on: sometimes\n")
    with pytest.raises(SystemExit) as ended:
        check([*options, str(tmp_path / "spoilt.yml")])
    assert ended.value.code != 0


def test_citation_and_command_have_the_projects_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == PROJECT["version"] and cited["license"] == PROJECT["license"]
    said = CliRunner().invoke(main, ["--version"]).stdout
    assert said.startswith(f"vesselforge {PROJECT['version']}, torch ") and "Python 3" in said


def test_ci_runs_every_python_that_the_project_takes() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    pythons = jobs["test"]["strategy"]["matrix"]["python"]
    assert f">={pythons[0]}" == PROJECT["requires-python"]


def test_hooks_run_what_make_installs() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    entries = [hook["entry"] for repo in hooks for hook in repo["hooks"]]
    pinned = (ROOT / "constraints.txt").read_text()
    for entry in entries:
        tool = Path(entry.split()[0])
        assert tool.parent == Path(".venv/bin")
        assert f"{ {'lint-imports': 'import-linter'}.get(tool.name, tool.name) }==" in pinned


def test_the_changelog_is_short_and_knows_what_is_unreleased() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    assert "## Unreleased" in lines and len(lines) <= 60
