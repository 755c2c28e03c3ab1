"""Datasets by name. Each is one entry of `DATASETS`, and nothing else: settings' choices, help
texts, messages, `doctor`, model cards and the reader of its files come from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import AfterValidator, Field

from vesselforge.configs.choices import known

Splits = Mapping[str, tuple[str, ...]]
"""train, validation and test → identifiers of images."""


@dataclass(frozen=True)
class KnownDataset:
    """A public dataset in its official layout.

    title: for readers. folder: its usual name. origin: how to get it. licence: for model cards.
    image, masks (by observer, the reference first), fov: where files lie, with {id} for the
    identifier and {part} for what `parts` says of the split; files of other suffixes are taken,
    too, and upper and lower case are the same. folds: splits, by the setting `fold` where there
    are several. counts: in place of folds, for a set whose names we have no list of: so many images
    a split. Those of a part are sorted by the last digit of their number, then by the number, so
    that every range of numbers is in every split; all of them must be there. sample: the name of an
    image of such a set. unlabelled_test: the official package has no masks of the test images.
    """

    title: str
    folder: str
    origin: str
    licence: str
    image: str
    masks: Mapping[str, str]
    folds: tuple[Splits, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    sample: str = ""
    fov: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    unlabelled_test: bool = False

    def path(self, template: str, id_: str, split: str) -> str:
        """Where a file lies, relative to the dataset's folder."""
        part = self.parts.get(split, "")
        return template.format(id=id_.removeprefix(f"{part}-"), part=part)

    @property
    def example(self) -> str:
        """A path of an image, for messages."""
        return self.path(self.image, self.sample or self.folds[0]["train"][0], "train")


def _numbers(first: int, last: int) -> tuple[str, ...]:
    return tuple(f"{number:02d}" for number in range(first, last + 1))


def _eyes(first: int, last: int) -> tuple[str, ...]:
    return tuple(number + side for number in _numbers(first, last) for side in "LR")


def _hrf(first: int, last: int) -> tuple[str, ...]:
    """Of each group: healthy, diabetic retinopathy, glaucoma."""
    groups = ("h", "dr", "g")
    return tuple(f"{number}_{group}" for number in _numbers(first, last) for group in groups)


# STARE has no official split. Each four: two retinas with pathology, then two healthy ones.
STARE = (
    ("im0001", "im0044", "im0077", "im0235"),
    ("im0002", "im0139", "im0081", "im0236"),
    ("im0003", "im0291", "im0082", "im0239"),
    ("im0004", "im0319", "im0162", "im0240"),
    ("im0005", "im0324", "im0163", "im0255"),
)


def _stare(fold: int) -> Splits:
    """The four of `fold` are the test, the first three of the next one the validation."""
    test = STARE[fold]
    validation = STARE[(fold + 1) % len(STARE)][:3]
    held = {*test, *validation}
    train = tuple(sorted(id_ for four in STARE for id_ in four if id_ not in held))
    return {"train": train, "validation": validation, "test": test}


DATASETS = {
    "drive": KnownDataset(
        title="DRIVE",
        folder="DRIVE",
        origin="register at https://drive.grand-challenge.org and unpack it there",
        licence="DRIVE (Staal et al. 2004), drive.grand-challenge.org; for research",
        image="{part}/images/{id}_{part}.tif",
        masks={"1st": "{part}/1st_manual/{id}_manual1.gif",
               "2nd": "{part}/2nd_manual/{id}_manual2.gif"},
        fov="{part}/mask/{id}_{part}_mask.gif",
        parts={"train": "training", "validation": "training", "test": "test"},
        # The official halves; the last four training images are held for validation.
        folds=({"train": _numbers(21, 36), "validation": _numbers(37, 40),
                "test": _numbers(1, 20)},),
        unlabelled_test=True,
    ),
    "chase-db1": KnownDataset(
        title="CHASE_DB1",
        folder="CHASE_DB1",
        origin="get it from https://researchdata.kingston.ac.uk/96 and unpack it there",
        licence="CHASE_DB1 (Fraz et al. 2012), CC BY 4.0",
        image="Image_{id}.jpg",
        masks={"1st": "Image_{id}_1stHO.png", "2nd": "Image_{id}_2ndHO.png"},
        # First 20 images / last 8, as SA-UNet and most others; both eyes of a child together.
        folds=({"train": _eyes(1, 8), "validation": _eyes(9, 10), "test": _eyes(11, 14)},),
    ),
    "stare": KnownDataset(
        title="STARE",
        folder="STARE",
        origin="get it from https://cecas.clemson.edu/~ahoover/stare and unpack it there",
        licence="STARE (Hoover et al. 2000), cecas.clemson.edu/~ahoover/stare; for research",
        image="stare-images/{id}.ppm.gz",
        masks={"ah": "labels-ah/{id}.ah.ppm.gz", "vk": "labels-vk/{id}.vk.ppm.gz"},
        folds=tuple(_stare(fold) for fold in range(len(STARE))),
    ),
    "hrf": KnownDataset(
        title="HRF",
        folder="HRF",
        origin="get all.zip from https://www5.cs.fau.de/research/data/fundus-images",
        licence="HRF (Budai et al. 2013), CC BY 4.0",
        image="images/{id}.jpg",
        masks={"reference": "manual1/{id}.tif"},
        fov="mask/{id}_mask.tif",
        # No official split; as Orlando et al. 2017: the first five of each group for development.
        folds=({"train": _hrf(1, 4), "validation": _hrf(5, 5), "test": _hrf(6, 15)},),
    ),
    "les-av": KnownDataset(
        title="LES-AV",
        folder="LES-AV",
        origin="get LES-AV.zip from https://figshare.com/articles/dataset/LES-AV_dataset/11857698",
        licence="LES-AV (Orlando et al. 2018), figshare.com; for research, not for commercial use",
        image="images/{id}.png",
        masks={"reference": "vessel-segmentations/{id}.png"},
        fov="masks/{id}_mask.gif",
        counts={"train": 8, "validation": 3, "test": 11},
        sample="268",
    ),
    "fives": KnownDataset(
        title="FIVES",
        folder="FIVES",
        origin="get it from https://figshare.com/articles/figure/19688169 and unpack it there",
        licence="FIVES (Jin et al. 2022), CC BY 4.0",
        image="{part}/Original/{id}.png",
        masks={"reference": "{part}/Ground truth/{id}.png"},
        parts={"train": "train", "validation": "train", "test": "test"},
        # The official halves; a tenth of the training images, of all four groups, for validation.
        counts={"train": 540, "validation": 60, "test": 200},
        sample="1_A",
    ),
}  # fmt: skip
OWN = {
    "paired": "images and masks (and FOVs) that share a name, as in images/, masks/ and fov/",
    "images": "image files, in sub-folders too",
}
"""Layouts of a user's own folder."""
NAMED = ("phantom", *DATASETS)
"""What a name alone stands for."""
NAMES = (*NAMED, *OWN)
"""Every value of the setting `data.name`."""
KNOWN_NAMES = ", ".join(DATASETS)
SECOND_OBSERVERS = ", ".join(
    f"{name}: {observer}" for name, each in DATASETS.items() for observer in list(each.masks)[1:]
)
"""Both for help texts and messages."""
TITLES = {"phantom": "phantoms"} | {name: each.title for name, each in DATASETS.items()}
"""What readers call a dataset."""


DatasetName = Annotated[
    str, AfterValidator(known(NAMES)), Field(json_schema_extra={"enum": list(NAMES)})
]
