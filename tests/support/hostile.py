"""A project in which everything that others have named is an attack: on pages, tables, terminals.

What may hold a slash does; names of files do what they can without one.
"""

from __future__ import annotations

import io
import json
import tarfile
from datetime import timedelta
from pathlib import Path

from sqlalchemy import update

import db.images.lookup
import db.images.tags
import db.scores.events
import db.scores.queue_queries
import db.versions.rounds
from db.records import Event
from db.store.schema import VersionRow
from labeler.collection.importing import import_paths
from labeler.core.project import Project
from labeler.exports.licences import set_licence
from labeler.exports.models.card_sections import SECTIONS, set_section
from labeler.versions.train import train
from model.training.quick import Quick
from tests.support import published
from tests.support.collection import START
from tests.support.shades import SIDE, Brightness, draw_shades

RECIPE = Quick(12, features=8, hidden=64, folds=2)
EVIL = "evil.example"
HTML = "<img src=x onerror=alert(1)>"
PICTURE = f"![p](http://{EVIL}/p.png)"
LINK = "[here](javascript:alert(2))"
ICON = ":material/delete: :red[warning] :smile:"
LATEX = r"$\frac{1}{2}$"
FORMULA = "=cmd|' /C calc'!A0"
BIDI = "photo\u202egnp.exe"
LINES = "one\ntwo\r\nthree\u2028four"
ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m red"
MARKUP = "**bold** `code` | a | b & &lt;i&gt; </script><script>alert(3)</script>"
TEXTS = (HTML, PICTURE, LINK, ICON, LATEX, FORMULA, BIDI, LINES, ESCAPES, MARKUP)
SOURCES = (FORMULA, HTML, BIDI, ESCAPES, LINES)
TAGS = (HTML, PICTURE, LINK, "=tag()", "+tag", BIDI, ESCAPES, "@tag")
NAMES = (
    HTML,
    rf"![p](\\{EVIL}\p.png)",
    f"![p](http:{EVIL})",
    LINK,
    ":material_delete: :red[x] :smile:",
    LATEX,
    "=cmd()!A0",
    "+1+cmd()",
    "-1+cmd()",
    "@SUM(1)",
    "\t=tab()",
    BIDI,
    "one\ntwo",
    "one\r=two()",
    "nul\u2400\u0001\u0000".replace("\u0000", ""),
    ESCAPES,
    "**bold** `code` ~~x~~ | a & &lt;i&gt; '\"",
    "'><svg onload=alert(4)>",
    "{{7*7}} ${7*7} %s %n {0}",
    "no utf-8 \udcff\udcfe",
    "x" * 240,
    "é" * 118,
    "#heading",
    "1. list",
)


# Inside of an archive a name may hold slashes.
MEMBERS = (f"{PICTURE} {HTML}.png", f"{LINK}/{MARKUP}.png")


class Grey(Brightness):
    """Tells all that an export asks of an encoder."""

    def __init__(self) -> None:
        super().__init__()
        told = {"resize": "squash", "interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.5] * 3}
        self.preprocessing = {"size": SIDE, **told}


def make_hostile(folder: Path) -> Project:
    """An image for each of `NAMES` below two hostile folders, all scored and predicted but four."""
    project = Project.create(folder / f"{HTML} {LATEX}", encoder="lite")
    pictures = folder / ESCAPES.replace("/", "") / "=folder()"
    pictures.mkdir(parents=True)
    drawn = draw_shades(folder / "drawn", len(NAMES) + len(SOURCES))
    for path, name in zip(drawn, NAMES, strict=False):
        path.rename(pictures / f"{name}.png")
    (folder / "broken").mkdir()
    (folder / "broken" / f"{HTML}.png").write_bytes(b"no picture")
    (folder / "broken" / f"{ESCAPES}.png").write_bytes(b"no picture")
    import_paths(project, [pictures, folder / "broken"], source=PICTURE, expect=(0, 1), workers=1)
    for path, source in zip(drawn[len(NAMES) :], SOURCES, strict=True):
        import_paths(project, [path], source=source, workers=1)
    import_paths(project, [make_tar(folder / f"{HTML}.tar")], workers=1)
    _fill(project)
    return project


def make_tar(path: Path) -> Path:
    """An archive with members of such names: two pictures, a text with tags, and what is none."""
    drawn = draw_shades(path.parent / "packed", 2, seed=7)
    with tarfile.open(path, "w") as archive:
        for name, inside in zip(MEMBERS, drawn, strict=True):
            archive.add(inside, name)
        for name, text in ((f"{MEMBERS[0][:-4]}.txt", HTML), (f"{HTML}/no.png", "no picture")):
            told = tarfile.TarInfo(name)
            told.size = len(text)
            archive.addfile(told, io.BytesIO(text.encode()))
    return path


def make_head(folder: Path) -> Path:
    """Somebody's head of several classes, all of which have such names, as has its file."""
    module = published.City(SIDE * SIDE, outputs=3)
    return published.save_city(module, folder / f"{HTML}{LATEX[0]}", [HTML, PICTURE, LATEX])


def make_label_studio(path: Path) -> Path:
    """What Label Studio exports, with such texts wherever it has one."""
    control = {"from_name": HTML, "to_name": PICTURE, "type": "number", "value": {"number": HTML}}
    given = {"completed_by": {"email": HTML}, "result": [control, control | {"type": HTML}]}
    tasks = [
        {"id": HTML, "data": {"image": name, HTML: PICTURE}, "annotations": [given]}
        for name in (HTML, PICTURE, MEMBERS[0])
    ]
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return path


def _fill(project: Project) -> None:
    store = project.store
    fine = db.scores.queue_queries.unscored(store, order="random", limit=1000)
    ids = sorted(image.id for image in fine)
    _score(project, ids[:-4], "first")
    db.images.tags.put(store, db.images.tags.TABLE, {i: list(TAGS) for i in ids[: len(ids) // 2]})
    db.images.lookup.set_groups(store, {i: TEXTS[n % len(TEXTS)] for n, i in enumerate(ids)})
    for section in SECTIONS:
        set_section(project, section, "\n\n".join(TEXTS[:-2]))
    set_licence(project, HTML + PICTURE, PICTURE)
    set_licence(project, LINK)
    train(project, encoder=Grey(), recipe=RECIPE, note=PICTURE + HTML)
    version = train(project, encoder=Grey(), recipe=RECIPE, note="\n".join(TEXTS))
    # No command makes such a name, but the project may be somebody else's.
    with store.transaction() as session:
        session.execute(
            update(VersionRow).where(VersionRow.id == version.id).values(name=f"v9 {PICTURE}{HTML}")
        )
    opened = db.versions.rounds.open_round(store, version.id, 0.5)
    db.versions.rounds.mark_shown(
        store, opened.id, "false-positive", [(ids[0], 0.9), (ids[1], 0.8)]
    )


def _score(project: Project, ids: list[int], name: str) -> None:
    """By several people, of whom most have names like that."""
    events = [
        Event(
            event_id=f"{name}-{image_id}-{who}",
            kind="score",
            image_id=image_id,
            at=START + timedelta(seconds=10 * number + at),
            value=float((number + at) % 11),
            scorer=scorer,
        )
        for number, image_id in enumerate(ids)
        for at, (who, scorer) in enumerate(enumerate((HTML, PICTURE, FORMULA)))
    ]
    receipts = db.scores.events.record(project.store, events)
    assert [receipt.problem for receipt in receipts if not receipt.accepted] == []
