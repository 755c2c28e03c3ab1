"""The study's answer: of its own test set, or, where endpoints were declared, one sentence each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vesselforge.pipeline.statistics.verdict import METRICS, Row, change, counted, headline, p_text
from vesselforge.pipeline.study.schema import Arm, Effect, Endpoint, Results

VERDICTS = ("gain", "harm", "none shown")


def answer(results: Results) -> str:
    """In words, made from the figures alone."""
    if not results.declared:
        return headline(results.arms, results.primary, results.metric, results.power)
    deciding = [arm for arm in results.arms if arm.id in results.primary_arms]
    if not deciding:
        return "Nothing was compared: no primary arm is in the study."
    sentences = [_of_endpoint(results, deciding, endpoint) for endpoint in results.endpoints]
    tested = sum(e.p_primary is not None for arm in deciding for e in arm.effects)
    metric = METRICS.get(results.metric, results.metric)
    last = f"{metric} per image; p after Holm over {counted(tested, 'comparison')}"
    last += f", detectable with {100 * results.power:.0f} % power." if tested else "."
    return " ".join([*sentences, last])


def _of_endpoint(results: Results, deciding: Sequence[Arm], endpoint: Endpoint) -> str:
    """What each primary arm did there, against which real-only arm."""
    rows = [(a, e) for a in deciding for e in a.effects if e.place == endpoint.place]
    tested = [row for row in rows if row[1].verdict != "untested"]
    tested.sort(key=lambda row: (VERDICTS.index(row[1].verdict), -(row[1].mean or 0.0)))
    labels = {arm.id: arm.label for arm in results.arms}
    several = len({arm.real_images for arm in results.arms}) > 1
    groups: dict[str, list[str]] = {}
    for arm, effect in tested:
        control = f"against “{labels.get(effect.against, effect.against)}”"
        control += f" with {counted(arm.real_images, 'real image')}" if several else ""
        groups.setdefault(control, []).append(_clause(arm, effect))
    parts = [f"{control}: {'; '.join(clauses)}" for control, clauses in groups.items()]
    there = {arm.id for arm, _ in tested}
    if left := [arm.name or arm.label for arm in deciding if arm.id not in there]:
        parts.append(f"not tested: {', '.join(left)}")
    return f"{endpoint.name}{_size(tested)}, {'; '.join(parts)}."


def _clause(arm: Arm, effect: Effect) -> str:
    """What one arm did; beside every null, what would have been found."""
    text = f"{effect.verdict} of {arm.name or arm.label}, {change(effect)}, {p_text(effect)}"
    if effect.verdict != "none shown":
        return text
    if effect.detectable is None:
        return f"{text}, with {counted(effect.images, 'image')} nothing could be found"
    return f"{text}, detectable {effect.detectable:.4f}"


def _size(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    seeds, images = ([getattr(e, name) for _, e in rows] for name in ("seeds", "images"))
    return f" ({_span(seeds, 'seed')}, {_span(images, 'image')})"


def _span(counts: Iterable[int], noun: str) -> str:
    low, high = min(found := list(counts)), max(found)
    return counted(high, noun) if low == high else f"{low} to {counted(high, noun)}"
