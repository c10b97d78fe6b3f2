"""Draw the pictures of a model card, as PNG: the loss curve, and the best images."""

from __future__ import annotations

import io
from typing import Any

from db.records import Version
from labeler.collection.arrays import images_now
from labeler.core.project import Project
from labeler.core.scale import whole_percent
from labeler.exports.models.card_facts import curve_points, has_curve
from labeler.versions.predictions import sorted_by_score

TOP_IMAGES = 100
_LINES = {"train": "learnt from", "held_out": "held out"}


def loss_curve_png(version: Version) -> bytes | None:
    """Return the loss curve of the version's training as PNG; None without one."""
    if not has_curve(version):
        return None
    # Imported where they are used: a card without pictures does without both.
    import vl_convert

    png: bytes = vl_convert.vegalite_to_png(_chart(curve_points(version)), scale=2)
    return png


def _chart(curve: list[tuple[float, dict[str, float]]]) -> dict[str, Any]:
    points = [
        {"step": step, "line": _LINES[name], "loss": loss}
        for step, losses in curve
        for name, loss in losses.items()
    ]
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": 640,
        "height": 240,
        "background": "white",
        "data": {"values": points},
        "mark": {"type": "line", "interpolate": "monotone"},
        "encoding": {
            "x": {
                "field": "step",
                "type": "quantitative",
                "axis": {"grid": False, "tickMinStep": 1},
            },
            "y": {
                "field": "loss",
                "type": "quantitative",
                "title": "mean absolute error",
                "scale": {"zero": False},
            },
            "color": {
                "field": "line",
                "type": "nominal",
                "title": None,
                "legend": {"orient": "top"},
                "scale": {"range": ["#2a6f6b", "#c2613a"]},
            },
        },
    }


def top_images_png(project: Project, version: Version) -> bytes | None:
    """Return the images with the highest predictions as PNG, highest first; None without any."""
    from labeler.exports.contact_sheet import SheetImage, draw_sheet

    predictions, images = sorted_by_score(project, version.id), images_now(project)
    fine = images.fine[images.rows(predictions.ids)]
    best = [
        SheetImage(int(image_id), f"{whole_percent(prediction)} %")
        for image_id, prediction in zip(
            predictions.ids[fine][::-1][:TOP_IMAGES],
            predictions.scores[fine][::-1][:TOP_IMAGES],
            strict=True,
        )
    ]
    if not best:
        return None
    buffer = io.BytesIO()
    draw_sheet(project, best).save(buffer, "PNG", optimize=False)
    return buffer.getvalue()
