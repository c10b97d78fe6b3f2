"""A store with a little of everything in it, for the fixture of a schema that was released.

Before a migration is added, the store that the code writes until then becomes a fixture, once:
`python tests/support/filled_store.py tests/assets/store-NNNN.sqlite`. Never write one again.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import numpy as np

import db.images.embeddings
import db.images.lookup
import db.images.sources
import db.images.tags
import db.importing.files
import db.jobs
import db.scores.events
import db.versions.predictions
import db.versions.registry
import db.versions.rounds
from db.records import Predictions
from db.store.store import Store
from tests.support.store_rows import add_encoder, add_images, add_version, event, picture, score


def fill(store: Store) -> None:
    """Everything that the schemas from 0003 on hold; what came later is added where it is known."""
    ids = _images(store)
    _history(store, ids)
    _embeddings(store, ids)
    _versions(store, ids)
    _rounds(store, ids)
    _runs(store)
    db.images.tags.put(store, db.images.tags.BESIDE, {ids[0]: ["sky", "caf\xe9"], ids[1]: ["sky"]})
    db.images.tags.put(
        store, db.images.tags.TABLE, {ids[0]: ["sky", "=1+1"], ids[9]: ["night \U0001f319"]}
    )
    settings = {"encoder": "lite", "threshold": "0.45", "audit_every": "7", "licences": "{}"}
    for name, value in settings.items():
        store.set_setting(name, value)
    try:
        from db.scores.aggregation import Rule, set_effective_rule
    except ImportError:  # before there was a choice
        return
    set_effective_rule(store, Rule("mean"))


def _images(store: Store) -> list[int]:
    """Two sources: duplicates, a moved, a changed, a missing and two unreadable files."""
    ids = add_images(store, 10) + add_images(store, 4, source="photos", first=20)
    db.images.sources.update_source(store, 1, (1.0, 4.5))
    db.importing.files.record_files(
        store,
        [
            picture(0, path="/pictures/copy.png"),
            picture(21, source_id=1, path="/pictures/also here.png"),
            picture(70, path="/pictures/\udcff<b>.png", content_hash=None, reason="empty file"),
            picture(71, reason="cut off", fingerprint=None, format=None, width=None, height=None),
            picture(72, path="/pictures/8.png", mtime_ns=9),
            picture(73, fingerprint=2**64 - 1, path="/pictures/caf\xe9 \U0001f431.png"),
        ],
    )
    _pixels(store, ids)
    db.importing.files.mark_missing(store, 1, ["/pictures/5.png", "/pictures/6.png"])
    db.importing.files.record_files(store, [picture(6, path="/elsewhere/6.png")])
    db.images.lookup.set_groups(store, {ids[0]: "pair", ids[1]: "pair", ids[12]: "\u65e5\u672c"})
    return ids


def _pixels(store: Store, ids: list[int]) -> None:
    """What two of them show; and a file of one of these that has other bytes."""
    try:
        from db.records import Pixels
    except ImportError:  # before pixels were kept
        return
    shown = Pixels("ab" * 16, bytes(range(203)))
    db.importing.files.record_files(
        store,
        [
            picture(1, source_id=1, pixels=shown),
            picture(2, source_id=1, pixels=Pixels("cd" * 16, bytes(203))),
            picture(90, path="/pictures/written anew.png", pixels=shown, same_as=ids[1]),
        ],
    )


def _history(store: Store, ids: list[int]) -> None:
    """First scores, revisions, imports, other people's, random draws; skips; some undone."""
    for image_id, value in zip(ids, (0, 10, 7.5, 2, 3, 9, 5, 0.25, 6), strict=False):
        score(store, image_id, value, scorer="ann")
    score(store, ids[0], 1, scorer="bob")
    score(store, ids[1], 8)
    score(store, ids[2], 4, scorer="ann", why="revision")
    score(store, ids[10], 2.5, why="import", scorer="bob", event_id="from-a-file-1")
    score(store, ids[11], 6, why="import", event_id="from-a-file-2")
    score(store, ids[12], 6, draw=True, queue="score", event_id="drawn-1")
    score(store, ids[13], 1, draw=True, queue="score", event_id="drawn-2")
    db.scores.events.record(
        store,
        [
            event("skip-1", "skip", ids[9], queue="score"),
            event("skip-2", "skip", ids[9], queue="score"),
            event("undo-1", "undo", undoes="skip-2"),
            event("undo-2", "undo", undoes=f"image-{ids[3]}-0"),
            event("undo-3", "undo", undoes="drawn-2"),
        ],
    )
    try:
        score(store, ids[5], 8, scorer="ann", queue="score", repeat=True, event_id="repeat-1")
    except TypeError:  # before images were shown once more
        return


