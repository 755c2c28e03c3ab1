"""Does synthetic data help, and how much of it? A study on phantoms.

    python examples/ratio_study.py

Every arm trains the same student for the same number of steps, on real images and so many
synthetic ones; arms are compared with real images alone, in pairs of equal seeds, on the same test
images. The same command again trains only what is new, such as a count or a seed added here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import vesselforge as vf

STUDY = {
    "name": "ratio-study",
    "data": {"phantom": {"train": 6, "validation": 3, "test": 8, "size": 128}},
    "sources": {"phantoms": {"kind": "phantom", "appearance": "generic", "size": 128}},
    "arms": {"counts": [0, 12, 24], "orders": ["mixed"], "seeds": [0, 1]},
    "teacher": {"steps": 100, "batch": 8, "crop": 64, "lr": 0.004, "validate_every": 50},
    "finetune": {"steps": 100},
}


def main(overrides: Mapping[str, Any] | None = None) -> vf.StudyResult:
    result = vf.compare(STUDY, overrides=overrides)
    for arm in result.results.arms:
        level, low, high = arm.effects[0].level
        verdict = arm.effects[0].verdict if arm.baseline else "what the others are compared with"
        print(f"{arm.short}: F1 {level:.3f} [{low:.3f}, {high:.3f}]; {verdict}")
    print(f"{result.headline}\nreport: {result.report}")
    return result


if __name__ == "__main__":
    main()
