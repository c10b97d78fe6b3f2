"""Compute the sections of a model card: the version, its scores, its metrics, its data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import db.images.counts
import db.images.sources
import db.versions.predictions
import db.versions.registry
from db.records import Version
from labeler.collection.arrays import images_now
from labeler.core.project import Project
from labeler.core.scale import BRACKETS, spans_of, to_others
from labeler.core.text import bar_chart, escape_markdown, markdown_code, markdown_table
from labeler.exports.licences import ALL, licences
from labeler.exports.models.card_history import escaped_version_name
from labeler.exports.models.safetensors_pair import checked_threshold
from labeler.exports.models.target import encoder_record, shown_encoder
from labeler.versions import predictions
from labeler.versions.evaluation.audit import VersionAudit, audit_report
from labeler.versions.evaluation.figures import headline, on_chosen_images
from labeler.versions.evaluation.measures import MEASURES, figures_named, number, written
from labeler.versions.evaluation.slices import KINDS, slice_report
from model.encoders.stored_preprocessing import validated_preprocessing
from model.evaluation.audit import Estimate
from model.passing import SLACK

LOSSES = ("train", "held_out")


def description(version: Version) -> list[str]:
    """Return one paragraph: the input, the output, and what the version was trained on."""
    created = f"{version.created_at:%Y-%m-%d}"
    origin = f"learnt from {version.scored_count:,} images that were scored by hand from 0 to 10"
    if version.is_foreign:
        kind = escape_markdown(str(version.settings.get("kind") or "unknown"))
        origin = (
            f"made elsewhere (kind: {kind}) and taken in as it was: it has seen none of the hand "
            "scores of this collection"
        )
    return [
        "",
        f"A small network on the embeddings of {_encoder(version)}. From an image's "
        f"embedding it predicts a score from 0 to 1; version of {created}, {origin}.",
    ]


def usage(project: Project, version: Version) -> list[str]:
    """Return the section about the input, the output, and filtering by score."""
    record = encoder_record(project, version)
    preprocessing = validated_preprocessing(record.preprocessing, shown_encoder(record.identity))
    pictures = (
        f"{preprocessing['size']} × {preprocessing['size']} pixels"
        if "size" in preprocessing
        else "as the encoder's"
    )
    if preprocessing.get("resize"):
        whole = "the whole picture, resized to that"
        middle = "the middle of the picture, its shorter side resized to that"
        way = middle if preprocessing["resize"] == "shortest" else whole
        pictures += f": {way} ({preprocessing.get('interpolation', 'bicubic')})"
    rows = [
        ["encoder", _encoder(version)],
        ["pictures", escape_markdown(pictures)],
        [
            "embeddings",
            f"{escape_markdown(str(record.width))} values, "
            + ("length 1" if record.normalised else "not normalised"),
        ],
        ["gives", "a score from 0 to 1, higher is better"],
        ["threshold", f"{checked_threshold(project):g}"],
    ]
    scale = version.settings.get("scale") if version.is_foreign else None
    ends = [number(end) for end in scale] if isinstance(scale, list) else []
    if len(ends) == 2 and None not in ends:
        rows.append(["its own scale", f"{ends[0]:g} to {ends[1]:g}, told as 0 to 1"])
    return [
        "",
        *markdown_table(["", ""], rows),
        "",
        "Filter with a high-pass (the threshold or more), with a band-pass (between two scores), "
        "or sort by the score and take the top N.",
    ]


def _encoder(version: Version) -> str:
    return markdown_code(shown_encoder(version.encoder))


def biases(project: Project, version: Version) -> list[str]:
    """Return the sources' expected scores, the versions' notes, and the measured deviations.

    Notes are of the version and of the earlier ones; of an adopted version only its own.
    """
    expected = [
        f"- Images from {escape_markdown(source.name)} are meant to score {source.expect_low:g} to "
        f"{source.expect_high:g} of 10."
        for source in db.images.sources.sources(project.store)
        if source.expect_low is not None and source.expect_high is not None
    ]
    notes = [
        f"- {escaped_version_name(each)}: {escape_markdown(each.note)}"
        for each in db.versions.registry.history(project.store)
        if each.note and (each.id == version.id if version.is_foreign else each.id <= version.id)
    ]
    measured = [
        f"- {escape_markdown(sentence)}"
        for kind in KINDS
        for sentence in slice_report(project, kind).sentences()
    ]
    lines = []
    if expected:
        lines += ["", "Asked of whole sources, and held against every prediction:", "", *expected]
    if notes:
        lines += ["", "Noted with the versions:", "", *notes]
    return [*lines, "", "Measured, on images that it had not seen:", "", *measured]


def brackets(project: Project, version: Version) -> list[str]:
    """Return the table of brackets with the number of predictions and hand scores in each."""
    predicted = Counter(spans_of(_predictions(project, version)))
    counted = db.images.counts.by_hand_score(project.store).distribution
    rows = []
    for bracket in BRACKETS:
        top = bracket is BRACKETS[-1]
        span = f"{10 * bracket.low}–{10 if top else bracket.high + 1}0 %"
        scores = f"{bracket.low}–{bracket.high}" if bracket.high > bracket.low else f"{bracket.low}"
        scored = sum(counted[bracket.low : bracket.high + 1])
        rows.append(
            [
                span,
                scores,
                to_others(bracket.meaning),
                f"{predicted[bracket.span]:,}",
                f"{scored:,}",
            ]
        )
    head = ["prediction", "hand score", "what it usually means", "predicted", "scored by hand"]
    return ["", *markdown_table(head, rows)]


def distribution(project: Project, version: Version) -> list[str]:
    """Return histograms of predictions (by tenths) and of hand scores, as text bars."""
    scores = _predictions(project, version)
    tenths = np.bincount(np.clip((10 * (scores + SLACK)).astype(int), 0, 9), minlength=10).tolist()
    spans = [f"{10 * k}–{10 * k + 10} %" for k in range(10)]
    scored = db.images.counts.by_hand_score(project.store).distribution
    return [
        "",
        f"Predictions of {len(scores):,} images:",
        "",
        *_code_block(bar_chart(spans, tenths, max(tenths))),
        "",
        f"Hand scores of {sum(scored):,} images, fractions counted with the nearest whole score:",
        "",
        *_code_block(bar_chart([str(k) for k in range(11)], scored, max(scored))),
    ]


def _code_block(lines: Iterator[str]) -> list[str]:
    return ["```text", *lines, "```"]


def _predictions(project: Project, version: Version) -> NDArray[np.float64]:
    return predictions.sorted_by_id(project, version.id).scores.astype(np.float64)


def metrics(project: Project, version: Version) -> list[str]:
    """Return the measures and the share of mistakes by random draws, and, named so, the measures on
    the images that were chosen."""
    judged, chosen = headline(project, version), on_chosen_images(project, version)
    lines = ["", escape_markdown(judged.sentence)]
    if judged.metrics:
        lines += [
            "",
            f"With 95 % intervals; an image passes from {project.threshold:g} on.",
            "",
            *_measures_table(judged.metrics),
        ]
    lines += ["", "### Mistakes, by images drawn at random", *_audit_lines(project)]
    if not chosen.judged:
        return lines
    how = "out of fold: each predicted by a head that had not seen it"
    if version.is_foreign:
        how = "all that have a hand score: it has seen none of them"
    return [
        *lines,
        "",
        "### On the images that were chosen",
        "",
        f"On all {chosen.judged:,} scored images ({how}), passing from {version.threshold:g} on. "
        "Among them are those that a person or a review chose, so these figures are of them and "
        "not of the collection.",
        "",
        *_measures_table(chosen.metrics),
    ]


def _measures_table(measured: dict[str, Any]) -> list[str]:
    guess = figures_named(measured, "baseline")
    rows = [
        [
            each.name,
            written(measured, each).replace("  ", " "),
            written(guess, each).replace("  ", " "),
            to_others(each.meaning),
        ]
        for each in MEASURES
    ]
    return markdown_table(["measure", "value", "guessing the mean", "meaning"], rows)


def _audit_lines(project: Project) -> list[str]:
    report = audit_report(project)
    active = report.active
    if active is None or not active.audit.judged:
        return [
            "",
            "No image was drawn at random that could judge it, so nothing is known about the "
            "collection as a whole.",
        ]
    rows = [
        ["false positives, of what passes", *_estimate_cells(active.audit.false_positives)],
        ["false negatives, of what fails", *_estimate_cells(active.audit.false_negatives)],
    ]
    return [
        "",
        f"{escape_markdown(active.sentence)} The threshold is {report.threshold:g}."
        f"{_passing_share(active)}",
        "",
        *markdown_table(["mistakes", "share", "seen"], rows),
        *(["", *(escape_markdown(note) for note in report.notes())] if report.notes() else []),
    ]


def _passing_share(active: VersionAudit) -> str:
    good = active.audit.good
    if good is None:
        return ""
    between = f"{100 * good.low:.0f} % to {100 * good.high:.0f} %"
    return f" Of the images it had not seen {100 * good.value:.0f} % ({between}) should pass."


def _estimate_cells(estimate: Estimate) -> tuple[str, str]:
    seen = f"{estimate.mistakes} of {estimate.judged}"
    if estimate.share is None:
        return "too few to say", seen
    share = estimate.share
    return f"{100 * share.value:.0f} % ({100 * share.low:.0f} % to {100 * share.high:.0f} %)", seen


def training(project: Project, version: Version) -> list[str]:
    """Return the table of the sources trained on: images, mean score, licence."""
    if version.is_foreign:
        return ["", "Not known here: it was made elsewhere."]
    ids, values = db.versions.predictions.trained_on(project.store, version.id)
    images = images_now(project)
    places, in_collection = images.places(ids)
    sources, values = images.sources[places], values[in_collection]
    licence_of = licences(project)
    rows = []
    for source in db.images.sources.sources(project.store):
        scores = values[sources == source.id]
        if len(scores):
            licence = escape_markdown(
                licence_of.get(source.name, licence_of.get(ALL, "not stated"))
            )
            rows.append(
                [escape_markdown(source.name), f"{len(scores):,}", f"{scores.mean():.1f}", licence]
            )
    return [
        "",
        f"{len(ids):,} images with a hand score, of {len(images):,} in the collection. The images "
        "themselves are not in the model.",
        "",
        *markdown_table(["source", "images", "mean score", "licence of the images"], rows),
    ]


def curve_points(version: Version) -> list[tuple[float, dict[str, float]]]:
    """Return the loss curve as (step, {name: loss}), without values that are no numbers."""
    points = []
    for point in version.curve if isinstance(version.curve, list) else []:
        losses_of_point = point if isinstance(point, dict) else {}
        losses = {name: number(losses_of_point.get(name)) for name in LOSSES}
        step, finite = (
            number(losses_of_point.get("step")),
            {k: v for k, v in losses.items() if v is not None},
        )
        if step is not None and finite:
            points.append((step, finite))
    return points


def has_curve(version: Version) -> bool:
    """Return whether the loss curve has at least two steps."""
    return len({step for step, _ in curve_points(version)}) > 1