def _embeddings(store: Store, ids: list[int]) -> None:
    for identity, width in (("lite", 4), ("clip-b32", 6)):
        encoder_id = add_encoder(store, identity, width)
        vectors = np.arange(width * len(ids), dtype=np.float32).reshape(len(ids), width)
        db.images.embeddings.put(store, encoder_id, ids, vectors)
        db.images.embeddings.put(store, encoder_id, ids[3:4], vectors[:1] - 7.5)


def _versions(store: Store, ids: list[int]) -> None:
    add_version(store, note="the first", metrics={"mae": 0.5}, curve=[[0, 1.0], [1, 0.25]])
    add_version(store, parent="v1.0", note="caf\xe9 <b>", settings={"seed": 3, "deep": [1, None]})
    add_version(
        store,
        name="theirs",
        recipe="foreign",
        scored_ids=np.empty(0, dtype=np.int64),
        scored_values=np.empty(0),
        out_of_fold=None,
    )
    exceed = np.linspace(1, 0, 10, dtype=np.float32)[None].repeat(len(ids), axis=0)
    exceed[1] = np.nan
    for name in ("v1.0", "v1.1"):
        version = db.versions.registry.by_name(store, name)
        assert version is not None
        predicted = np.linspace(0, 1, len(ids), dtype=np.float32)
        db.versions.predictions.put_predictions(
            store, version.id, Predictions(np.array(ids), predicted, exceed)
        )
    db.versions.registry.activate(store, "v1.0")


def _rounds(store: Store, ids: list[int]) -> None:
    """A finished one, and an open one with every outcome, one of them taken back."""
    first = db.versions.rounds.open_round(store, 1, 0.5)
    db.versions.rounds.mark_shown(
        store, first.id, "false-negative", [(ids[7], 0.1)], {ids[7]: "opinion"}
    )
    given = {"queue": "false-negative", "shown_version": "v1.0", "shown_prediction": 0.1}
    score(store, ids[7], 9, **given)
    add_version(store, parent="v1.1", note="closes the round")
    db.versions.registry.activate(store, "v1.1")
    second = db.versions.rounds.open_round(store, 2, 0.45)
    cards = [(ids[4], 0.8), (ids[5], 1.0), (ids[6], 0.7), (ids[8], None)]
    db.versions.rounds.mark_shown(store, second.id, "false-positive", cards, {ids[4]: "threshold"})
    db.versions.rounds.mark_shown(store, second.id, "hand-score", [(ids[2], 0.9)])
    given = {"queue": "false-positive", "shown_version": "v1.1", "shown_prediction": 0.8}
    score(store, ids[4], 1, **given)
    score(store, ids[5], 9, why="confirmation", **given)
    score(store, ids[6], 2, event_id="taken-back", **given)
    score(store, ids[13], 8, why="confirmation", at_least=4.5, **given)
    score(store, ids[2], 3, queue="hand-score", shown_version="v1.1")
    db.scores.events.record(
        store,
        [
            event("skip-3", "skip", ids[8], queue="false-positive", shown_version="v1.1"),
            event("undo-4", "undo", undoes="taken-back"),
        ],
    )


def _runs(store: Store) -> None:
    for kind, state in (("train", "done"), ("import", "failed"), ("embed", "stopped")):
        run, _ = db.jobs.start(store, kind, {"note": "caf\xe9", "paths": ["/pictures"]}, pid=1)
        db.jobs.heartbeat(store, run.id, 3, 10, "training", curve=[[0, 1.5]])
        ended = {"version_id": 1} if state == "done" else {"message": "The disk is full."}
        db.jobs.finish(store, run.id, state, **ended)


def write(path: Path) -> None:
    """The fixture: filled, and as small as it can be."""
    store = Store.create(path)
    fill(store)
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        for pragma in ("journal_mode = DELETE", "page_size = 512"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("VACUUM")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
