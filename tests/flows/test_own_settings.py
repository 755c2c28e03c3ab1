"""Other people's Prefect: profiles, homes, databases and files that our runs do not heed."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from vesselforge.configs.errors import UserError, WorkspaceError
from vesselforge.flows.serving.own_settings import own_home, own_settings
from vesselforge.flows.serving.servers import check_database

pytestmark = pytest.mark.slow
PROFILE = """
active = "work"
[profiles.work]
PREFECT_API_URL = "https://api.prefect.cloud/api/accounts/a/workspaces/w"
PREFECT_API_KEY = "pnu_secret"
"""


@pytest.fixture(autouse=True, params=[PROFILE, "no TOML ["])
def strange(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A working folder, a home and an environment that are full of another project's settings."""
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "profiles.toml").write_text(request.param)
    (tmp_path / "prefect.toml").write_text('home = "theirs"\n[api]\nurl = "http://toml/api"\n')
    (tmp_path / ".env").write_text("PREFECT_API_URL=http://dotenv/api\nPREFECT_API_KEY=pnu_env\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "theirs"))
    monkeypatch.setenv("PREFECT_PROFILE", "work")
    monkeypatch.setenv("PREFECT_UI_API_URL", "http://left-over/api")
    return tmp_path


def test_a_run_with_a_server_of_its_own_heeds_none_of_it(strange: Path) -> None:
    from prefect.settings import get_current_settings

    before = dict(os.environ)
    with own_settings(None):
        found = get_current_settings()
        assert (found.api.url, found.api.key) == (None, None)
        assert found.home == own_home() and strange / "cache" in found.home.parents
        url = found.server.database.connection_url
        assert url is not None and str(strange / "cache") in url.get_secret_value()
        assert found.server.api.csrf_protection_enabled
        assert "PREFECT_UI_API_URL" not in os.environ  # nor do processes that are started
        assert Path.cwd() == strange
    assert dict(os.environ) == before
    assert not list((strange / "theirs").glob("*.db"))


def test_a_server_that_is_asked_for_gets_the_password_of_the_environment_and_no_other(
    strange: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.settings import get_current_settings

    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "me:mine")
    with own_settings("http://asked/api"):
        found = get_current_settings()
        assert (found.api.url, found.api.key) == ("http://asked/api", None)
        assert found.api.auth_string is not None
        assert found.api.auth_string.get_secret_value() == "me:mine"


def test_a_home_that_cannot_be_made_is_one_line(
    strange: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (strange / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(strange / "file"))
    with (
        pytest.raises(WorkspaceError, match=r"cannot be made .*set XDG_CACHE_HOME"),
        own_settings(None),
    ):
        raise AssertionError("there is no home")


@pytest.mark.parametrize(
    ("revision", "message"),
    [("ffffffffffff", "a newer Prefect than this .* has made this database"), ("a3b9c7d2e5f1", "")],
)
def test_a_database_of_a_newer_prefect_is_called_so(
    revision: str, message: str, strange: Path
) -> None:
    file = strange / "prefect.db"
    check_database(file)  # there is none yet
    with sqlite3.connect(file) as database:
        check_database(file)  # which nobody has filled yet
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES (?)", [revision])
    if not message:
        check_database(file)
        return
    with pytest.raises(UserError, match=message):
        check_database(file)
    file.write_text("no database at all" * 100)
    with pytest.raises(UserError, match=r"is damaged .*move it away"):
        check_database(file)
