"""What a study would do, without doing any of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from configs.study import StudyConfig
from data.store import MANIFEST, Store
from flows.study.checks import check_study
from flows.study.plan import Plan, plan_of
from flows.study.work import Work, closure


def preview(config: StudyConfig, workspace: Path) -> list[dict[str, Any]]:
    """One row for each kind of stage: how many there are, and how many are finished already."""
    check_study(config, workspace)
    store = Store(workspace)
    rows: dict[str, dict[str, Any]] = {}
    for work in closure(every_work(plan_of(config))).values():
        row = rows.setdefault(work.kind, {"stage": work.kind, "in all": 0, "to do": 0})
        row["in all"] += 1
        row["to do"] += not (store.folder(work.kind, work.digest) / MANIFEST).is_file()
    return list(rows.values())


def every_work(plan: Plan) -> list[Work]:
    """The targets of a study whose samples are all kept; ensembles, which are cheap, left out."""
    targets = [plan.development(), plan.test(), *plan.external().values()]
    for arm in plan.arms:
        for seed in plan.seeds:
            source, selection = plan.source(arm.real_images, seed), None
            if arm.order is not None:
                pools = plan.pools_for(arm.count)
                selection = plan.selection(source, arm.count, pools)
                targets.append(plan.realism(source, selection))
            student = plan.student(arm, seed, selection)
            real = plan.real(arm.real_images, source.seed)
            targets += plan.evaluations(student, real, arm.label).values()
    for source in plan.sources():
        teacher, real = plan.teacher(source), plan.real(source.real_images, source.seed)
        targets += plan.evaluations(teacher, real, "teacher").values()
    return targets
