"""The doctor: whether all that a project keeps is as it should be, and mending what is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from db.backups import problems_of
from db.errors import ReplacedError
from db.store import check_log
from labeler.backup import back_up
from labeler.checkups import EXAMPLES, Finding, findings, row_findings
from labeler.progress import Progress, silent
from labeler.project import STORE_FILE, Project, check_folders
from labeler.restoring import drop_log
from labeler.salvage import salvage


@dataclass
class Report:
    """What was found in a project; `backup` is the store as it was before anything was mended."""

    folder: Path
    findings: list[Finding]
    backup: Path | None = None

    @property
    def healthy(self) -> bool:
        return not any(finding.is_open for finding in self.findings)

    def lines(self) -> Iterator[str]:
        """What was found, as a person reads it, and the next step."""
        for finding in self.findings:
            yield from finding.lines()
        if self.backup is not None:
            yield f"The store as it was before: {self.backup}"
        left = [finding for finding in self.findings if finding.is_open]
        if not left:
            yield "Everything else is as it should be." if self.findings else "All is well."
        elif any(finding.mend and not finding.left for finding in left):
            yield "Next: labeler doctor --repair"


def examine(folder: Path, *, repair: bool = False, progress: Progress = silent) -> Report:
    """Look at the project in `folder`, and with `repair` mend what can be mended.

    Works while the app runs, but for a damaged store. Raises `StoreError` for a store that can't be
    opened at all, and whatever `progress` raises.
    """
    check_folders(folder)
    path = folder / STORE_FILE
    looking = "checking the file of the store"
    progress(0, 0, looking)
    try:
        check_log(path)
    except ReplacedError as error:
        return _strange_log(folder, str(error), repair, progress)
    problems = problems_of(path, lambda *_: progress(0, 0, looking))
    if problems:
        return _damaged(folder, problems, repair, progress)
    project = Project.open(folder)
    try:
        report = Report(folder, list(findings(project, progress)))
        if repair:
            _repair(project, report, progress)
        return report
    finally:
        project.close()


def _repair(project: Project, report: Report, progress: Progress) -> None:
    mendable = [finding for finding in report.findings if finding.mend is not None]
    if any(finding.in_store for finding in mendable):
        report.backup = dated(project.store.path, "before-repair")
        back_up(project, report.backup, progress=progress, remembered=False)
    for finding in mendable:
        assert finding.mend is not None
        finding.left = finding.mend(project, progress)
        finding.mended = not finding.left
    # What one mended may have shown in another.
    for again in row_findings(project, progress):
        known = next((each for each in report.findings if each.name == again.name), again)
        assert again.mend is not None
        known.left = again.mend(project, progress)
        known.mended = not known.left
        if known is again:
            report.findings.append(again)


def dated(path: Path, what: str) -> Path:
    """A name beside `path` that nothing has yet."""
    now = datetime.now().astimezone()
    return path.with_name(f"{path.name}.{what}-{now:%Y%m%d-%H%M%S}{path.suffix}")


def _damaged(folder: Path, problems: list[str], repair: bool, progress: Progress) -> Report:
    path = folder / STORE_FILE
    found = Finding(
        "damage",
        f"places in {path} are damaged",
        len(problems),
        problems[:EXAMPLES],
        "Best is a backup; how one is restored says labeler backup --help. Without one, close "
        "the app and run labeler doctor --repair: it reads what can be read, the hand scores above "
        "all, into a new store, and keeps the damaged one beside it.",
        in_store=False,
    )
    report = Report(folder, [found])
    if repair:
        saved = salvage(path, dated(path, "damaged"), progress)
        found.mended, report.backup = True, saved.damaged
        found.advice = saved.sentence()
        after = examine(folder, repair=True, progress=progress)
        report.findings += after.findings
    return report


def _strange_log(folder: Path, why: str, repair: bool, progress: Progress) -> Report:
    """Without its log the file is a store of an earlier moment, if it is whole."""
    path = folder / STORE_FILE
    advice = (
        "Best is a backup (labeler restore FILE), or the folder copied again with the app closed. "
        "Without one, close the app and run labeler doctor --repair: it puts the log aside, and "
        "what is in the log alone is not in the store then."
    )
    found = Finding("log", "log is not of the same moment as its store", 1, [why], advice)
    report = Report(folder, [found])
    if repair:
        aside = dated(path, "damaged")
        drop_log(path, aside)
        found.mended = True
        report.backup = aside
        found.advice = f"Both are kept as {aside.name} and its log."
        report.findings += examine(folder, repair=True, progress=progress).findings
    return report


def as_document(report: Report) -> dict[str, Any]:
    """Plain values for JSON."""
    return {
        "folder": str(report.folder),
        "healthy": report.healthy,
        "backup": str(report.backup) if report.backup else None,
        "findings": [
            {
                "name": finding.name,
                "what": finding.what,
                "count": finding.count,
                "examples": finding.examples,
                "advice": finding.advice,
                "repairable": finding.mend is not None,
                "mended": finding.mended,
                "note": finding.note,
                "left": finding.left,
            }
            for finding in report.findings
        ],
    }
