"""Content hashes of files outside the store that work reads: part of its address."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import GeneratorSettings, ScoreSettings
from vesselforge.engine.files import file_sha256
from vesselforge.pipeline.shipped import found_start


def with_start(settings: GeneratorSettings) -> tuple[GeneratorSettings, dict[str, str]]:
    """Settings of a generator's training in which `start_from` is a path, where it may have been a
    name; and content hashes of what the training reads besides images. Raises DataError or
    CheckpointError, as `found_start`."""
    if settings.start_from is None:
        return settings, {}
    start = found_start(settings.start_from)
    outside = {"start_from": hash_of("generator.start_from", start)}
    return settings.model_copy(update={"start_from": start}), outside


def files_of_score(settings: ScoreSettings) -> dict[str, str]:
    """Content hashes of the files that scores are computed with."""
    named = {name: getattr(settings, name) for name in ("features_file", "lpips_file")}
    return {n: hash_of(f"score.{n}", path) for n, path in named.items() if path is not None}


def hash_of(setting: str, path: Path) -> str:
    """Content hash of a file, or of a generator's folder, that a setting names."""
    try:
        return folder_sha256(path) if path.is_dir() else file_sha256(path)
    except OSError as error:
        raise DataError(f"{setting}: {path} cannot be read ({error.strerror})") from error


def folder_sha256(folder: Path) -> str:
    """Hash of a generator's description and weights; of nothing else that may lie beside them."""
    files = [folder / "generator.json", *sorted(folder.glob("*.safetensors"))]
    content = {path.name: file_sha256(path) for path in files}
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
