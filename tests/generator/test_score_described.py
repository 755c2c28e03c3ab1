"""Any image set can be scored: labelled samples, those of a study's arm, anybody's pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from generator_helpers import StopAfter
from score_helpers import crops, write_phantom_set, write_samples

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import ScoreSettings
from vesselforge.data.imageset import read_index, write_index
from vesselforge.engine.files import write_json
from vesselforge.engine.progress import Progress
from vesselforge.generator.metrics.extractors import load_extractor
from vesselforge.generator.metrics.reals import described, sample_records
from vesselforge.generator.metrics.sample_scores import score_samples
from vesselforge.generator.trained import DESCRIPTION
from vesselforge.generator.values import Channels

pytestmark = pytest.mark.slow

SIDE, REAL = 32, 64


def scores_of(inputs, out):
    cfg = ScoreSettings(features="random", real_views=16)
    out.mkdir()
    return score_samples(cfg, inputs, load_extractor("random"), out, Progress())


def write_inputs(tmp_path, side=SIDE, native=None, count=12):
    rng = np.random.default_rng(0)
    images = crops(range(50, 55), count, native[0] if native else side, rng)
    return {
        "images": write_phantom_set(tmp_path / "images"),
        "samples": write_samples(tmp_path / "samples", images, side, native),
    }


def test_the_generator_knows_better(tmp_path):
    inputs = write_inputs(tmp_path, 16, [40, 40])
    samples = inputs["samples"].path
    known = scores_of(inputs, tmp_path / "known")
    (samples / "samples.json").rename(tmp_path / DESCRIPTION)
    facts = {"generator": {"img_channels": 3}, "presentation": "full", "resolution": 16}
    write_json(
        tmp_path / DESCRIPTION, facts | {"native_size": [40, 40], "channels": vars(Channels())}
    )
    assert described(inputs, Progress())["resolution"] == 40, "taken for whole images"
    inputs["generator"] = replace(inputs["samples"], path=tmp_path)
    assert scores_of(inputs, tmp_path / "told") == known


def test_whole_images_are_compared_at_their_size(tmp_path):
    inputs = write_inputs(tmp_path, REAL, count=6)
    (inputs["samples"].path / "samples.json").unlink()
    said = StopAfter(99)
    facts = described(inputs, said)
    assert said.lines == ["samples: no samples.json; real images are shown whole, 64×64 pixels"]
    assert (facts["presentation"], facts["native_size"]) == ("full", [REAL, REAL])
    found = scores_of(inputs, tmp_path / "out")
    assert found["real"] == 5, "every training image, once"


def test_rejected_samples_do_not_count(tmp_path):
    inputs = write_inputs(tmp_path)
    folder = inputs["samples"].path
    records = read_index(folder)
    write_index(folder, "labelled", [replace(r, split="rejected") for r in records[:5]])
    said = "samples: found 5 images, none of them of split 'train'.*loosen the filters"
    with pytest.raises(DataError, match=said):
        sample_records(folder)
    split = [replace(r, split="rejected" if i < 5 else "train") for i, r in enumerate(records)]
    write_index(folder, "labelled", split)
    some = scores_of(inputs, tmp_path / "some")
    assert some["synthetic"] == 7
    write_index(folder, "subset", records[5:])
    assert scores_of(inputs, tmp_path / "subset") == some
    table = (tmp_path / "some" / "closest.csv").read_text()
    assert table == (tmp_path / "subset" / "closest.csv").read_text()
    assert "sample0," not in table
