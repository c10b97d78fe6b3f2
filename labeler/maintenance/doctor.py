"""The doctor: checks the store and the files of a project, and repairs them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db.errors import NotMigrated, ReplacedError
from db.store.snapshot import copy_store, problems_of, unexpected_objects_of
from db.store.store import check_log
from labeler.core.files.atomic import atomic_write
from labeler.core.files.names import dated
from labeler.core.progress import Progress, silent
from labeler.core.project import STORE_FILE, Project, check_folders
from labeler.maintenance.backup import COPYING
from labeler.maintenance.doctor_checks import EXAMPLES, VALUES, Finding, findings, row_findings
from labeler.maintenance.recovery import recover
from labeler.maintenance.restore import drop_log


@dataclass
class DoctorReport:
    """The findings in a project; `backup` is a copy of the store from before the repair."""

    folder: Path
    findings: list[Finding]
    backup: Path | None = None

    @property
    def healthy(self) -> bool:
        """Return whether no problem is left."""
        return not any(finding.is_open for finding in self.findings)

    def lines(self) -> Iterator[str]:
        """Yield the findings and the next step as lines of text."""
        for finding in self.findings:
            yield from finding.lines()
        if self.backup is not None:
            yield f"The store as it was before: {self.backup}"
        open_findings = [finding for finding in self.findings if finding.is_open]
        if not open_findings:
            yield "Everything else is as it should be." if self.findings else "All is well."
        elif any(finding.mend and not finding.left for finding in open_findings):
            yield "Next: labeler doctor --repair"


def check_project(
    folder: Path, *, repair: bool = False, progress: Progress = silent
) -> DoctorReport:
    """Check the project in `folder`, and with `repair` repair what can be repaired.

    The app may run meanwhile, unless the store is damaged. Raises `StoreError` for a store that
    can't be opened, and what `progress` raises.
    """
    check_folders(folder)
    path = folder / STORE_FILE
    looking = "checking the file of the store"
    progress(0, 0, looking)
    try:
        check_log(path)
    except ReplacedError as error:
        return _foreign_log(folder, str(error), repair, progress)
    if strangers := unexpected_objects_of(path):
        return _recover_store(folder, _foreign_objects(path, strangers), repair, progress)
    problems = problems_of(path, lambda *_: progress(0, 0, looking))
    if problems:
        return _recover_store(folder, _damaged(path, problems), repair, progress)
    try:
        project = Project.open(folder)
    except NotMigrated as error:
        return _recover_store(folder, _too_old(path, error), repair, progress)
    try:
        report = DoctorReport(folder, list(_findings(project, progress)))
        if repair:
            _repair(project, report, progress)
        return report
    finally:
        project.close()


def _findings(project: Project, progress: Progress) -> Iterator[Finding]:
    """Yield all findings; if a check fails because of invalid values, a note says so and ends."""
    unreadable = False
    try:
        for finding in findings(project, progress):
            yield finding
            unreadable = unreadable or finding.name == VALUES
    except Exception:
        if not unreadable:
            raise
        yield Finding(
            "unchecked",
            "part was not looked at, for the values that can't be read",
            1,
            [],
            "It is when these are mended.",
            note=True,
        )


def _repair(project: Project, report: DoctorReport, progress: Progress) -> None:
    if any(finding.mend is not None and finding.in_store for finding in report.findings):
        report.backup = dated(project.store.path, "before-repair")
        with atomic_write(report.backup) as scratch:
            copy_store(project.store.path, scratch, lambda *_: progress(0, 0, COPYING))
    unreadable = [finding for finding in report.findings if finding.name == VALUES]
    if unreadable:
        # The other checks run again, on valid values.
        _mend(unreadable[0], project, progress)
        report.findings = unreadable + list(_findings(project, progress))
    for finding in report.findings[len(unreadable) :]:
        _mend(finding, project, progress)
    # One repair may reveal another problem.
    for again in row_findings(project, progress):
        previous = next((each for each in report.findings if each.name == again.name), again)
        previous.mend = again.mend
        _mend(previous, project, progress)
        if previous is again:
            report.findings.append(again)


def _mend(finding: Finding, project: Project, progress: Progress) -> None:
    if finding.mend is not None:
        finding.left = finding.mend(project, progress)
        finding.mended = not finding.left


_RECOVERY_ADVICE = (
    "close the app and run labeler doctor --repair: it reads what can be read, the hand scores "
    "above all, into a new store, and keeps this one beside it."
)


def _damaged(path: Path, problems: list[str]) -> Finding:
    advice = (
        "Best is a backup; how one is restored says labeler backup --help. Without one, "
        f"{_RECOVERY_ADVICE}"
    )
    what = f"places in {path} are damaged"
    return Finding("damage", what, len(problems), problems[:EXAMPLES], advice, in_store=False)


def _foreign_objects(path: Path, strangers: list[str]) -> Finding:
    """Triggers and views of others could change scores or block the store."""
    what = f"things in {path} are none of this program's, so it is not used"
    advice = f"To go on without them, {_RECOVERY_ADVICE}"
    return Finding("strangers", what, len(strangers), strangers[:EXAMPLES], advice, in_store=False)


def _too_old(path: Path, error: NotMigrated) -> Finding:
    advice = f"Best is a backup. Without one, {_RECOVERY_ADVICE}"
    what = f"store can't be brought up to date: {path}"
    return Finding("schema", what, 1, [str(error)], advice, in_store=False)


def _recover_store(
    folder: Path, finding: Finding, repair: bool, progress: Progress
) -> DoctorReport:
    """Report a store that can't be used; with `repair` copy its readable rows to a new store."""
    path = folder / STORE_FILE
    report = DoctorReport(folder, [finding])
    if repair:
        recovery = recover(path, dated(path, "damaged"), progress)
        finding.mended, report.backup = True, recovery.damaged
        finding.advice = recovery.sentence()
        after = check_project(folder, repair=True, progress=progress)
        report.findings += after.findings
    return report


def _foreign_log(folder: Path, why: str, repair: bool, progress: Progress) -> DoctorReport:
    """Report a log that belongs to another store; with `repair` continue without it.

    Without its log the file is the store of an earlier moment, if it is complete.
    """
    path = folder / STORE_FILE
    advice = (
        "Best is a backup (labeler restore FILE), or the folder copied again with the app closed. "
        "Without one, close the app and run labeler doctor --repair: it puts the log aside, and "
        "what is in the log alone is not in the store then."
    )
    finding = Finding("log", "log is not of the same moment as its store", 1, [why], advice)
    report = DoctorReport(folder, [finding])
    if repair:
        kept = dated(path, "damaged")
        drop_log(path, kept)
        finding.mended = True
        report.backup = kept
        finding.advice = f"Both are kept as {kept.name} and its log."
        report.findings += check_project(folder, repair=True, progress=progress).findings
    return report


def as_document(report: DoctorReport) -> dict[str, Any]:
    """Return the report as values for JSON."""
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
