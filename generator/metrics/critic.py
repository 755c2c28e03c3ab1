"""The discriminator's score of every sample, seen exactly as it saw images in training.

Logits are not calibrated, and not comparable between trainings: they rank the samples of one
generator. Samples below all others are those that its own discriminator finds least real. A
discriminator knows its training images (it scores them above new ones), so `held_out_mean`, not
`real_mean`, is what a sample can be expected to reach.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vesselforge.configs.errors import CheckpointError, DataError
from vesselforge.data.formats.channels import Pixels, sixteen_bit
from vesselforge.data.imageset import ImageRecord, read_index
from vesselforge.data.layouts.splits import TRAIN, VALIDATION
from vesselforge.engine.files import write_atomic
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.generator.models import CRITIC, load_discriminator, read_description
from vesselforge.generator.sampling.grids import channels_of
from vesselforge.generator.values import resized, restore, to_network
from vesselforge.generator.views import Views, load_views, read_shown

TABLE = "samples.csv"
HEAD = ("sample", "critic")
BATCH = 16
MOST_REALS = 64
"""Real crops of a split at most, as behind the gap in the log of a training."""
USUAL_GROUP = 4
"""Of minibatch-std, where a network's description leaves it to the batch."""

Seen = tuple[Pixels, Tensor]
"""An image `[R, R, C]` and its label `[c_dim]`, as in training."""


@dataclass(frozen=True)
class Judged:
    """logits: of the samples, `[N]`, positive means real. real_mean: of training views.
    held_out_mean: of validation views; None without such images (or without their labels)."""

    logits: list[float]
    real_mean: float
    held_out_mean: float | None

    def figures(self) -> dict[str, float]:
        """Return the means under the names of metrics.json."""
        found = {"critic_mean": float(np.mean(self.logits)), "critic_real_mean": self.real_mean}
        if self.held_out_mean is not None:
            found["critic_held_out_mean"] = self.held_out_mean
        return found


