"""Fault test: what a run says when something around it breaks, and that nothing finished is lost.

    python -m benchmarks.reliability.faults [--only WORDS] [--folder DIR] [--json FILE]

Full and read-only disks, damaged checkpoints and artifacts, a dataset that changes under the run,
memory that runs out, servers that die. Every fault meets the small pipeline of the kill test; then
the harm is undone as a user would, the same command given again, and its files compared with
those of an undisturbed run. Linux; the disks need root, else those lines say why they are missing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.reliability.fault_cases import CASES, Case
from benchmarks.reliability.pipeline import half_written
from benchmarks.reliability.processes import living, stoppable
from benchmarks.reliability.reference import Reference, gone
from benchmarks.reliability.scene import Scene, Skipped, fresh, message_of
from benchmarks.reliability.tables import facts, markdown, write

Row = dict[str, Any]


def meet(case: Case, reference: Reference, folder: Path) -> Row:
    """Let a run meet the fault; look; undo it; give the command again; look again."""
    started = time.monotonic()
    more: tuple[str, ...] = ()
    if case.dataset:
        shutil.copytree(folder.parent / "dataset", folder / "dataset")
        more = on_dataset(folder / "dataset")
    with ExitStack() as stack:
        scene = Scene(reference, folder, stack, more)
        try:
            status, said = case.act(scene)
        except Skipped as reason:
            return {"fault": case.fault, "skipped": str(reason), "well": True}
        lost = still_finished(scene, case)
        broken = [] if case.costs else half_written(scene.workspace)
        for repair in scene.repairs:
            repair()
        again, words = (0, said) if status == 0 else scene.run()
        (folder / "again.txt").write_text(words)
        equal = reference.equal(scene.workspace)
    row = {
        "fault": case.fault,
        "status": status,
        "message": message_of(said, folder),
        "expected": status == case.status and case.words in said and "Traceback" not in said,
        "lost": lost,
        "half_written": broken,
        "completed": again == 0,
        "equal": equal,
        "left": gone(reference.home),
        "seconds": round(time.monotonic() - started, 1),
    }
    fine = row["expected"] and row["completed"] and equal
    row["well"] = bool(fine and not lost and not broken and not row["left"])
    return row


def still_finished(scene: Scene, case: Case) -> list[str]:
    """What was finished before the fault, and is not what it was now."""
    kept = dict(scene.kept)
    if case.costs:
        kept.pop("/".join(scene.reference.address(case.costs)), None)
    return [name for name, files in kept.items() if files_of(scene.workspace, name) != files]


def files_of(workspace: Path, name: str) -> object:
    """What the manifest of kind/digest lists; None where it cannot be read, as some faults want."""
    try:
        return json.loads((workspace / "store" / name / "manifest.json").read_text())["files"]
    except (OSError, ValueError):
        return None


def on_dataset(folder: Path) -> tuple[str, ...]:
    """Arguments that put a folder of images and masks in the phantoms' place."""
    return ("--set", "data.name=paired", "--set", f"data.root={folder}")


def make_dataset(reference: Reference, folder: Path) -> Path:
    """The reference's phantoms as image files of a user's own."""
    fresh(folder)
    for step in ("development images", "test images"):
        kind, digest = reference.address(step)
        source = reference.workspace / "store" / kind / digest
        for part in ("images", "masks"):
            shutil.copytree(source / part, folder / part, dirs_exist_ok=True)
    return folder


def table(rows: list[Row]) -> list[Row]:
    """What the page shows."""
    found = []
    for row in rows:
        if "skipped" in row:
            skipped = {"fault": row["fault"], "what it said": f"skipped: {row['skipped']}"}
            found.append(dict.fromkeys(COLUMNS, "–") | skipped)
            continue
        lost = len(row["lost"]) + len(row["half_written"])
        after = "went on by itself" if row["status"] == 0 else "completed"
        values = (
            row["fault"], row["status"], f"`{row['message']}`", lost or "nothing",
            after if row["completed"] else "FAILED", "equal" if row["equal"] else "OTHER",
        )  # fmt: skip
        found.append(dict(zip(COLUMNS, values, strict=True)))
    return found


COLUMNS = (
    "fault",
    "exit status",
    "what it said",
    "finished work lost",
    "same command later",
    "hashes",
)


def main(arguments: list[str] | None = None) -> int:
    """Meet all faults, print the table; status 1 when something was not as it should be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="faults whose name contains this")
    parser.add_argument("--folder", type=Path, help="work here, and leave it")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="every fault; what is there counts"
    )
    given = parser.parse_args(arguments)
    if sys.platform != "linux":
        parser.error("this test looks at /proc, which only Linux has")
    stoppable()
    rows = before(given.json)
    met = [row["fault"] for row in rows]
    cases = [case for case in CASES if given.only in case.fault and case.fault not in met]
    with tempfile.TemporaryDirectory(prefix="vesselforge-faults-") as temporary:
        folder = (given.folder or Path(temporary)).absolute()
        try:
            for row in each(cases, folder):
                rows.append(row)
                print(f"{len(rows):3}/{len(CASES)} {describe(row)}", flush=True)
                write(given.json, {"facts": facts(), "faults": rows})
        except KeyboardInterrupt:
            print(f"stopped after {len(rows)} faults; with --json the same command goes on")
    print(f"\n{markdown(table(rows))}")
    return 0 if len(rows) == len(met) + len(cases) and all(row["well"] for row in rows) else 1


def before(path: Path | None) -> list[Row]:
    """The rows that a run of this commit has left in the file."""
    if path is None or not path.is_file():
        return []
    content = json.loads(path.read_text())
    return list(content["faults"]) if content["facts"] == facts() else []


def each(cases: list[Case], folder: Path) -> Any:
    """Yield the row of every fault."""
    print("the undisturbed run", flush=True)
    reference, on_files = Reference.made(folder), None
    for case in cases:
        if case.dataset and on_files is None:
            data = make_dataset(reference, folder / "dataset")
            print("the undisturbed run on image files", flush=True)
            on_files = Reference.made(folder, "on-files", *on_dataset(data))
        chosen = on_files if case.dataset and on_files is not None else reference
        if living(chosen.home):
            raise RuntimeError("processes of an earlier fault are still there")
        yield meet(case, chosen, fresh(folder / "turn"))


def describe(row: Row) -> str:
    """One fault in a line."""
    if "skipped" in row:
        return f"{row['fault']}: skipped, {row['skipped']}"
    then = "then completed" if row["completed"] else "then FAILED"
    told = f"{row['fault']}: {row['status']}, {row['message']!r}; {then}"
    return told + ("" if row["well"] else f"  <-- not as it should be: {row}")


if __name__ == "__main__":
    sys.exit(main())
