"""What each picture of a folder is, whoever laid it out: an image, its vessel mask or its FOV.

The names of folders say it; where none is called after masks, the word at the end (or beginning) of
a file's own name does. Two files belong together when their names are the same without that word.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

from vesselforge.configs.errors import DataError
from vesselforge.data.formats.images import composed, is_image_name, is_rubbish, stem_of
from vesselforge.data.layouts.items import Problem
from vesselforge.data.layouts.splits import TEST, TRAIN, VALIDATION
from vesselforge.engine.documents import is_plain, spelled

IMAGE, VESSELS, LABEL, MASK, FOV = "image", "vessels", "label", "mask", "fov"
SECOND, LOOSE = "second", "loose"
"""Roles. VESSELS, LABEL and MASK are vessel masks; but MASK is the FOV where there are VESSELS, as
in DRIVE and HRF. SECOND: of a second observer. LOOSE: in no folder that says what is in it."""
DRAWN = frozenset({VESSELS, LABEL, MASK, FOV, SECOND})
WORDS = {
    IMAGE: "image images img imgs photo photos picture pictures original originals fundus imagestr "
    "input inputs stareimages",
    VESSELS: "vessel vessels vesselmask vesselmasks vesselsegmentation vesselsegmentations manual "
    "manuals manual1 1stmanual 1stho ah labelsah",
    LABEL: "label labels labelstr groundtruth groundtruths gt annotation annotations seg segs "
    "segmentation segmentations segmentationmask segmentationmasks target targets",
    MASK: "mask masks",
    FOV: "fov fovs fovmask fovmasks roi",
    SECOND: "manual2 2ndmanual 2ndho vk labelsvk",
}
"""Role → what its folders are called, or what stands in names of its files; without capitals,
spaces and signs."""
ROLES = {word: role for role, words in WORDS.items() for word in words.split()}
SPLITS = {"train": TRAIN, "training": TRAIN, "test": TEST, "testing": TEST}
SPLITS |= dict.fromkeys(("val", "valid", "validation"), VALIDATION)
"""Names of folders that mean a split."""
OF_IMAGES = frozenset({"training", "test", "0000"})
"""Further words in names of images: of DRIVE, and of nnU-Net."""
NOTES = frozenset(
    {"", ".txt", ".md", ".pdf", ".html", ".yaml", ".json", ".csv", ".xls", ".xlsx", ".xml"}
)
"""Suffixes of files that nobody expects to be images."""
FOREIGN = "no images that can be read here: convert them"

STRANGE_NAME = "its name is not UTF-8 text, or holds a control character: rename it"
Identify = Callable[[str], str | None]
"""The identifier in a name; None where there is none."""


def plain_name(name: str) -> str:
    """A folder's name without capitals, spaces and signs."""
    return "".join(filter(str.isalnum, name.lower()))


def is_part(name: str) -> bool:
    """Whether a folder's name says what is in it, so that it belongs to the layout."""
    return plain_name(name) in ROLES | SPLITS


@dataclass(frozen=True)
class Placed:
    """A picture file. name: its stem after the folders it lies in, joined by `-`, without those
    that say its role; bare: the same without the word for its role."""

    path: Path
    role: str
    name: str
    bare: str


@dataclass
class Sorted:
    """What a folder holds. images, masks, fovs: identifier → file. pictures: all that there are;
    drawn: those that are masks and FOVs, matched or not. labelled: some are vessel masks. left_out:
    a reason → files."""

    images: dict[str, Path] = field(default_factory=dict)
    masks: dict[str, Path] = field(default_factory=dict)
    fovs: dict[str, Path] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    left_out: dict[str, list[Path]] = field(default_factory=dict)
    pictures: list[Path] = field(default_factory=list)
    drawn: list[Path] = field(default_factory=list)
    labelled: bool = False

    def splits(self, root: Path) -> dict[str, str]:
        """Identifier → split, where all images lie in folders such as train/ and test/."""
        said = {}
        for id_, path in self.images.items():
            folders = map(plain_name, path.relative_to(root).parts[:-1])
            said[id_] = next((SPLITS[name] for name in folders if name in SPLITS), "")
        return said if all(said.values()) and len(set(said.values())) > 1 else {}

    def warn(self, root: Path) -> None:
        """Add a warning for each reason why files were left out."""
        for reason, files in self.left_out.items():
            if not files:
                continue
            kinds = Counter(path.suffix.lower() for path in files)
            found = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
            shown = "" if reason == FOREIGN else f" ({files[0].relative_to(root)}, …)"
            sentence = f"left out {found} files{shown}, which are {reason}"
            self.problems.append(Problem("warning", str(root), sentence))


