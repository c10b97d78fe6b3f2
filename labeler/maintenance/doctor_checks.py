"""The checks of the doctor; each finding says what is wrong and how it is repaired.

Only derived data is repaired: counts, effective scores, previews, embeddings that can be computed
again. What a user entered is never changed.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import db.images.counts
import db.images.embeddings
import db.jobs
import db.repair.consistency
import db.repair.invalid_values
import db.versions.registry
from labeler.core.jobs.liveness import is_dead, mark_dead
from labeler.core.progress import Progress
from labeler.core.project import Project, open_to_others
from labeler.embedding.quantized_index import quantized_in
from labeler.maintenance import project_files
from labeler.maintenance.backup import last_backup
from labeler.maintenance.invalid_settings import InvalidSetting, invalid_settings

EXAMPLES = db.repair.consistency.EXAMPLES
MOST_LEFT = 20
# Repairs a finding; returns a sentence about each part that could not be repaired.
Mend = Callable[[Project, Progress], list[str]]


@dataclass
class Finding:
    """One kind of problem, with the number of its cases and its repair."""

    name: str
    what: str  # the problem, in words that follow the number
    count: int
    examples: list[str]
    advice: str  # how it is repaired
    mend: Mend | None = None  # the repair, where the program can do it
    in_store: bool = True  # whether `mend` changes the store
    note: bool = False  # information only: nothing is wrong
    mended: bool = False
    left: list[str] = field(default_factory=list)  # what could not be repaired, a sentence each

    @property
    def is_open(self) -> bool:
        """Return whether it is a problem that is not repaired yet."""
        return not self.note and not self.mended

    def lines(self) -> Iterator[str]:
        """Yield the finding as lines of text."""
        mark = "note" if self.note else "mended" if self.mended else "wrong"
        yield f"{mark}: {self.count:,} {self.what}"
        if self.examples:
            more = "; …" if self.count > len(self.examples) else ""
            yield f"  {'; '.join(self.examples)}{more}"
        yield from (f"  left: {line}" for line in self.left[:MOST_LEFT])
        yield f"  {self.advice}"


_RECOMPUTED = "It follows from what was given, and is worked out again."
VALUES = "values"  # invalid values, over which other checks may fail
_ADVICE = {
    VALUES: "They are replaced by what the rest of their row tells, else by what is usual; a row "
    "that means nothing without them goes. Better is a backup: labeler backup --help says how one "
    "is restored.",
}


def findings(project: Project, progress: Progress) -> Iterator[Finding]:
    """Yield the findings of all checks, those of the store first."""
    yield from store_findings(project, progress)
    yield from _dead_jobs(project)
    yield from _versions(project, progress)
    yield from _files(project, progress)
    yield from _permissions(project)
    yield from _backups(project)


def store_findings(project: Project, progress: Progress) -> Iterator[Finding]:
    """Yield the findings about values in the store, which may be why something else fails."""
    yield from row_findings(project, progress)
    yield from _settings(project)
    yield from _embeddings(project, progress)
    yield from _predictions(project, progress)


def row_findings(project: Project, progress: Progress) -> Iterator[Finding]:
    """Yield the findings about the consistency of the store's rows."""
    number = len(db.repair.consistency.CONSISTENCY_CHECKS)
    for done, check in enumerate(db.repair.consistency.CONSISTENCY_CHECKS):
        progress(done, number, "checking rows")
        if cases := db.repair.consistency.find(project.store, check):
            mend = partial(_mend_rows, check)
            advice = _ADVICE.get(check.name, _RECOMPUTED)
            yield Finding(check.name, check.what, cases.count, cases.examples, advice, mend)
    progress(number, number, "checking rows")


def _mend_rows(
    check: db.repair.consistency.ConsistencyCheck, project: Project, _progress: Progress
) -> list[str]:
    db.repair.consistency.repair(project.store, check)
    remaining = db.repair.consistency.find(project.store, check)
    return [f"{remaining.count} {check.what}: {'; '.join(remaining.examples)}"] if remaining else []


def _dead_jobs(project: Project) -> Iterator[Finding]:
    dead = [run for run in db.jobs.all_active(project.store) if is_dead(project, run)]
    if dead:
        examples = [f"{run.kind} since {run.started_at:%Y-%m-%d %H:%M}" for run in dead]
        advice = "They are marked as failed; the same command goes on where they stopped."
        what = "runs look active, and their process is gone"
        yield Finding("runs", what, len(dead), examples[:EXAMPLES], advice, _mark_dead)


def _mark_dead(project: Project, _progress: Progress) -> list[str]:
    mark_dead(project)
    return []


def _settings(project: Project) -> Iterator[Finding]:
    for setting in invalid_settings(project):
        advice = (
            "Write it anew on the Export page."
            if setting.usual is None
            else f"It is set to {setting.usual}."
            if setting.usual
            else "It is forgotten."
        )
        mend = None if setting.usual is None else partial(_reset_setting, setting)
        what = f"setting can't be read: {setting.name}"
        yield Finding("settings", what, 1, [setting.value[:80]], advice, mend)


def _reset_setting(setting: InvalidSetting, project: Project, _progress: Progress) -> list[str]:
    project.store.set_setting(setting.name, setting.usual or "")
    return []


def _counter(progress: Progress, total: int, what: str) -> Callable[[int], None]:
    """Return a function that adds to a count and reports it as progress."""
    done = 0

    def more(number: int) -> None:
        nonlocal done
        done += number
        progress(min(done, total), total, what)

    return more


