"""The charts of a generator's snapshots: the floor is drawn, an early end is told."""

from __future__ import annotations

from vesselforge.engine.sinks.board import scalars
from vesselforge.report.run.synthetic_sections import snapshot_charts

LOG = [
    {"step": 2, "kimg": 0.2, "loss_g": 1.0},
    {"step": 2, "kimg": 0.2, "kid_mean": 0.3, "kid_std": 0.02, "diversity": 0.5}
    | {"kid_floor_mean": 0.01, "kid_floor_std": 0.005},
    {"step": 4, "kimg": 0.4, "kid_mean": 0.2, "kid_std": 0.02, "diversity": 0.6},
    {"step": 5, "kimg": 0.5, "failed": "the loss is no longer a finite number"},
]


def test_kid_stands_above_its_floor():
    kid, none = snapshot_charts(LOG, "kimg", "kimg")
    assert "real against real ± 1 sd" in kid.svg
    assert "At step 5 it ended early: the loss is no longer a finite number." in kid.caption
    assert none is None


def test_a_log_without_scores_or_with_odd_ones_draws_nothing():
    assert not any(snapshot_charts([{"step": 1, "loss_g": 2.0}], "step", "steps"))
    odd = [{"step": 1, "kid_mean": "x"}, {"failed": None}, {"step": None}]
    assert not any(snapshot_charts(odd, "step", "steps"))


def test_masks_of_a_joint_generator_stand_beside_real_windows():
    real = {"density": 0.1, "components": 2.0, "ends": 1.0, "branchings": 0.0}
    own = {"density": 0.1, "components": 3.0, "ends": 4.0, "branchings": 1.0}
    structure = {"samples": own, "reals": real, "in_range": 0.25}
    log = [row | ({"structure": structure} if "kid_mean" in row else {}) for row in LOG]
    *_, figure = snapshot_charts(log, "kimg", "kimg")
    for word in ("pieces", "ends", "in range", "real windows"):
        assert word in figure.svg
    assert "branchings" not in figure.svg  # nothing to relate them to
    tags = scalars(log[-2])
    assert (tags["structure/in_range"], tags["structure/samples/ends"]) == (0.25, 4.0)
