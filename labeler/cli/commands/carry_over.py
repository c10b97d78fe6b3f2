"""labeler carry-over: hand scores for pictures that took the place of scored ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from labeler.cli.common import Failure, opened_project
from labeler.cli.output import print_json, print_result
from labeler.core.text import count_of

if TYPE_CHECKING:
    from labeler.collection.carry_over import CarryOver
    from labeler.core.project import Project

COMMAND = "labeler carry-over"


@click.command("carry-over")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@click.option("--list", "only_list", is_flag=True, help="Only show what could be carried over.")
@click.option("--json", "as_json", is_flag=True, help="Show it as JSON; changes nothing.")
def carry_over(paths: tuple[Path, ...], *, only_list: bool, as_json: bool) -> None:
    """Carry scores over to what took a picture's place.

    A picture that was compressed anew, resized or touched up in its place is another image, without
    a score. Without FILE all those are taken that look like what they replaced; a file that holds
    quite another picture now has to be named.
    """
    # Imported where they are used: `labeler --help` imports click alone.
    from labeler.collection.carry_over import carry_overs

    with opened_project() as project:
        offers = carry_overs(project)
        if as_json:
            print_json([_document(offer) for offer in offers])
        elif only_list or not paths:
            _carry_near(project, offers, only_list=only_list)
        else:
            selected = _select_by_path(offers, paths)
            _carry(project, selected)


def _carry_near(project: Project, offers: list[CarryOver], *, only_list: bool) -> None:
    near = [offer for offer in offers if offer.near]
    others = [offer for offer in offers if not offer.near]
    for offer in offers if only_list else others:
        what = "looks like" if offer.near else "holds quite another picture than"
        print_result(f"{offer.new.path} {what} the one that was scored {_score(offer)}.")
    if only_list:
        print_result(f"{count_of(len(near), 'score')} would be carried over with: {COMMAND}")
        return
    if others:
        print_result(f"Left alone; to take one all the same, name its file: {COMMAND} FILE")
    if near or not others:
        _carry(project, near)


def carry_all_near(project: Project, *, verbose: bool) -> None:
    """Carry over to what looks like what it replaced; print how many only if `verbose`."""
    from labeler.collection.carry_over import carry_over as carry
    from labeler.collection.carry_over import carry_overs

    count = carry(project, [offer for offer in carry_overs(project) if offer.near])
    if verbose and count:
        print_result(f"Carried over the scores of {count_of(count, 'picture')}.")


def _carry(project: Project, offers: list[CarryOver]) -> None:
    from labeler.collection.carry_over import carry_over as carry

    print_result(f"Carried over the scores of {count_of(carry(project, offers), 'picture')}.")


def _select_by_path(offers: list[CarryOver], paths: tuple[Path, ...]) -> list[CarryOver]:
    by_path = {offer.new.path: offer for offer in offers}
    selected = []
    for path in paths:
        offer = by_path.get(str(path.absolute())) or by_path.get(str(path.resolve()))
        if offer is None:
            raise Failure(
                f"{path} has not taken the place of a picture that was scored; see: {COMMAND} "
                "--list"
            )
        selected.append(offer)
    return selected


def _score(offer: CarryOver) -> str:
    return "before" if offer.old.hand_score is None else f"{offer.old.hand_score:g}"


def _document(offer: CarryOver) -> dict[str, object]:
    return {
        "path": offer.new.path,
        "id": offer.new.id,
        "former_id": offer.old.id,
        "score": offer.old.hand_score,
        "near": offer.near,
    }