class Critic:
    """The discriminator of a generator.train folder, at the snapshot that was delivered.

    Minibatch-std makes a logit depend on the images beside it. So each image is scored in a group
    of its own, filled up with the same few real training views: its logit depends neither on the
    order of the samples nor on which others there are, and the statistic stays in the range that
    training showed of real images. In a group of copies of one image it would not: no spread at
    all is the mark of a collapsed generator.
    """

    def __init__(
        self, generator: Path, images: Path, views: int, seed: int, device: torch.device
    ) -> None:
        """generator: a generator.train folder. images: the prepared set it was trained on. views:
        real crops to score (patch presentation). Raises CheckpointError without a discriminator,
        DataError for images that it could not have been trained on."""
        description = read_description(generator)
        if "discriminator" not in description or not (generator / CRITIC).is_file():
            raise CheckpointError(
                f"{generator}: found no {CRITIC}, expected the discriminator beside the generator; "
                "files of G_ema alone have none: train from it for a while, or set score.critic "
                "to false (and pseudo_label.worst_critic to 0)"
            )
        self.network = load_discriminator(generator).to(device)
        self.presentation = description["presentation"]
        self.resolution = int(description["resolution"])
        self.native_size = description["native_size"]
        self.channels = channels_of(description)
        self.images, self.seed, self.device = images, seed, device
        self.views = min(views, MOST_REALS)
        layer = self.network.b4.mbstd
        self._fill = 0 if layer is None else (layer.group_size or USUAL_GROUP) - 1
        shown = list(self._real(TRAIN, self.views + self._fill))
        # Companions are not scored beside themselves, unless there is nothing else.
        companions, self._shown = shown[: self._fill], shown[self._fill :] or shown
        self._beside = self._features(companions) if companions else None
        if layer is not None:
            layer.group_size = len(companions) + 1

    def judge(self, samples: Path, records: Sequence[ImageRecord], progress: Progress) -> Judged:
        """Score samples of any image set. Raises DataError, naming the file, for one that the
        generator cannot have drawn, Interrupted when asked to stop."""
        logits: list[float] = []
        for some in _batches(self.sample(samples, record) for record in records):
            if progress.stop_requested:
                raise Interrupted(f"generator.score stopped after {len(logits)} logits")
            logits += self.logits(some)
            progress.update(len(logits), len(records), "logits")
        return Judged(logits, self._mean(self._shown), self._held_out_mean())

    @torch.no_grad()
    def logits(self, seen: Sequence[Seen]) -> list[float]:
        """Return the logit of each of a few images."""
        count, labels = len(seen), None
        x, small = self._features(seen)
        if self.network.c_dim:
            labels = torch.stack([label for _, label in seen]).to(self.device)
        if self._beside is not None:
            # A group is every count-th image: image i, then its copies of the companions. Those
            # may have any label, for it meets an image's own features only.
            x = torch.cat([x, self._beside[0].repeat_interleave(count, 0)])
            if small is not None and self._beside[1] is not None:
                small = torch.cat([small, self._beside[1].repeat_interleave(count, 0)])
            labels = None if labels is None else labels.repeat(len(x) // count, 1)
        found: list[float] = self.network.logits(x, small, labels)[:count, 0].double().tolist()
        return found

    @torch.no_grad()
    def _features(self, seen: Sequence[Seen]) -> tuple[Tensor, Tensor | None]:
        images = np.stack([pixels for pixels, _ in seen]).transpose(0, 3, 1, 2)
        return self.network.features(to_network(images.copy(), self.device))

    def sample(self, folder: Path, record: ImageRecord) -> Seen:
        """Read one sample as the discriminator sees it."""
        path = folder / record.image
        labelled = self.network.c_dim > 0
        if labelled and record.label is None:
            raise DataError(
                f"{path}: found no label of image {record.id!r}, expected what the conditional "
                "generator was told; score the set that generator.sample wrote"
            )
        shown = read_shown(folder, record, self.channels.kind, labelled)
        label = torch.tensor([] if shown.label is None else shown.label, dtype=torch.float32)
        pixels, side = shown.pixels, self.resolution
        height, width, count = pixels.shape
        whole = self.presentation == "full"
        drawn = (*((whole and self.native_size) or (side, side)), self.channels.count)
        if (height, width, count) != drawn:
            raise DataError(
                f"{path}: found {width}×{height} pixels of {count} channels, expected "
                f"{drawn[1]}×{drawn[0]} of {drawn[2]} as the generator draws; give the generator "
                "that drew these samples"
            )
        return self._deep(resized(pixels, (side, side)) if whole else pixels), label

    def _real(self, split: str, count: int) -> Iterator[Seen]:
        """Yield `count` random crops, or every image, the way of the samples: to their size on
        disk and back, so that no resizing tells the two apart."""
        views = self._views(split)
        if self.presentation == "full":
            labels = torch.zeros(len(views), 0) if views.labels is None else views.labels
            for index, label in enumerate(labels):
                pixels = restore(views.patch(index, 0, 0), self.native_size)
                yield self._deep(resized(pixels, (self.resolution, self.resolution))), label
            return
        pixels = views.batch(count, self.seed, 0).transpose(0, 2, 3, 1)
        for image, label in zip(pixels, views.batch_labels(count, self.seed, 0), strict=True):
            yield self._deep(image), label

    def _views(self, split: str) -> Views:
        kind, labelled = self.channels.kind, self.network.c_dim > 0
        return load_views(
            self.images, self.presentation, self.resolution, kind, labelled, split=split
        )  # fmt: skip

    def _deep(self, pixels: Pixels) -> Pixels:
        return sixteen_bit(pixels) if self.channels.bits == 16 else pixels

    def _mean(self, seen: Iterable[Seen]) -> float:
        return float(np.mean([logit for some in _batches(seen) for logit in self.logits(some)]))

    def _held_out_mean(self) -> float | None:
        records = read_index(self.images, VALIDATION)
        if not records or (self.network.c_dim and any(r.label is None for r in records)):
            return None
        return self._mean(self._real(VALIDATION, self.views))


def write_logits(out: Path, records: Sequence[ImageRecord], logits: Sequence[float]) -> None:
    """Write samples.csv: one row a sample, in the order of the set; logits to six digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEAD)
    for record, logit in zip(records, logits, strict=True):
        writer.writerow((record.id, f"{logit:.6g}"))
    write_atomic(out / TABLE, text.getvalue())


def _batches(seen: Iterable[Seen]) -> Iterator[list[Seen]]:
    rest = iter(seen)
    while some := list(islice(rest, BATCH)):
        yield some
