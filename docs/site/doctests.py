"""Examples in docstrings, as mkdocstrings reads them: each is a block of code."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Module, Object

EXAMPLE = re.compile(r"(?m)(?<!```pycon\n)^>>> .*(?:\n(?!\n).*)*")
"""From the first prompt to the next empty line, where that is no block yet."""


class Doctests(Extension):
    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = EXAMPLE.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """Its docstring may come from another file than its names."""
        self.on_object(obj=pkg)