def _embeddings(project: Project, progress: Progress) -> Iterator[Finding]:
    total, _ = db.repair.invalid_values.totals(project.store)
    count_done = _counter(progress, total, "checking embeddings")
    bad: dict[int, list[int]] = {}
    for encoder_id, image_id in db.repair.invalid_values.bad_embeddings(project.store, count_done):
        bad.setdefault(encoder_id, []).append(image_id)
    for encoder in db.images.embeddings.encoders(project.store):
        if ids := bad.get(encoder.id):
            yield Finding(
                "embeddings",
                f"embeddings by {encoder.identity} are not of {encoder.width} finite values",
                len(ids),
                [f"image {image_id}" for image_id in ids[:EXAMPLES]],
                "They are dropped, and what was predicted from them; then run: labeler embed",
                partial(_drop_embeddings, encoder.id, ids),
            )


def _drop_embeddings(
    encoder_id: int, ids: list[int], project: Project, _progress: Progress
) -> list[str]:
    db.repair.invalid_values.drop_embeddings(project.store, encoder_id, ids)
    project_files.remove(quantized_in(project.sketches, str(encoder_id)))
    return []


def _predictions(project: Project, progress: Progress) -> Iterator[Finding]:
    _, total = db.repair.invalid_values.totals(project.store)
    count_done = _counter(progress, total, "checking predictions")
    for version in db.versions.registry.history(project.store):
        for unseen in (False, True):
            ids = db.repair.invalid_values.bad_predictions(
                project.store, version.id, out_of_fold=unseen, watch=count_done
            ).tolist()
            if ids:
                yield _predictions_finding(version.id, version.name, ids, unseen)


def _predictions_finding(version_id: int, name: str, ids: list[int], unseen: bool) -> Finding:
    examples = [f"image {image_id}" for image_id in ids[:EXAMPLES]]
    if unseen:
        what = f"out-of-fold predictions of {name} are not from 0 to 1"
        advice = "Its figures rest on them: train again, and use the new version."
        return Finding("out-of-fold", what, len(ids), examples, advice)
    what = f"predictions of {name} are not from 0 to 1"
    advice = "They are dropped, and predicted anew by: labeler embed"
    return Finding(
        "predictions", what, len(ids), examples, advice, partial(_drop_predictions, version_id, ids)
    )


def _drop_predictions(
    version_id: int, ids: list[int], project: Project, _progress: Progress
) -> list[str]:
    db.repair.invalid_values.drop_predictions(project.store, version_id, ids)
    return []


def _versions(project: Project, progress: Progress) -> Iterator[Finding]:
    widths = {each.identity: each.width for each in db.images.embeddings.encoders(project.store)}
    versions = db.versions.registry.history(project.store)
    broken = []
    for done, version in enumerate(versions):
        progress(done, len(versions), "checking versions")
        why = project_files.broken_version(project, version, widths.get(version.encoder, 0))
        if why is not None:
            broken.append(f"{version.name}: {why}")
    if broken:
        advice = (
            "Put their files back from a backup into the folder models, or train again; what they "
            "predicted is kept."
        )
        yield Finding("heads", "versions can't be used", len(broken), broken[:EXAMPLES], advice)


def _files(project: Project, progress: Progress) -> Iterator[Finding]:
    small = project_files.check_small_copies(project, _phase(progress, "checking previews"))
    if small.missing:
        yield Finding(
            "previews",
            "large images have no preview or thumbnail",
            len(small.missing),
            small.missing[:EXAMPLES],
            "They are made again from the image files.",
            partial(_make_small_copies, small.missing),
            in_store=False,
        )
    removable = [*project_files.removable(project, small.left), *project_files.leftovers(project)]
    if removable:
        yield Finding(
            "leftovers",
            "files belong to nothing any more, or were never finished",
            len(removable),
            [str(path) for path in removable[:EXAMPLES]],
            "They are removed; the program makes such files by itself.",
            partial(_remove, removable),
            in_store=False,
        )
    if strange := project_files.unreferenced_heads(project):
        yield Finding(
            "strange heads",
            "heads in the folder models are no version's",
            len(strange),
            [str(path) for path in strange[:EXAMPLES]],
            "Remove them if you don't need them, or add one with: labeler versions add FILE",
            note=True,
        )


def _make_small_copies(hashes: list[str], project: Project, progress: Progress) -> list[str]:
    return project_files.recreate_small_copies(project, hashes, _phase(progress, "making previews"))


def _remove(paths: list[Path], project: Project, _progress: Progress) -> list[str]:
    project_files.remove(project_files.removable(project, paths))
    return []


def _phase(progress: Progress, what: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(done, total, what)


def _permissions(project: Project) -> Iterator[Finding]:
    if actions := open_to_others(project.folder):
        what = f"project folder that others on this machine can {actions}"
        advice = f"If only you are to use it: chmod -R go= {shlex.quote(str(project.folder))}"
        yield Finding("permissions", what, 1, [str(project.folder)], advice, note=True)


def _backups(project: Project) -> Iterator[Finding]:
    last, scored = last_backup(project), db.images.counts.by_hand_score(project.store).scored
    new = scored - (last.hand_scores if last else 0)
    if new > 0:
        when = f"The last one is of {last.at:%Y-%m-%d}" if last else "There is none yet"
        what = "images were scored since the last backup" if last else "scored images are in none"
        advice = f"{when}; make one with: labeler backup FILE"
        yield Finding("backups", what, new, [], advice, note=True)
