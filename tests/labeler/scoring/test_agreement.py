"""Protects what is said about several scorers: each one's scores stay, pairs are compared only on
what both scored, with honest intervals, and whose scores count is a rule that everything follows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import spearmanr

import db.images.counts
import db.images.lookup
import db.importing.files
import db.scores.events
import db.scores.hand_scores
from db.errors import StoreError
from db.records import Event
from labeler.cli.main import labeler
from labeler.core.project import Project
from labeler.core.scorers import clean_name
from labeler.scoring.agreement import choose_rule, scorers_report
from labeler.scoring.events import record_events
from labeler.scoring.queue import next_images
from labeler.versions.train import train
from model.evaluation.agreement import agreement
from tests.support.collection import START, make_collection


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Forty pictures; ann has scored thirty, 0, 1, … 10, 0, 1 …"""
    project = make_collection(tmp_path)
    yield project
    project.close()


def give(project: Project, scorer: str | None, given: dict[int, float]) -> None:
    events = [
        Event(f"{scorer!a}-{image}-{value}", "score", image, START, value=value, scorer=scorer)
        for image, value in given.items()
    ]
    assert all(receipt.accepted for receipt in db.scores.events.record(project.store, events))


def effective(project: Project) -> dict[int, float]:
    ids, values = db.scores.hand_scores.effective(project.store)
    return dict(zip(ids.tolist(), values.tolist(), strict=True))


# Figures


def test_agreement_is_spearmans_with_an_interval_around_it() -> None:
    generator = np.random.default_rng(3)
    first = generator.integers(0, 11, 200).astype(np.float64)
    second = np.clip(first - 1 + generator.normal(0, 2, 200).round(), 0, 10)
    found = agreement(first, second, np.arange(200))
    rank, difference = found.rank_correlation, found.mean_difference
    assert rank["value"] == pytest.approx(spearmanr(first, second).statistic, abs=1e-9)
    assert difference["value"] == pytest.approx(np.mean(first - second))
    assert rank["low"] < rank["value"] < rank["high"]
    assert difference["low"] < difference["value"] < difference["high"]
    reach = 1.96 * np.std(first - second) / np.sqrt(200)
    assert difference["high"] - difference["value"] == pytest.approx(reach, rel=0.15)


def test_near_duplicates_are_no_further_evidence() -> None:
    first, second = np.arange(11.0), np.array([1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 10.0])
    once = agreement(first, second, np.arange(11)).rank_correlation
    ten = np.repeat(np.arange(11), 10)
    again = agreement(first[ten], second[ten], ten).rank_correlation
    for bound in ("value", "low", "high"):
        assert again[bound] == pytest.approx(once[bound], abs=0.02)


@pytest.mark.parametrize("images", [1, 4])
def test_a_few_images_have_a_wide_interval(images: int) -> None:
    found = agreement(np.arange(float(images)), np.full(images, 3.0), np.arange(images))
    assert found.rank_correlation["value"] is None  # one of them gave the same to all
    difference = found.mean_difference
    assert -10 <= difference["low"] < difference["value"] < difference["high"] <= 10
    assert difference["high"] - difference["low"] > 3


# The report


def test_pairs_are_compared_on_what_both_scored(project: Project) -> None:
    ann = effective(project)
    shared = sorted(ann)[:20]
    give(project, "ben", {image: min(10, ann[image] + 1) for image in shared})
    give(project, None, {40: 5.0})
    report = scorers_report(project)
    assert [(each.shown, each.images) for each in report.scorers] == [
        ("ann", 30),
        ("ben", 20),
        ("(nameless)", 1),
    ]
    [pair] = report.pairs
    assert (pair.first, pair.second, pair.images) == ("ann", "ben", 20)
    assert pair.agreement.rank_correlation["value"] > 0.97
    assert -1 <= pair.agreement.mean_difference["value"] < -0.8
    assert report.rules() == ["latest", "mean", "person:ann", "person:ben", "person:"]


def test_the_rule_decides_what_counts_and_loses_nothing(project: Project) -> None:
    ann = effective(project)
    first = sorted(ann)[0]
    give(project, "ben", {first: 7.0, 40: 5.0})
    assert (effective(project)[first], effective(project)[40]) == (7, 5)
    assert choose_rule(project, "mean") == 1
    assert effective(project)[first] == 3.5
    choose_rule(project, "person:ann")
    assert effective(project) == ann
    choose_rule(project, "person:ben")
    assert effective(project) == {first: 7, 40: 5}
    choose_rule(project, "latest")
    assert effective(project) == ann | {first: 7, 40: 5}
    with pytest.raises(StoreError, match="person:NAME"):
        choose_rule(project, "ben")


def test_many_scorers_do_not_take_for_ever(project: Project) -> None:
    for number in range(14):
        give(project, f"p{number:02}", {1: 3.0, 2: 4.0, number + 3: 5.0})
    report = scorers_report(project)
    assert (len(report.scorers), len(report.pairs), report.left_out) == (15, 45, 60)


# Scoring in the app


def test_an_event_says_who_scored_and_no_name_costs_a_score(project: Project) -> None:
    names = ["ann", " <b>Ben</b>\n\x1b ", 7, None, "", "x" * 300, "\ud800"]
    events = [
        {"event": f"e{k}", "kind": "score", "image": 40, "score": 5, "scorer": name}
        for k, name in enumerate(names)
    ]
    receipts = record_events(project, events, "account")
    assert all(receipt.accepted for receipt in receipts)
    kept = [row.scorer for row in db.scores.hand_scores.history(project.store, 40)]
    assert kept == ["ann", "<b>Ben</b>", *["account"] * 3, "x" * 80, "account"]


