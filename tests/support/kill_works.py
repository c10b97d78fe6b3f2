"""The commands that are killed: what each starts from, and what it must have made in the end.

A work's `results` are compared between a command that nobody disturbed and one that was killed and
run again; the keys are what is named where they differ, numbers may differ by a rounding.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.kill_checks import check_whole, contents
from tests.support.kill_ground import Ground

Results = dict[str, Any]
_PREVIEWS = ("previews", "thumbnails")


@dataclass(frozen=True)
class Work:
    """`words` of the command in a folder that begins as a copy of `start`; OUT is where files go.

    `results` reads what it made; `check` is of the folder after a kill, given the results of an
    undisturbed run.
    """

    name: str
    start: Path
    words: list[str]
    results: Callable[[Path], Results]
    check: Callable[[Path, Results], None]
    scratch: tuple[str, ...] = ("project",)  # folders in which unfinished files may be left
    aims: tuple[str, ...] = ()  # patterns of files: kill as soon as one is there
    scores_meanwhile: bool = False  # whether hand scores that come in leave the results alone

    def words_in(self, folder: Path) -> list[str]:
        return [word.replace("OUT", str(folder / "out")) for word in self.words]


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "project" / "labeler.sqlite")) as connection:
        return connection.execute(query).fetchall()


# --- import


def importing(ground: Ground, count: int) -> Work:
    pictures = ground.pictures("more", count)
    return Work(
        "import",
        ground.scored(),
        ["import", str(pictures), "--expect", "0:3"],
        _imported,
        lambda folder, whole: _check_previews(folder, whole["previews"]),
        aims=("project/previews/*/*", "project/previews/*/*.part", "project/**/*.part"),
        scores_meanwhile=True,
    )


def _imported(folder: Path) -> Results:
    return {
        "images": rows(
            folder,
            "SELECT images.id, path, content_hash, format, width, height, state, fingerprint, "
            "sources.name, present, expect_low, expect_high FROM images JOIN locations ON "
            "image_id = images.id JOIN sources ON sources.id = images.source_id ORDER BY path",
        ),
        "previews": {name: contents(folder / "project" / name) for name in _PREVIEWS},
        "counts": rows(
            folder, "SELECT source_id, state, sum(images) FROM image_counts GROUP BY 1, 2"
        ),
    }


def _check_previews(folder: Path, whole: dict[str, dict[str, str]]) -> None:
    for name in _PREVIEWS:
        check_whole(contents(folder / "project" / name), whole[name])


# --- embed


def embedding(ground: Ground, count: int) -> Work:
    def make(folder: Path) -> None:
        shutil.copytree(ground.trained(), folder, dirs_exist_ok=True)
        ground.run(folder, "import", ground.pictures("to embed", count))

    return Work(
        "embed",
        ground.made(f"to embed {count}", make),
        ["embed"],
        _embedded,
        _check_embedded,
        scores_meanwhile=True,
    )


def _embedded(folder: Path) -> Results:
    vectors = {
        image_id: np.frombuffer(vector, dtype="<f4")
        for image_id, vector in rows(folder, "SELECT image_id, vector FROM embeddings")
    }
    predicted = rows(
        folder,
        "SELECT image_id, score FROM predictions JOIN versions ON versions.id = version_id "
        "WHERE active",
    )
    return {"embeddings": vectors, "predictions": dict(predicted)}


def _check_embedded(folder: Path, whole: Results) -> None:
    """What is kept already is right, and of the right image."""
    for kind, found in _embedded(folder).items():
        assert found.keys() <= whole[kind].keys()
        assert_same({key: whole[kind][key] for key in found}, found, kind)


# --- train


def training(ground: Ground, count: int) -> Work:
    return Work(
        "train",
        ground.trained(count),
        ["train", "--note", "again"],
        _trained,
        _check_heads,
        aims=("project/models/v1.1.config.json", "project/models/*.part"),
    )


def _trained(folder: Path) -> Results:
    """Of the version that is active: several may be there where the kill came after the first."""
    [(version, name, parent, note, scored)] = rows(
        folder,
        "SELECT id, name, parent_id IS NOT NULL, note, scored_count FROM versions WHERE active",
    )
    models = folder / "project" / "models"
    about = f"SELECT image_id, score FROM %s WHERE version_id = {version} ORDER BY 1"
    return {
        "version": (parent, note, scored),
        "weights": _weights(models / f"{name}.safetensors"),
        "predictions": dict(rows(folder, about % "predictions")),
        "out of fold": dict(rows(folder, about % "out_of_fold")),
        "runs": rows(folder, "SELECT count(*) FROM runs WHERE state = 'active'"),
    }


def _weights(file: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(file))


def _check_heads(folder: Path, _whole: Results) -> None:
    """Every version in the store has its files, and whatever has a head's name can be read."""
    from model.estimators.kernel_ordinal import KernelOrdinal
    from model.heads.head_files import load_head

    models = folder / "project" / "models"
    for (name,) in rows(folder, "SELECT name FROM versions"):
        load_head(models / f"{name}.safetensors")
        assert (models / f"{name}.opinion.npz").is_file()
    for weights in models.glob("*.safetensors"):
        load_head(weights)
    for opinion in models.glob("*.opinion.npz"):
        KernelOrdinal.load(opinion)


