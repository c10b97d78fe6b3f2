"""A project of 40 embedded images, none scored, and files of heads that others have published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result

import db.images.embeddings
import db.images.locations
from labeler.cli.main import labeler
from labeler.collection.importing import import_paths
from labeler.core.project import Project
from tests.support import published
from tests.support.collection import draw_pictures

IMAGES = 40
CLIP = "open_clip:ViT-L-14-quickgelu/openai"
LAION = "sac+logos+ava1-l14.pth"
SIGLIP = "aesthetic_predictor_v2_5.pth"
B32 = "b32.pth"
CITY = "CityAesthetics-Anime-v1.8.safetensors"


def make(folder: Path) -> None:
    """FOLDER/project, and the heads beside it."""
    project = Project.create(folder / "project", encoder="clip-l14")
    draw_pictures(folder / "pictures", IMAGES)
    fill(project, folder / "pictures", published.embeddings(IMAGES), normalised=False)
    project.close()
    published.save(published.drawn(published.laion()), folder / LAION)
    published.save(published.drawn(published.siglip()), folder / SIGLIP)
    published.save(published.drawn(published.linear(512)), folder / B32)
    city = published.drawn(published.City(), spread=2, centre=0)
    published.save_city(city, folder / CITY.removesuffix(".safetensors"))


def fill(project: Project, pictures: Path, vectors: np.ndarray, *, normalised: bool) -> None:
    """Import the pictures with these embeddings (40, 768) as the project's encoder's."""
    import_paths(project, [pictures], source="gradients", workers=1)
    encoder = db.images.embeddings.register_encoder(
        project.store, project.encoder, vectors.shape[1], normalised, {"size": 224}
    )
    db.images.embeddings.put(project.store, encoder.id, np.array(all_ids(project)), vectors)


def all_ids(project: Project) -> list[int]:
    return sorted(db.images.locations.ids_by_path(project.store).values())


def expected(low: float = 1, high: float = 10) -> np.ndarray:
    """What LAION's own module says of the project's embeddings, 0–1."""
    truth = published.said_of_unit(published.drawn(published.laion()), published.embeddings(IMAGES))
    return np.clip((truth - low) / (high - low), 0, 1)


def call(project: Project, *arguments: str | Path, code: int = 0) -> Result:
    words = ["--project", str(project.folder), *map(str, arguments)]
    result = CliRunner().invoke(labeler, words)
    assert result.exit_code == code, result.output
    return result
