"""The figures beside the picture: what is scored, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from labeler.core.project import Project
from labeler.scoring.stats import score_stats
from tests.support.collection import make_collection


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_collection(tmp_path, images=24, scored=12)


def test_the_figures_beside_the_picture(project: Project) -> None:
    stats = score_stats(project, datetime(2026, 5, 4, 12, tzinfo=UTC))
    assert (stats.scored, stats.unscored, sum(stats.distribution)) == (12, 12, 12)
    assert stats.distribution[0] == 2  # 0 is a score: images 1 and 12