# --- predict


def predicting(ground: Ground, count: int) -> Work:
    pictures = ground.pictures("elsewhere", count)
    return Work(
        "predict",
        ground.trained(),
        [
            *("predict", str(pictures), "--min", "0.2", "--copy-to", "OUT/copies"),
            *("--sidecar", "json", "--out", "OUT/list.csv"),
        ],
        _written,
        _check_written,
        scratch=("project", "out"),
        aims=("out/copies/*", "out/copies/*.json", "out/**/*.part", "project/runs/predicted.*"),
    )


def _written(folder: Path) -> Results:
    return {"files": contents(folder / "out")}


def _check_written(folder: Path, whole: Results) -> None:
    if (folder / "out").exists():
        check_whole(contents(folder / "out"), whole["files"])


# --- export


def exporting(ground: Ground, kind: str, *options: str, count: int = 30) -> Work:
    return Work(
        f"export {kind}",
        ground.trained(count),
        ["export", kind, "OUT", *options],
        _exported,
        _check_exported,
        scratch=("project", "out"),
        aims=("out", "out/*", "out/.labeler-export", "out/**/*.part", "out/*/*"),
    )


def _exported(folder: Path) -> Results:
    files = contents(folder / "out")
    for name in list(files):
        if name.endswith(".labeler-export"):
            lines = (folder / "out" / name).read_text(encoding="utf-8").splitlines()
            files[name] = repr(sorted({line for line in lines if line}))
    return {"files": files}


def _check_exported(folder: Path, whole: Results) -> None:
    if (folder / "out").exists():
        files = _exported(folder)["files"]
        files.pop(".labeler-export", None)  # It grows; only what it leads to counts.
        check_whole(files, whole["files"])


# --- results


def assert_same(expected: Any, found: Any, what: str) -> None:
    """The same, numbers but for a rounding."""
    if isinstance(expected, dict):
        assert isinstance(found, dict)
        assert expected.keys() == found.keys(), (
            f"{what}: lacks {list(expected.keys() - found.keys())[:5]}, "
            f"has {list(found.keys() - expected.keys())[:5]}"
        )
        for key, value in expected.items():
            assert_same(value, found[key], f"{what}, {key}")
    elif isinstance(expected, float | np.ndarray):
        scale = float(np.abs(expected).max()) or 1.0
        assert np.allclose(expected, found, rtol=0, atol=scale / 100), what
    else:
        assert expected == found, f"{what}: {found} instead of {expected}"
