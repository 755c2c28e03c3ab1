"""The layout `images`: any folder of images, for the generator alone, and its check."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import DataSettings
from vesselforge.data.formats.channels import Pixels, bits_of, named
from vesselforge.data.formats.images import is_image_name, stem_of
from vesselforge.data.formats.native import Native
from vesselforge.data.layouts.class_labels import CSV, JSON, read_labels
from vesselforge.data.layouts.items import Dataset, Problem, WholeItem
from vesselforge.data.layouts.splits import TRAIN, by_hash

LISTED = 5
"""Files of one kind that a sentence names; the others are counted."""
NOTES = frozenset({"", ".txt", ".md", ".pdf", ".html", ".yaml", ".json", ".csv"})
"""Suffixes of files that nobody expects to be images."""


def read_images(root: Path, settings: DataSettings) -> Dataset:
    """Every image file under `root`; hidden ones and what macOS adds to archives are not meant.

    Identifiers are names relative to `root` without suffix (with it where two would be the same).
    None is a test image; `validation_share` of them are held back from training. Raises DataError
    for a name that is no Unicode text; problems of label files are kept for `data.layouts.check`.
    """
    paths = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*"))}
    files = {
        name: path
        for name, path in paths.items()
        if not any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)
        and path.is_file()
    }
    images = {name: path for name, path in files.items() if is_image_name(path)}
    if not images:
        return Dataset("images", root, ())
    ids = _identifiers(images)
    labels = read_labels(root, list(images), settings.labels)
    held = _held_back(ids.values(), settings.validation_share)
    items = [
        WholeItem(ids[name], held.get(ids[name], TRAIN), path, label=labels.vectors.get(name))
        for name, path in images.items()
    ]
    others = [name for name in files if name not in images]
    problems = (*labels.problems, *_left_out(root, others))
    return Dataset("images", root, tuple(items), classes=labels.classes, problems=problems)


def _identifiers(images: dict[str, Path]) -> dict[str, str]:
    stems = {}
    for name, path in images.items():
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(f"{str(path)!r}: the file's name is not UTF-8: rename it") from None
        stems[name] = (PurePosixPath(name).parent / stem_of(path)).as_posix()
    counts = Counter(stems.values())
    return {name: stem if counts[stem] == 1 else name for name, stem in stems.items()}


def _held_back(ids: Iterable[str], share: float) -> dict[str, str]:
    if share == 0:
        return {}
    parts = by_hash(ids, share, test_share=0.0)
    return {id_: split for split, members in parts.items() for id_ in members}


def _left_out(root: Path, names: Iterable[str]) -> list[Problem]:
    """A warning about files that look as if they were meant."""
    kinds = Counter(PurePosixPath(name).suffix.lower() for name in names if name not in (CSV, JSON))
    strange = {suffix: n for suffix, n in sorted(kinds.items()) if suffix not in NOTES}
    if not strange:
        return []
    found = ", ".join(f"{n} {suffix}" for suffix, n in strange.items())
    sentence = f"left out {found} files, which are no images that can be read here: convert them"
    return [Problem("warning", str(root), sentence)]


@dataclass
class Modes:
    """Which channels and depths occur in a set, and in which files."""

    found: dict[tuple[int, int, bool], list[str]] = field(default_factory=dict)
    brightest: int = 0
    """Greatest value in the files of 16 bits."""

    def add(self, path: Path, native: Native) -> str:
        """Note a file; returns what people call its mode."""
        pixels = native.pixels
        mode = (pixels.shape[2], bits_of(pixels), native.alpha)
        self.found.setdefault(mode, []).append(str(path))
        if mode[1] == 16:
            self.brightest = max(self.brightest, int(pixels.max(initial=0)))
        return named(*mode)

    def problems(self, root: str) -> list[Problem]:
        """Mixed channels and depths, with what can be done about them."""
        problems = []
        strange = {m: files for m, files in self.found.items() if m[0] - m[2] not in (1, 3)}
        if len({(count, alpha) for count, _, alpha in self.found}) > 1:
            sentence = f"found images of different channels: {self._listed()}"
            way_out = "generator.channels: rgb or grey converts them, native needs all the same"
            if strange:
                way_out = "no setting of generator.channels takes them all"
            problems.append(Problem("warning", root, f"{sentence}; {way_out}"))
            problems += [
                Problem("error", file, f"found {named(*mode)}, which cannot be shown together with "
                        "the grey or colour images of this folder: convert or remove it")
                for mode, files in strange.items() for file in files
            ]  # fmt: skip
        elif strange:
            sentence = f"found {self._listed()}: only generator.channels: native can show them"
            problems.append(Problem("warning", root, sentence))
        elif len(self.found) > 1:
            sentence = (
                f"found images of different depths: {self._listed()}; all are taken as 16 bit"
            )
            problems.append(Problem("warning", root, sentence))
        if 0 < self.brightest < 1 << 14:
            sentence = (
                f"the brightest of all 16-bit values is {self.brightest}, expected up to 65535: "
                "the images are dark to the networks; scale them when they are converted"
            )
            problems.append(Problem("warning", root, sentence))
        return problems

    def _listed(self) -> str:
        kinds = sorted(self.found.items(), key=lambda kind: -len(kind[1]))
        return "; ".join(f"{len(files)} of {named(*mode)} ({_few(files)})" for mode, files in kinds)


def digest_of(pixels: Pixels) -> str:
    """Hex SHA-256 of decoded pixels, whatever the file's format."""
    return hashlib.sha256(f"{pixels.shape}{pixels.dtype}".encode() + pixels.tobytes()).hexdigest()


def _few(names: Sequence[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")
