"""Commands of the second half of the loop: train, review, status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from labeler.cli.commands.versions import AS_JSON, headline_lines, version_document, version_line
from labeler.cli.common import Failure, lower_priority, opened_project
from labeler.cli.output import (
    first_items,
    percent,
    print_json,
    print_message,
    print_result,
    progress_bar,
)
from labeler.core.text import bar_chart, count_of

if TYPE_CHECKING:
    from db.records import Run, Version
    from labeler.core.project import Project
    from labeler.core.status import Status
    from labeler.review.cards.card import Card

QUEUES = ("mistake", "false-positive", "false-negative", "hand-score")


@click.command()
@click.option(
    "--recipe",
    type=click.Choice(["quick", "original"]),
    default="quick",
    show_default=True,
    help="quick: seconds; original: CityAesthetics' own recipe, minutes.",
)
@click.option("--note", metavar="TEXT", default="", help="What this version is about.")
@AS_JSON
def train(recipe: str, note: str, as_json: bool) -> None:
    """Train a new version on all hand scores.

    It becomes the active one. Missing embeddings are computed first. If a training runs already,
    that one is followed.
    """
    # Imported where they are used: `labeler --help` imports click alone.
    import db.versions.registry
    from labeler.versions.evaluation import measures
    from labeler.versions.evaluation.compare import compare
    from labeler.versions.evaluation.figures import headline

    lower_priority()
    with opened_project() as project:
        run = _train(project, {"recipe": recipe, "note": note})
        version = db.versions.registry.by_name(project.store, run.version) if run.version else None
        if run.state != "done" or version is None:
            raise Failure(run.message or f"The training {run.state}; run it again.")
        judged, parent = headline(project, version), _parent(project, version)
        compared = compare(project, version, parent) if parent else None
        if as_json:
            print_json(version_document(project, version))
            return
        print_result(
            f"Trained {version.name} on {version.scored_count} scored images; it is active now."
        )
        for line in headline_lines(judged):
            print_result(line)
        if parent is not None and compared is not None:
            told = measures.verdict(compared, version.name, parent.name)
            print_result(told.replace("**", ""))
        print_result("Next: labeler review")


def _parent(project: Project, version: Version) -> Version | None:
    # Imported where it is used: `labeler --help` imports click alone.
    import db.versions.registry

    return db.versions.registry.by_name(project.store, version.parent) if version.parent else None


def _train(project: Project, params: dict[str, Any]) -> Run:
    from labeler.cli.job_kinds import JOBS
    from labeler.core.jobs import runner

    with progress_bar() as progress:
        run, is_ours = runner.begin(project, "train", params)
        if is_ours:
            return runner.work(project, run.id, JOBS, progress=progress)
        other = " It was started with another recipe or note." if run.params != params else ""
        print_message(f"A training runs already; following that one.{other}")
        ended = runner.follow(project, run.id, progress)
    if not runner.has_died(ended):
        return ended
    print_message("That training was killed; training anew.")
    return _train(project, params)


@click.command()
@click.option(
    "--queue",
    type=click.Choice(QUEUES),
    default="mistake",
    show_default=True,
    help="Which kind; mistake has both sides of the threshold, dealt by what finds most.",
)
@click.option(
    "--limit", type=click.IntRange(1), default=40, show_default=True, help="How many at most."
)
@AS_JSON
def review(queue: str, limit: int, as_json: bool) -> None:
    """List what the active version likely gets wrong.

    The surest mistake first. Correct one with: labeler label ID SCORE
    """
    from labeler.review.pages import (
        count_without_embedding,
        embed_first,
        explain_empty,
        review_cards,
        reviewed_version,
    )

    with opened_project() as project:
        cards = review_cards(project, queue, limit=limit)
        if as_json:
            print_json({"queue": queue, "cards": [_card_document(card) for card in cards]})
            return
        if not cards:
            print_result(explain_empty(project, reviewed_version(project, queue), queue))
        for card in cards:
            print_result(_card_line(card))
        if cards and (advised := embed_first(count_without_embedding(project))):
            print_result(advised)


def _card_line(card: Card) -> str:
    scored = f", scored {card.image.hand_score:.3g}" if card.image.hand_score is not None else ""
    why = "; ".join(reason.words for reason in card.reasons)
    line = f"{percent(card.prediction):>4} [{card.image.path}] id {card.image.id}{scored}: {why}"
    if not card.together:
        return line
    alike = ", ".join(str(twin.image.id) for twin in card.together)
    return f"{line}; near-duplicates: id {alike}"


def _card_document(card: Card) -> dict[str, Any]:
    return {
        "id": card.image.id,
        "path": card.image.path,
        "source": card.image.source,
        "score": card.image.hand_score,
        "prediction": card.prediction,
        "suspicion": card.suspicion,
        "second": card.second_opinion,
        "confirm": card.confirm,
        "reasons": [reason.words for reason in card.reasons],
        "near": [
            {
                "id": near.image.id,
                "path": near.image.path,
                "score": near.image.hand_score,
                "similarity": near.similarity,
            }
            for near in card.near
        ],
        "together": [
            {
                "id": twin.image.id,
                "path": twin.image.path,
                "queue": twin.queue,
                "score": twin.image.hand_score,
                "prediction": twin.prediction,
            }
            for twin in card.together
        ],
    }


@click.command()
@AS_JSON
def status(as_json: bool) -> None:
    """Show images, hand scores, sources and versions."""
    from labeler.core.status import as_document, read_status

    with opened_project() as project:
        now = read_status(project)
        if as_json:
            print_json(as_document(now))
        else:
            _show_status(now)


def _show_status(now: Status) -> None:
    print_result(f"{now.folder}  encoder {now.encoder}, threshold {percent(now.threshold)}")
    print_result(
        f"{count_of(now.fine, 'image')}, {now.embedded} embedded, {now.missing} missing, "
        f"{len(now.unreadable)} unreadable{f', {now.replaced} replaced' if now.replaced else ''}"
    )
    if now.replaced:
        print_result(
            "Of replaced ones the files hold something else; their scores: labeler carry-over"
        )
    if now.missing:
        print_result(
            "Missing ones keep their scores; find them again with: labeler import NEWPLACE"
        )
    for source in now.sources:
        expect = f", expected {source.expect[0]:g} to {source.expect[1]:g}" if source.expect else ""
        print_result(
            f"  {source.name}: {count_of(source.images, 'image')}, {source.scored} scored{expect}"
        )
    print_result()
    print_result("Hand scores:")
    labels = [*(str(score) for score in range(11)), "unscored"]
    for line in bar_chart(labels, [*now.distribution, now.unscored], max(now.distribution)):
        print_result(line)
    print_result()
    for version in now.versions:
        print_result(version_line(version))
    since = now.since.name if now.since else "the start"
    print_result(f"{count_of(now.waiting, 'new hand score')} since {since}.")
    for kind in now.running:
        print_result(f"Running now: {kind}")
    if now.unreadable:
        print_result()
        print_result("Unreadable:")
        lines = [f"  {one.path}: {one.reason}" for one in now.unreadable]
        for line in first_items(lines, "all of them: labeler status --json"):
            print_result(line)
    if step := now.next_step():
        print_result()
        print_result(f"Next: {step}")