def test_a_second_person_is_offered_what_others_scored(project: Project) -> None:
    ann = set(effective(project))
    give(project, "ben", {sorted(ann)[0]: 5.0})
    offered = next_images(project, "others", limit=100, exclude=[3], scorer="ben")
    assert {image.id for image in offered.images} == ann - {sorted(ann)[0], 3}
    nothing = next_images(project, "others", limit=9, exclude=[], scorer="ann")
    assert (nothing.images, "Nobody else" in (nothing.explanation or "")) == ([], True)


def test_what_a_person_scored_does_not_come_again_where_another_ones_scores_count(
    project: Project,
) -> None:
    choose_rule(project, "person:ann")
    waiting = {image.id for image in next_images(project, "random", limit=100, exclude=()).images}
    first, second = sorted(waiting)[:2]
    give(project, "ben", {first: 4.0, second: 5.0})
    undone = Event("back", "undo", second, START, scorer="ben", undoes=f"'ben'-{second}-5.0")
    assert all(receipt.accepted for receipt in db.scores.events.record(project.store, [undone]))
    for order in ("random", "newest"):
        for who, left in (("ben", waiting - {first}), ("ann", waiting), ("cy", waiting)):
            offered = next_images(project, order, limit=100, exclude=(), scorer=who).images
            assert {image.id for image in offered} == left


@pytest.mark.parametrize("more", [0, 50])
def test_what_others_scored_comes_at_random_skipped_ones_last_missing_ones_never(
    project: Project, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.scores.queue_queries._MORE", more)

    def offered(limit: int) -> list[int]:
        found = next_images(project, "others", limit=limit, exclude=(), scorer="ben")
        return [image.id for image in found.images]

    before = offered(100)
    assert len(before) == 30 and before not in (sorted(before), sorted(before, reverse=True))
    assert offered(7) == before[:7]
    passed = [Event(f"skip-{image}", "skip", image, START) for image in before[2:4]]
    assert all(receipt.accepted for receipt in db.scores.events.record(project.store, passed))
    gone = before[5:20]
    paths = [db.images.lookup.get(project.store, image) for image in gone]
    db.importing.files.mark_missing(project.store, None, [image.path for image in paths if image])
    still = [image for image in before if image not in gone]
    assert offered(100) == [*still[:2], *still[4:], *still[2:4]]
    assert offered(3) == [*still[:2], still[4]]  # behind those that are gone


def test_a_name_typed_twice_is_one_person() -> None:
    assert clean_name("e\u0301va  ann ") == clean_name("\u00e9va ann") == "éva ann"
    assert clean_name(" \x00\u202e") is None


# The command


def call(project: Project, *words: str, code: int = 0) -> Any:
    told = CliRunner().invoke(labeler, ["--project", str(project.folder), "scorers", *words])
    assert told.exit_code == code, told.output
    return told


def test_the_command_lists_and_sets(project: Project) -> None:
    give(project, "ben\x1b[2J", {1: 7.0, 2: 3.0, 3: 4.0})
    shown = call(project).stdout
    assert "What counts: the latest, whoever gave it" in shown
    assert "ann: 30 images, mean" in shown
    assert "(-1.00 to 1.00)" in shown  # of three images the order says nothing
    assert "\x1b" not in shown
    document = json.loads(call(project, "--rule", "mean", "--json").stdout)
    assert (document["rule"], document["changed"]) == ("mean", 3)
    assert document["pairs"][0]["images"] == 3
    assert "person:NAME" in call(project, "--rule", "median", code=1).stderr
    before = effective(project)
    assert "those who have: ann, ben" in call(project, "--rule", "person:Ann", code=1).stderr
    assert effective(project) == before


def test_the_command_sets_how_often_a_person_agrees_with_themselves(project: Project) -> None:
    shown = call(project, "--repeat-every", "50").stdout
    assert project.repeat_every == 50
    assert (
        "How far ann agrees with themselves is not known yet: 10 more repeats. One in 50" in shown
    )
    assert "0 for none; 30 is usual" in call(project, "--repeat-every", "3", code=1).stderr
    document = json.loads(call(project, "--repeat-every", "0", "--json").stdout)
    (ann,) = document["repeats"]
    assert ann == {"scorer": "ann", "people": 0, "repeats": 0, "every": 0, "found": None}


def test_a_version_learns_from_the_fractions_of_a_mean(project: Project) -> None:
    shared = sorted(effective(project))
    give(project, "ben", dict.fromkeys(shared, 4.0))
    give(project, "cat", dict.fromkeys(shared, 9.0))
    choose_rule(project, "mean")
    version = train(project)
    assert (
        version.scored_count,
        db.scores.hand_scores.since_version(project.store, version.id),
    ) == (30, 0)
    choose_rule(project, "latest")
    assert db.scores.hand_scores.since_version(project.store, version.id) == 30


def test_fractions_of_a_mean_are_counted_and_shown(project: Project) -> None:
    give(project, "ben", {1: 5.0, 11: 9.0})
    give(project, "cat", {1: 5.0, 11: 9.0})
    choose_rule(project, "mean")
    assert effective(project)[1] == pytest.approx(10 / 3)
    counted = db.images.counts.by_hand_score(project.store).distribution
    assert sum(counted) == 30
    assert db.images.lookup.get(project.store, 1).hand_score == effective(project)[1]
