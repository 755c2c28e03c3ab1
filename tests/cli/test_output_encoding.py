"""Output that a terminal or a pipe of another encoding than UTF-8 takes."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from dataset_writers import write_paired

from vesselforge.cli.main import main


def said(monkeypatch: pytest.MonkeyPatch, encoding: str, *words: object) -> tuple[str, str]:
    """Standard output and error of a command, as bytes of this encoding hold them."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    for name, stream in zip(("stdout", "stderr"), streams, strict=True):
        monkeypatch.setattr(sys, name, stream)
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code in (0, 2)
    found = []
    for stream in streams:
        stream.seek(0)
        found.append(stream.read())
    return found[0], found[1]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-8"])
def test_nothing_ends_in_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    root = write_paired(tmp_path / "眼 ±", ["左眼", "右眼", "œil"])
    out, _ = said(monkeypatch, encoding, "data", "check", root)
    assert "sound" in out
    out, _ = said(monkeypatch, encoding, "data", "check", root, "--json")
    found = json.loads(out)
    assert found["root"] == str(root)
    assert {row["id"] for row in found["images"]} == {"左眼", "右眼", "œil"}
    (root / "masks/左眼.png").unlink()
    out, told = said(monkeypatch, encoding, "data", "check", root)
    name = "左眼" if encoding == "utf-8" else "\\u5de6\\u773c"
    assert f"{name}.png: found no vessel mask" in out
    assert "1 errors in this dataset" in told
