"""Any sequence of what people and imports do to a store, beside a plain model of what comes out.

The model is lists and dictionaries, and knows nothing of SQL. After every step the store must say
what the model says; in the end the doctor must find nothing.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import db.images.counts
import db.images.lookup
import db.images.sources
import db.importing.files
import db.repair.consistency
import db.scores.events
import db.scores.hand_scores
import db.versions.rounds
from db.records import Event
from db.scores.aggregation import Rule, set_effective_rule
from db.store.store import Store
from labeler.core.project import Project
from labeler.scoring.import_scores import import_scores
from tests.support.store_rows import NOON, add_encoder, add_version, empty_store, event, picture

IN_MEMORY = Path("/dev/shm")
PEOPLE = (None, "ann", "bob")
VALUES = st.one_of(st.integers(0, 10).map(float), st.sampled_from([0.5, 2.25, 7.5]))
WHO = st.sampled_from(PEOPLE)
REVIEWED = ("false-positive", "false-negative", "hand-score")
RULES = st.sampled_from(["latest", "mean", "person:ann", "person:bob", "person:"])
NUMBERS = st.integers(0, 7)  # of pictures
PLACES = st.integers(0, 9)  # of files
ANY = st.integers(0, 10_000)


@dataclass
class Act:
    """A score or skip as it was taken; `value` is None for a skip."""

    event_id: str
    image_id: int
    value: float | None
    scorer: str | None
    undone: bool = False


@dataclass
class Model:
    """What was done in the order in which it came, which content every file has had."""

    acts: dict[str, Act] = field(default_factory=dict)
    places: dict[str, dict[int, bool]] = field(default_factory=dict)  # path → image → present
    hash_of: dict[int, str | None] = field(default_factory=dict)
    broken: dict[int, bool] = field(default_factory=dict)
    merged: dict[int, int] = field(default_factory=dict)
    rule: str = "latest"

    def effective(self, image_id: int) -> float | None:
        standing = [
            act
            for act in self.acts.values()
            if act.image_id == image_id and act.value is not None and not act.undone
        ]
        if self.rule.startswith("person:"):
            whose = self.rule.removeprefix("person:") or None
            standing = [act for act in standing if act.scorer == whose]
        latest = {act.scorer if self.rule == "mean" else 0: act.value for act in standing}
        return sum(latest.values()) / len(latest) if latest else None

    def state(self, image_id: int) -> str:
        if not any(held.get(image_id) for held in self.places.values()):
            return "missing"
        return "unreadable" if self.broken[image_id] else "fine"

    def now(self, image_id: int) -> int:
        """What an image without a file was merged into, else the image."""
        gone = self.hash_of[image_id] is None and self.state(image_id) == "missing"
        return self.merged.get(image_id, image_id) if gone else image_id

    def held(self, path: str) -> int | None:
        """The image that the path holds, or held last."""
        held = self.places.get(path, {})
        return next((each for each, here in held.items() if here), next(reversed(held), None))


class Histories(RuleBasedStateMachine):
    """The rules are what may happen; every one also checks the receipt or outcome that it gets."""

    def __init__(self) -> None:
        super().__init__()
        # Made when it is first wanted: Hypothesis also makes machines that it doesn't run.
        self.store: Store = None  # type: ignore[assignment]
        self.model = Model()
        self.sent: list[Event] = []
        self.files: list[Path] = []
        self.number = 0

    def teardown(self) -> None:
        if self.store is None:
            return
        try:
            self.check_with_the_doctor()
        finally:
            self.store.close()
            self.folder.cleanup()

    @initialize()
    def begin(self) -> None:
        """Some pictures, and a version whose predictions are reviewed."""
        # Every act waits for the disk to have it; where there is one in memory that is no wait.
        self.folder = TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None)
        path = Path(self.folder.name) / "labeler.sqlite"
        path.write_bytes(empty_store())
        self.store = Store.open(path)
        for name in ("drawings", "photos"):
            db.images.sources.add_source(self.store, name, "/pictures", None)
        for number in range(4):
            self.file_is_there(number, number)
        add_encoder(self.store)
        version = add_version(self.store)
        db.versions.rounds.open_round(self.store, version.id, 0.5)

    # What people do.

    @rule(which=ANY, value=VALUES, who=WHO)
    def score(self, which: int, value: float, who: str | None) -> None:
        self.send([self.scored(which, value, who)])

    @rule(which=ANY, value=VALUES, who=WHO, queue=st.sampled_from(REVIEWED), confirm=st.booleans())
    def review(self, which: int, value: float, who: str | None, queue: str, confirm: bool) -> None:
        """Correct a card, or say that it is right."""
        why = "confirmation" if confirm else None
        self.send([self.scored(which, value, who, queue=queue, why=why, shown_version="v1.0")])

    @rule(which=ANY, queue=st.sampled_from(["score", *REVIEWED]))
    def skip(self, which: int, queue: str) -> None:
        self.send([event(self.new_id(), "skip", self.image(which), queue=queue)])

    @rule(which=ANY)
    def undo(self, which: int) -> None:
        known = list(self.model.acts)
        undoes = known[which % len(known)] if known and which % 17 else "nothing"
        self.send([event(self.new_id(), "undo", undoes=undoes)])

    @rule(which=ANY, value=VALUES, who=WHO)
    def score_and_undo(self, which: int, value: float, who: str | None) -> None:
        """Afterwards everything counts as if nothing had been done."""
        before = self.told()
        done = self.scored(which, value, who)
        self.send([done])
        self.send([event(self.new_id(), "undo", undoes=done.event_id)])
        assert self.told() == before

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), value=VALUES, who=WHO)
    def send_again(self, data: st.DataObject, value: float, who: str | None) -> None:
        """Old events in any order, some twice, new ones among them, all in one message."""
        old = data.draw(st.lists(st.sampled_from(self.sent[-20:]), max_size=6))
        new = [self.scored(number, value, who) for number in range(2)]
        undo = event(self.new_id(), "undo", undoes=new[0].event_id)
        self.send(data.draw(st.permutations([*old, *new, undo, new[1]])))

    @precondition(lambda self: self.model.acts)
    @rule(which=ANY, value=VALUES)
    def use_an_id_for_something_else(self, which: int, value: float) -> None:
        act = list(self.model.acts.values())[which % len(self.model.acts)]
        other = value if value != act.value else (value + 1) % 10
        receipt = db.scores.events.record(
            self.store, [event(act.event_id, "score", act.image_id, value=other)]
        )[0]
        assert not receipt.accepted
        assert "something else" in (receipt.problem or "")

    @rule(chosen=RULES)
    def change_the_rule(self, chosen: str) -> None:
        kind, _, person = chosen.partition(":")
        set_effective_rule(self.store, Rule(kind, person or None))
        self.model.rule = chosen

    # What comes from files.

    @rule(data=st.data(), number=st.integers(1, 4))
    def take_a_history(self, data: st.DataObject, number: int) -> None:
        """Another project's, of which some scores were undone there; some events are known."""
        rows = []
        for _ in range(number):
            path = data.draw(st.sampled_from(sorted(self.model.places)))
            undone = NOON.isoformat() if data.draw(st.booleans()) else ""
            who, value = data.draw(WHO) or "", data.draw(VALUES)
            rows.append([self.new_id(), who, value, NOON.isoformat(), undone, path, "import"])
        file = Path(self.folder.name) / f"history-{len(self.files)}.csv"
        with file.open("w", newline="", encoding="utf-8") as opened:
            writer = csv.writer(opened)
            writer.writerow(["event", "scorer", "score", "at", "undone_at", "path", "why"])
            writer.writerows(rows)
        self.files.append(file)
        assert import_scores(self.project, file).taken == number
        for event_id, who, value, _, undone, path, _ in rows:
            image_id = self.model.held(path)
            assert image_id is not None
            act = Act(event_id, image_id, float(value), who or None, bool(undone))
            self.model.acts[event_id] = act

    @precondition(lambda self: self.files)
    @rule(which=ANY)
    def take_a_history_again(self, which: int) -> None:
        """Whatever became of its images or scores since, nothing is taken twice."""
        before = self.told(), len(self.rows())
        import_scores(self.project, self.files[which % len(self.files)])
        assert (self.told(), len(self.rows())) == before

    # What becomes of files.

    @rule(place=PLACES, number=NUMBERS, source=st.integers(1, 2))
    def file_is_there(self, place: int, number: int, source: int = 1) -> None:
        """New, known, a duplicate, moved, or another picture than before."""
        self.import_file(place, f"{number:064x}", source, None)

    @rule(place=PLACES, number=st.none() | NUMBERS, source=st.integers(1, 2))
    def file_cannot_be_read(self, place: int, number: int | None, source: int) -> None:
        """Not at all, or its content is known to be broken."""
        self.import_file(place, None if number is None else f"{number:064x}", source, "cut off")

    @rule(place=PLACES, number=NUMBERS, value=VALUES, who=WHO, queue=st.sampled_from(REVIEWED))
    def a_scored_file_turns_out_to_be_another(
        self, place: int, number: int, value: float, who: str | None, queue: str
    ) -> None:
        """It could not be read when it was scored; a page sends one more score of it afterwards."""
        self.import_file(place, None, 1, "no permission")
        ghost = self.model.held(f"/pictures/{place}.png")
        about = {"value": value, "scorer": who, "queue": queue, "shown_version": "v1.0"}
        if self.model.state(ghost or 0) == "unreadable":
            self.send([event(self.new_id(), "score", ghost or 0, **about)])
            self.file_is_there(place, number)
            self.send([self.sent[-1], event(self.new_id(), "score", ghost or 0, **about)])

    @rule(place=PLACES)
    def file_is_gone(self, place: int) -> None:
        path = f"/pictures/{place}.png"
        db.importing.files.mark_missing(self.store, None, [path])
        for image_id in self.model.places.get(path, {}):
            self.model.places[path][image_id] = False

    # Held against the model.

    @invariant()
    def what_counts_is_what_the_rule_says(self) -> None:
        wanted = {
            image_id: value
            for image_id in self.model.hash_of
            if (value := self.model.effective(image_id)) is not None
        }
        ids, values = db.scores.hand_scores.effective(self.store)
        found = dict(zip(ids.tolist(), values.tolist(), strict=True))
        assert found.keys() == wanted.keys()
        assert all(abs(found[each] - wanted[each]) < 1e-9 for each in wanted)

    @invariant()
    def counts_and_states_agree(self) -> None:
        states = {image_id: self.model.state(image_id) for image_id in self.model.hash_of}
        wanted = dict.fromkeys(("fine", "unreadable", "missing"), 0) | Counter(states.values())
        assert db.images.counts.by_state(self.store) == wanted
        found = {each.id: each.state for each in db.images.lookup.by_ids(self.store, list(states))}
        assert found == states
        scored = {each for each in states if self.model.effective(each) is not None}
        told = db.images.counts.by_hand_score(self.store)
        assert told.scored == len(scored) == sum(told.distribution)
        assert told.waiting == sum(s == "fine" and i not in scored for i, s in states.items())

    @invariant()
    def every_act_is_kept_once(self) -> None:
        wanted = {
            (act.event_id, act.image_id, act.value, act.scorer, act.undone)
            for act in self.model.acts.values()
            if act.value is not None
        }
        rows = self.rows()
        assert len(rows) == len(wanted)
        assert set(rows) == wanted

    def check_with_the_doctor(self) -> None:
        found = {
            each.name: db.repair.consistency.find(self.store, each)
            for each in db.repair.consistency.CONSISTENCY_CHECKS
        }
        found.pop("rule")  # a person who has scored nothing may be chosen
        assert not any(found.values()), found

    # How it is done.

    @property
    def project(self) -> Project:
        return Project(Path(self.folder.name), self.store)

    def new_id(self) -> str:
        self.number += 1
        return f"event-{self.number}"

    def image(self, which: int) -> int:
        known = sorted(self.model.hash_of)
        return known[which % len(known)]

    def scored(self, which: int, value: float, who: str | None, **more: object) -> Event:
        return event(self.new_id(), "score", self.image(which), value=value, scorer=who, **more)

    def send(self, events: list[Event]) -> None:
        receipts = db.scores.events.record(self.store, events)
        for each, receipt in zip(events, receipts, strict=True):
            accepted, repeated = self.take(each)
            assert (receipt.accepted, receipt.repeated) == (accepted, repeated), (each, receipt)
        self.sent += events

    def take(self, each: Event) -> tuple[bool, bool]:
        """What the model makes of an event: whether it is accepted, and was known before."""
        if each.kind == "undo":
            act = self.model.acts.get(each.undoes or "")
            if act is None:
                return False, False
            repeated, act.undone = act.undone, True
            return True, repeated
        if each.event_id in self.model.acts:
            return True, True
        value = each.value if each.kind == "score" else None
        image_id = self.model.now(each.image_id)
        act = Act(each.event_id, image_id, value, each.scorer)
        self.model.acts[each.event_id] = act
        return True, False

    def import_file(self, place: int, digest: str | None, source: int, reason: str | None) -> None:
        path = f"/pictures/{place}.png"
        file = picture(0, source, path=path, content_hash=digest, reason=reason)
        outcome = db.importing.files.record_files(self.store, [file])[0]
        image_id, held = self.same_content(digest), self.model.held(path)
        if image_id is None and held is not None and self.model.hash_of[held] is None:
            image_id = held
        if image_id is None:
            image_id = outcome.image_id
            assert image_id not in self.model.hash_of
        assert outcome.image_id == image_id
        if held is not None and held != image_id and self.model.hash_of[held] is None:
            self.merge(held, image_id)
        self.model.hash_of[image_id] = digest or self.model.hash_of.get(image_id)
        self.model.broken[image_id] = reason is not None
        held_there = self.model.places.setdefault(path, {})
        for other in held_there:
            held_there[other] = False
        held_there.pop(image_id, None)  # the last that it held comes last
        held_there[image_id] = True

    def merge(self, left: int, to: int) -> None:
        """What was known by its path alone is the picture `to`."""
        self.model.merged[left] = to
        for act in self.model.acts.values():
            if act.image_id == left:
                act.image_id = to

    def same_content(self, digest: str | None) -> int | None:
        known = (each for each, own in self.model.hash_of.items() if own == digest)
        return next(known, None) if digest is not None else None

    def told(self) -> tuple[object, ...]:
        """All that counts: the scores, and how many of what."""
        ids, values = db.scores.hand_scores.effective(self.store)
        counted = db.images.counts.by_hand_score(self.store), db.images.counts.by_state(self.store)
        return ids.tolist(), values.tolist(), *counted

    def rows(self) -> list[tuple[str, int, float, str | None, bool]]:
        kept = db.scores.hand_scores.histories(self.store, list(self.model.hash_of))
        return [
            (row.event_id, row.image_id, row.value, row.scorer, row.undone_at is not None)
            for row in kept
        ]
