"""The chart of a generator's snapshots: undone entries are left out, the floor is drawn."""

from __future__ import annotations

from vesselforge.engine.sinks.board import scalars
from vesselforge.report.run.synthetic_sections import kid_chart, survivors

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


def test_kid_stands_above_its_floor():
    kid = kid_chart(survivors(LOG), "kimg", "kimg")
    assert "real against real ± 1 sd" in kid.svg
    assert "At step 5 (collapsed) it went back to 0.2 kimg." in kid.caption


def test_a_log_without_scores_or_with_odd_ones_draws_nothing():
    assert not kid_chart([{"step": 1, "loss_g": 2.0}], "step", "steps")
    odd = [{"step": 1, "kid_mean": "x"}, {"rollback": 1}, {"step": None, "rollback": 2}]
    assert not kid_chart(survivors(odd), "step", "steps")


def test_masks_of_a_joint_generator_are_on_the_board():
    own = {"density": 0.1, "components": 3.0, "ends": 4.0, "branchings": 1.0}
    tags = scalars(LOG[-1] | {"structure": {"samples": own, "in_range": 0.25}})
    assert (tags["structure/in_range"], tags["structure/samples/ends"]) == (0.25, 4.0)
