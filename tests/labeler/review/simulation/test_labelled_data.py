"""Protects what a simulation reads: every line is taken or named, the same content counts once."""

from __future__ import annotations

from pathlib import Path

import pytest

from labeler.core.errors import BadInput
from labeler.review.simulation.labelled_data import read_labelled
from tests.support.collection import draw_pictures


def test_good_lines_are_embedded_and_bad_ones_named(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    draw_pictures(folder, 4)
    names = sorted(path.name for path in folder.iterdir())
    (folder / "broken.png").write_bytes(b"no picture")
    lines = [f"{names[0]},0,a", f"{names[1]},10,a", f"{names[2]},11,", "gone.png,3,"]
    lines += ["broken.png,4,", f"{names[3]},2.5,b", f"{names[0]},7,a"]
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(["path,score,split_group", *lines]), encoding="utf-8")
    told: list[str] = []
    data = read_labelled(labels, folder, folder=tmp_path / "project", print_message=told.append)
    assert sorted(data.scores.tolist()) == [0, 2.5, 10]
    assert data.embeddings.shape == (3, 1280)
    first, second = (data.groups[data.scores.tolist().index(score)] for score in (0, 10))
    assert first == second
    assert [any(name in each for each in told) for name in ("11", "gone", "broken")] == [True] * 3
    with pytest.raises(BadInput, match="--out"):
        read_labelled(labels, folder, encoder="clip-b32", folder=tmp_path / "project")
