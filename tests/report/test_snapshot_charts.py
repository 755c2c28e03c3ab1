"""The charts of a generator's snapshots: undone entries are left out, the floor is drawn."""

from __future__ import annotations

from vesselforge.engine.sinks.board import scalars
from vesselforge.report.run.snapshot_charts import snapshot_charts, survivors

LOG = [
    {"step": 2, "kimg": 0.2, "loss_g": 1.0},
    {"step": 2, "kimg": 0.2, "kid_mean": 0.3, "kid_std": 0.02, "diversity": 0.5}
    | {"kid_floor_mean": 0.01, "kid_floor_std": 0.005},
    {"step": 4, "kimg": 0.4, "kid_mean": 0.9, "kid_std": 0.02, "diversity": 0.1},
    {"step": 2, "kimg": 0.2, "rollback": 1, "from_step": 5, "reason": "collapsed"},
    {"step": 4, "kimg": 0.4, "kid_mean": 0.2, "kid_std": 0.02, "diversity": 0.6},
]


def test_what_a_rollback_undid_is_left_out():
    assert survivors(LOG) == [LOG[0], LOG[1], LOG[3], LOG[4]]
    assert survivors(LOG[:3]) == LOG[:3]


def test_kid_above_its_floor_and_diversity_below_the_real_views():
    kid, diversity, none = snapshot_charts(survivors(LOG), "kimg", "kimg")
    assert "real against real ± 1 sd" in kid.svg
    assert "At step 5 (collapsed) it went back to 0.2 kimg." in kid.caption
    assert "real views" in diversity.svg
    assert none is None


def test_a_log_without_scores_or_with_odd_ones_draws_nothing():
    assert not any(snapshot_charts([{"step": 1, "loss_g": 2.0}], "step", "steps"))
    odd = [{"step": 1, "kid_mean": "x"}, {"rollback": 1}, {"step": None, "rollback": 2}]
    assert not any(snapshot_charts(survivors(odd), "step", "steps"))


def test_masks_of_a_joint_generator_stand_beside_real_windows():
    real = {"density": 0.1, "components": 2.0, "ends": 1.0, "branchings": 0.0}
    own = {"density": 0.1, "components": 3.0, "ends": 4.0, "branchings": 1.0}
    structure = {"samples": own, "reals": real, "in_range": 0.25}
    log = [row | ({"structure": structure} if "kid_mean" in row else {}) for row in survivors(LOG)]
    *_, figure = snapshot_charts(log, "kimg", "kimg")
    for word in ("pieces", "ends", "in range", "real windows"):
        assert word in figure.svg
    assert "branchings" not in figure.svg  # nothing to relate them to
    tags = scalars(log[-1])
    assert (tags["structure/in_range"], tags["structure/samples/ends"]) == (0.25, 4.0)
