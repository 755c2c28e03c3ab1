from __future__ import annotations

import pytest
import torch
from segmenter_helpers import settled

from vesselforge.segmenter.models import Model
from vesselforge.segmenter.networks import build


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    return Model([settled(build("sa-unet", width=4))], 0.5, torch.device("cpu"))
