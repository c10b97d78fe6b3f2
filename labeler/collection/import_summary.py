"""Summary of an import: what became of every file, in numbers and in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from labeler.collection.carry_over import COMMAND as CARRY_OVER
from labeler.core.text import count_of

MOST_LISTED = 5


@dataclass(slots=True)
class ImportSummary:
    """Counts of files, and lists of (path, reason).

    - `found` is the sum of the counts from `new` to `unreadable`; `in_archives` of these are
      members of archives.
    - `rewritten`: other bytes, same pixels; `turned`: the same pixels rotated or mirrored. Both
      keep their hand scores.
    - `changed`: another picture. `replaced` of these had a hand score; `near` of the replaced look
      like the old picture (labeler.collection.carry_over).
    - `met`: embeddings without a picture until now, whose picture was imported.
    - `missing`: images whose last file is gone. `tagged`: images with tags in a text file beside
      them. `other_files`: neither pictures nor such texts.
    - `closed`: folders that were not entered, and archives that were not read completely;
      `passed_over`: what is imported only if it is named itself.
    - `no_more_expected`: sentences about images that moved to a source with another expected band
      of scores, or with none.
    """

    found: int = 0
    new: int = 0
    known: int = 0
    rewritten: int = 0
    turned: int = 0
    duplicates: int = 0
    moved: int = 0
    changed: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    replaced: int = 0
    near: int = 0
    met: int = 0
    missing: int = 0
    tagged: int = 0
    other_files: int = 0
    closed: list[tuple[str, str]] = field(default_factory=list)
    in_archives: int = 0
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    no_more_expected: list[str] = field(default_factory=list)

    def parts(self) -> dict[str, int]:
        """Return the counts that add up to `found`, without zeros, by the words for people."""
        counts = {
            "new": self.new,
            "known": self.known,
            "rewritten, showing what they showed": self.rewritten,
            "turned": self.turned,
            "here already under another name": self.duplicates,
            "moved": self.moved,
            "changed": self.changed,
            "unreadable": len(self.unreadable),
        }
        return {name: count for name, count in counts.items() if count}

    def sentences(self) -> list[str]:
        """Return the summary in sentences; the parts in the first one add up to `found`."""
        parts = ", ".join(f"{count} {name}" for name, count in self.parts().items())
        inside = f" ({self.in_archives:,} in archives)" if self.in_archives else ""
        sentences = [
            f"Found {count_of(self.found, 'image file')}{inside}: {parts or 'nothing to take'}."
        ]
        if self.missing:
            sentences.append(
                f"Missing now: {count_of(self.missing, 'image')} whose last file is gone."
            )
        if self.replaced:
            sentences.append(
                f"{count_of(self.replaced, 'scored picture')} replaced in place, {self.near} by "
                "what looks the same (compressed anew, resized, touched up). Their scores are kept "
                f"with the old ones; to carry them over: {CARRY_OVER}"
            )
        sentences += self.no_more_expected
        if self.met:
            sentences.append(f"{count_of(self.met, 'embedding')} met their pictures.")
        if self.tagged:
            sentences.append(f"Tagged {count_of(self.tagged, 'image')} from the text beside.")
        if self.other_files:
            sentences.append(f"Passed over {count_of(self.other_files, 'file')} of other kinds.")
        return sentences

    def left_out(self) -> list[str]:
        """Return a line for each file and folder that was left out, with the reason.

        What was passed over for the same reason shares a line.
        """
        alone = [f"{path}: {reason}" for path, reason in [*self.unreadable, *self.closed]]
        by_reason: dict[str, list[str]] = {}
        for path, reason in self.passed_over:
            by_reason.setdefault(reason, []).append(path)
        return alone + [
            f"{paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}: {reason}"
            for reason, paths in by_reason.items()
        ]

    def left_out_briefly(self) -> Iterator[str]:
        """Yield the first lines of `left_out` without the unreadable files."""
        yield from self.left_out()[len(self.unreadable) :][:MOST_LISTED]

    def as_document(self) -> dict[str, object]:
        """Return all fields for JSON; pairs become objects with `path` and `reason`."""
        document = {name: getattr(self, name) for name in self.__slots__}
        for name in ("unreadable", "closed", "passed_over"):
            document[name] = [{"path": path, "reason": reason} for path, reason in document[name]]
        return document