def walk(root: Path) -> tuple[list[Path], list[Path]]:
    """Pictures below `root`, by name, and other files that are not notes; rubbish is not looked at,
    links are followed. Raises DataError for a folder that may not be read."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error

    pictures, others = [], []
    for folder, inside, files in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        if any(os.path.realpath(parent) == real for parent in Path(folder).parents):
            inside.clear()  # a link that leads in a circle
            continue
        inside[:] = [name for name in inside if not is_rubbish(name)]
        for path in (Path(folder, name) for name in files if not is_rubbish(name)):
            if is_image_name(path):
                pictures.append(path)
            elif path.suffix.lower() not in NOTES:
                others.append(path)
    return sorted(pictures), sorted(others)


def sort_files(root: Path, id_of: Identify | None = None) -> Sorted:
    """Tell images, masks and FOVs below `root`, and match them. id_of: of a pattern; without, by
    names. Whatever fits nowhere is a problem or is among `left_out`."""
    pictures, others = walk(root)
    names = {path: path.relative_to(root).as_posix() for path in pictures}
    pictures = [path for path in pictures if is_plain(names[path])]
    found = Sorted(pictures=pictures, left_out={FOREIGN: others} if others else {})
    for path, name in names.items():
        if not is_plain(name):
            found.problems.append(Problem("error", spelled(path), STRANGE_NAME, spelled(path.name)))
    placed = [_placed(path, root) for path in pictures]
    shown = IMAGE if any(one.role == IMAGE for one in placed) else LOOSE
    if not any(one.role in (VESSELS, LABEL, MASK) for one in placed):
        placed = list(_by_words(placed, shown, id_of))
    roles = {one.role for one in placed}
    aside = FOV if VESSELS in roles else VESSELS
    of_role: dict[str, list[Placed]] = {}
    for one in placed:
        role = {shown: IMAGE, LABEL: VESSELS, MASK: aside}.get(one.role, one.role)
        of_role.setdefault(role, []).append(one)
    found.labelled = VESSELS in of_role
    found.drawn = [one.path for role in (VESSELS, FOV, SECOND) for one in of_role.get(role, ())]
    for role, reason in {
        SECOND: "of a second observer",
        LOOSE: "in no folder of images, masks or FOVs: move them there if they are meant",
    }.items():
        if role in of_role:
            found.left_out[reason] = [one.path for one in of_role[role]]
    images = _Images(of_role.get(IMAGE, ()), id_of, found)
    found.masks = images.matched(of_role.get(VESSELS, ()), "vessel mask")
    found.fovs = images.matched(of_role.get(FOV, ()), "FOV")
    return found


class _Images:
    """The images of a folder, by identifier, and what is drawn for them."""

    def __init__(self, images: Sequence[Placed], id_of: Identify | None, found: Sorted) -> None:
        self.found, self.id_of = found, id_of
        self.ids: dict[str, str] = {}  # key → identifier
        bare: dict[str, list[str]] = {}
        for one in images:
            if (id_ := self._id(one)) is None:
                continue
            if (first := self.ids.setdefault(_key(id_), id_)) in found.images:
                self._refuse_second(one.path, first, found.images[first], "image")
                continue
            found.images[id_] = one.path
            bare.setdefault(_key(one.bare), []).append(id_)
        if id_of is None:  # names without `_training` and the like, where they tell images apart
            shorter = {key: ids[0] for key, ids in bare.items() if len(ids) == 1}
            self.ids = shorter | self.ids

    def matched(self, drawn: Sequence[Placed], what: str) -> dict[str, Path]:
        """Identifier → the one mask or FOV of the image."""
        files: dict[str, Path] = {}
        for one in drawn:
            if (name := self._id(one)) is None:
                continue
            keys = [_key(name)] if self.id_of else [_key(name), _key(one.bare)]
            id_ = next((self.ids[key] for key in keys if key in self.ids), None)
            if id_ is None:
                shown = name if self.id_of else one.bare
                sentence = (
                    f"found no image with identifier {shown!r} for this {what}; rename one of the "
                    "two, or say with --pattern (data.pattern) how names are matched"
                )
                self.found.problems.append(Problem("error", str(one.path), sentence, shown))
            elif files.setdefault(id_, one.path) != one.path:
                self._refuse_second(one.path, id_, files[id_], what)
        return files

    def _id(self, one: Placed) -> str | None:
        id_ = self.id_of(one.name) if self.id_of else one.name
        if id_ is None:
            sentence = "data.pattern finds no `id` in this name"
            self.found.problems.append(Problem("error", str(one.path), sentence, one.path.name))
        return id_

    def _refuse_second(self, path: Path, id_: str, first: Path, what: str) -> None:
        other = first.name if first.parent == path.parent else str(first)
        sentence = (
            f"found a second file for identifier {id_!r} beside {other}, expected one {what}: "
            "move one of the two away (into fov/ if it is a FOV), or change --pattern "
            "(data.pattern) if that is what takes them for one"
        )
        self.found.problems.append(Problem("error", str(path), sentence, id_))


def _placed(path: Path, root: Path) -> Placed:
    """What the folders say of a picture. The innermost that says mask or FOV counts, then one that
    says image: images lie in `ground truth/img` as well."""
    folders = path.relative_to(root).parts[:-1]
    said = [ROLES[plain_name(name)] for name in reversed(folders) if plain_name(name) in ROLES]
    role = next((one for one in said if one != IMAGE), said[0] if said else LOOSE)
    rest = [name for name in folders if plain_name(name) not in ROLES]
    stem = composed(stem_of(path))
    word = _word(stem, DRAWN if role in DRAWN else {IMAGE})
    return Placed(path, role, _joined(*rest, stem), _joined(*rest, word[1] if word else stem))


def _by_words(placed: Sequence[Placed], shown: str, id_of: Identify | None) -> Iterator[Placed]:
    """Pictures beside their images: a word in the name says what they are, but only where there is
    an image of the same name without it."""
    words = {one.path: _word(composed(stem_of(one.path)), DRAWN) for one in placed}
    said = {one.path: word for one in placed if one.role == shown and (word := words[one.path])}
    known = {
        (one.path.parent, _key(name))
        for one in placed
        if one.role == shown and one.path not in said
        for name in ({id_of(one.name)} if id_of else {one.name, one.bare})
        if name
    }
    for one in placed:
        if word := said.get(one.path):
            bare = one.name.removesuffix(composed(stem_of(one.path))) + word[1]
            bare = bare.removesuffix("-") if not word[1] else bare
            name = id_of(one.name) if id_of else bare
            if name and (one.path.parent, _key(name)) in known:
                one = replace(one, role=word[0], bare=bare)
        yield one


def _word(stem: str, roles: Set[str]) -> tuple[str, str] | None:
    """The role that a word at the end or the beginning of a stem stands for, and the rest of it;
    of two words (`vessel_mask`) rather than of one."""
    pieces = re.split(r"([-_. ]+)", stem)  # words at even places
    for count in (3, 1):
        if len(pieces) < count:
            continue
        ends = (pieces[-count:], pieces[: -count - 1]), (pieces[:count], pieces[count + 1 :])
        for said, rest in ends:
            word = plain_name("".join(said))
            role = IMAGE if IMAGE in roles and word in OF_IMAGES else ROLES.get(word, LOOSE)
            if role in roles:
                return role, "".join(rest)
    return None


def drawn_in_name(stem: str) -> tuple[str, str] | None:
    """Where a name says that something is drawn: `FOV` or `vessel mask`, and the rest of it."""
    word = _word(composed(stem), DRAWN)
    return word and ("FOV" if word[0] in (FOV, MASK) else "vessel mask", word[1])


def _joined(*parts: str) -> str:
    return "-".join(composed(part) for part in parts if part)


def _key(name: str) -> str:
    """What is compared of names: upper and lower case are the same."""
    return name.casefold()
