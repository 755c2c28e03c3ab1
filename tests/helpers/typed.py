"""What a line that somebody types does, in this process."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import typer
from typer.testing import CliRunner, Result

from vesselforge.cli.main import main

ROOT: Any = typer.main.get_command(main)


def typed(*arguments: str, **environment: str) -> Result:
    """Typer's runner would build all verbs anew for each line."""
    with patch("typer.testing._get_command", lambda app: ROOT):
        return CliRunner().invoke(main, arguments, env=environment, prog_name="vesselforge")
