"""Pictures in tar and Parquet files are pictures like any other, and nothing is unpacked.

Protects: what real writers write is found whole, with its captions; an archive that is cut off,
hostile or compressed says so and does no harm; importing again takes only what is new; a picture in
an archive is embedded, shown and predicted from its own bytes.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow
import pytest
import webdataset
from pyarrow import parquet

import db.images.counts
import db.images.locations
import db.images.lookup
import db.images.tags
from labeler.app.routes.images import _full_response
from labeler.app.widgets.path_input import preview_path
from labeler.collection.import_summary import ImportSummary
from labeler.collection.importing import import_paths
from labeler.collection.previews import preview_of
from labeler.core.archives.archives import look_into, through
from labeler.core.archives.opening import open_picture, open_regular
from labeler.core.archives.protocol import stays_inside
from labeler.core.project import Project
from labeler.embedding.embed import _prepare
from model.errors import UnreadableImage
from tests.support.pictures import jpeg_bytes, make_jpeg
from tests.support.store_rows import tags_of_image


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project.create(tmp_path / "project", encoder="lite")
    yield made
    made.close()


def shard(path: Path, count: int, first: int = 0, **more: object) -> Path:
    """A tar as img2dataset writes it, by webdataset's own writer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with webdataset.TarWriter(str(path)) as writer:
        for number in range(first, first + count):
            caption = f"tag {number}, all"
            writer.write(
                {
                    "__key__": f"{number:09}",
                    "jpg": jpeg_bytes(number),
                    "txt": caption,
                    "json": {"caption": caption, "key": f"{number:09}", "keywords": ["word"]},
                    **more,
                }
            )
    return path


def table(path: Path, count: int, **more: list[object]) -> Path:
    """A Parquet file as img2dataset writes it."""
    columns = {
        "key": [f"{number:09}" for number in range(count)],
        "caption": [f"tag {number}, all" for number in range(count)],
        "jpg": [jpeg_bytes(number) for number in range(count)],
    }
    parquet.write_table(pyarrow.table(columns | more), path, row_group_size=3)
    return path


def brief(summary: ImportSummary) -> dict[str, int]:
    values = {name: getattr(summary, name) for name in ImportSummary.__slots__}
    counts = {name: v if isinstance(v, int) else len(v) for name, v in values.items()}
    return {name: n for name, n in counts.items() if n and name != "in_archives"}


def tags(project: Project, path: str) -> list[str]:
    return tags_of_image(project.store, db.images.locations.ids_by_path(project.store)[path])


def taken(project: Project) -> list[str]:
    return sorted(db.images.locations.ids_by_path(project.store))


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **changes: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for attribute, value in changes.items():
        setattr(member, attribute, value)
    tar.addfile(member, io.BytesIO(data))


def test_a_table_without_pictures_is_no_picture(project: Project, tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"path": ["a"], "score": [1]}), tmp_path / "scores.parquet")
    summary = import_paths(project, [tmp_path / "scores.parquet"])
    assert (summary.found, summary.new) == (0, 0)
    [(name, why)] = summary.closed
    assert name.endswith("scores.parquet")
    assert "no pictures" in why
    assert "import-embeddings" in why
    assert db.images.counts.by_state(project.store)["unreadable"] == 0


@pytest.mark.parametrize("make", [shard, table], ids=["webdataset", "parquet"])
def test_an_archive_is_taken_as_a_folder(
    project: Project, tmp_path: Path, make: Callable[[Path, int], Path]
) -> None:
    suffix = ".tar" if make is shard else ".parquet"
    archive = make(tmp_path / f"00000{suffix}", 10)
    assert brief(import_paths(project, [archive])) == {"found": 10, "new": 10, "tagged": 10}
    path = f"{archive}/000000007.jpg"
    image = db.images.lookup.find_by_path(project.store, path)
    assert image is not None
    assert (image.state, image.format, image.size_bytes) == ("fine", "JPEG", len(jpeg_bytes(7)))
    words = ["word"] if make is shard else []
    assert tags(project, path) == ["all", "tag 7", *words]
    with open_regular(Path(path)) as file:
        assert file.read() == jpeg_bytes(7)
    assert {path.name for path in tmp_path.iterdir()} == {"project", archive.name}


@pytest.mark.parametrize("make", [shard, table], ids=["webdataset", "parquet"])
def test_importing_again_opens_nothing_that_is_known(
    project: Project, tmp_path: Path, make: Callable[[Path, int], Path]
) -> None:
    folder = tmp_path / "collection"
    folder.mkdir()
    archive = make(folder / ("0.tar" if make is shard else "0.parquet"), 4)
    import_paths(project, [folder])
    assert brief(import_paths(project, [folder])) == {"found": 4, "known": 4, "tagged": 4}
    make(archive, 6)
    os.utime(archive, ns=(1, 1))
    summary = import_paths(project, [folder])
    assert (summary.found, summary.new, summary.known) == (6, 2, 4)
    make(archive, 2)
    os.utime(archive, ns=(2, 2))
    assert import_paths(project, [folder]).missing == 4
    archive.unlink()
    assert import_paths(project, [folder]).missing == 2


def test_a_picture_in_an_archive_is_read_in_its_place_by_all(
    project: Project, tmp_path: Path
) -> None:
    archive = shard(tmp_path / "0.tar", 3)
    import_paths(project, [archive])
    path = Path(f"{archive}/000000002.jpg")
    image = db.images.lookup.find_by_path(project.store, str(path))
    assert image is not None and image.content_hash is not None
    preview_of(project, image.content_hash, path).unlink()
    assert open_picture(preview_of(project, image.content_hash, path)).size == (64, 48)
    assert _full_response(image).body == jpeg_bytes(2)
    assert open_picture(path).size == (64, 48)

    known = db.images.locations.known_locations(project.store, None)
    assert _prepare(_Encoder(), known, (image.id, str(path))).shape == (48, 64, 3)
    os.utime(archive, ns=(5, 5))
    assert _prepare(_Encoder(), known, (image.id, str(path))).shape == (48, 64, 3)
    shard(archive, 3, jpg=jpeg_bytes(7))
    with pytest.raises(UnreadableImage, match="changed since"):
        _prepare(_Encoder(), known, (image.id, str(path)))


class _Encoder:
    """Its input is the picture itself."""

    preprocessing = MappingProxyType({"size": None})

    def prepare(self, image: object) -> np.ndarray:
        return np.asarray(image)


def test_a_picture_that_is_also_elsewhere_stays_where_it_was(
    project: Project, tmp_path: Path
) -> None:
    archive = shard(tmp_path / "a" / "0.tar", 2)
    import_paths(project, [archive])
    make_jpeg(tmp_path / "b" / "same.jpg", seed=1)
    assert brief(import_paths(project, [tmp_path / "b"])) == {"found": 1, "duplicates": 1}


def test_a_folder_of_img2dataset_is_taken_by_its_own_table(
    project: Project, tmp_path: Path
) -> None:
    folder = tmp_path / "laion"
    for number in range(3):
        file = make_jpeg(folder / "00000" / f"{number:09}.jpg", seed=number)
        file.with_suffix(".txt").write_text(f"cat {number}, photo")
        file.with_suffix(".json").write_text(
            f'{{"caption": "cat {number}, photo", "status": "success", "keywords": ["pet", "fur"]}}'
        )
    noted = {
        "key": [f"{number:09}" for number in range(4)],
        "status": ["success", "success", "failed_to_resize", "failed_to_download"],
    }
    parquet.write_table(pyarrow.table(noted), folder / "00000.parquet")
    summary = import_paths(project, [folder])
    assert brief(summary) == {
        "found": 3,
        "new": 2,
        "unreadable": 1,
        "tagged": 3,
        "other_files": 1,
    }
    assert "download failed" in summary.unreadable[0][1]
    path = str(folder / "00000" / "000000001.jpg")
    assert tags(project, path) == ["cat 1", "fur", "pet", "photo"]


def test_rows_that_failed_are_left_out_and_counted(project: Project, tmp_path: Path) -> None:
    good, bad = "success", "failed_to_download"
    archive = table(
        tmp_path / "0.parquet",
        4,
        status=[good, bad, good, good],
        jpg=[jpeg_bytes(0), None, jpeg_bytes(2), b""],
    )
    summary = import_paths(project, [archive])
    assert (summary.new, len(summary.unreadable)) == (2, 1)
    assert "empty" in summary.unreadable[0][1]
    [(named, why)] = summary.closed
    assert named == str(archive)
    assert why.startswith("1 of its 4 rows are left out: their status is not success")


def test_pictures_of_hugging_face_are_found_whatever_the_column_is_called(
    project: Project, tmp_path: Path
) -> None:
    cells = [{"bytes": jpeg_bytes(k), "path": p} for k, p in enumerate(["a.png", "../b", None])]
    columns = {"label": [1, 2, 3], "noise": [b"x", b"y", b"z"], "photo": cells}
    archive = tmp_path / "train-00000-of-00001.parquet"
    parquet.write_table(pyarrow.table(columns), archive)
    assert brief(import_paths(project, [archive])) == {"found": 3, "new": 3}
    assert [path.rpartition("/")[2] for path in taken(project)] == [
        "000000001.jpg",
        "000000002.jpg",
        "a.png",
    ]


def test_names_that_two_rows_share_are_told_apart(project: Project, tmp_path: Path) -> None:
    archive = table(tmp_path / "0.parquet", 3, key=["a", "a", "b"])
    import_paths(project, [archive])
    assert [path.rpartition("/")[2] for path in taken(project)] == ["a-1.jpg", "a.jpg", "b.jpg"]


def test_rows_are_read_in_any_order(tmp_path: Path) -> None:
    archive = table(tmp_path / "0.parquet", 20)
    for number in (19, 0, 7, 6, 5, 18, 1):
        with open_regular(archive / f"{number:09}.jpg") as file:
            assert file.read() == jpeg_bytes(number)


def test_a_table_without_pictures_is_another_file(project: Project, tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    columns = {"key": ["a"], "caption": ["b"], "raw": [b"no picture"]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "f" / "meta.parquet")
    assert brief(import_paths(project, [tmp_path / "f"])) == {"other_files": 1}


def test_names_of_every_format_and_length(tmp_path: Path) -> None:
    long = "/".join(["folder" * 10] * 4) + "/" + "ü" * 60 + ".jpg"
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = tmp_path / f"{kind}.tar"
        with tarfile.open(path, "w", format=kind) as tar:
            add(tar, long, jpeg_bytes(1))
            add(tar, "./x.jpg", jpeg_bytes(2), pax_headers={"comment": "ä" * 300})
        listing = look_into(path)
        assert listing is not None and listing.problem is None
        assert list(listing.pictures) == [long, "x.jpg"]
        with open_regular(path / long) as file:
            assert file.read() == jpeg_bytes(1)


def test_only_plain_files_inside_the_archive_count(project: Project, tmp_path: Path) -> None:
    secret = make_jpeg(tmp_path / "secret.jpg")
    path = tmp_path / "t" / "0.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w") as tar:
        add(tar, "link.jpg", type=tarfile.SYMTYPE, linkname=str(secret))
        add(tar, "hard.jpg", type=tarfile.LNKTYPE, linkname="good.jpg")
        add(tar, "device.jpg", type=tarfile.CHRTYPE, devmajor=1, devminor=5)
        add(tar, "pipe.jpg", type=tarfile.FIFOTYPE)
        add(tar, "folder.jpg", type=tarfile.DIRTYPE)
        add(tar, "../out.jpg", jpeg_bytes(1))
        add(tar, str(secret), jpeg_bytes(2))
        add(tar, "a//b.jpg", jpeg_bytes(3))
        add(tar, "good.jpg", jpeg_bytes(4))
        add(tar, "._good.jpg", b"resource fork")
        add(tar, "words.cls", b"7")
    summary = import_paths(project, [path.parent])
    assert taken(project) == [f"{path}/good.jpg"]
    assert summary.other_files == 2
    assert summary.closed == [(str(path), "3 names in it lead out of it; these are left out.")]
    for name in ("link.jpg", "../secret.jpg", "hard.jpg"):
        with pytest.raises(UnreadableImage, match="not in its archive"):
            open_regular(Path(f"{path}/{name}"))


@pytest.mark.parametrize(
    "name", ["", "/a", "a/../b", "..", "a//b", "c:/x", "\\x", "a\0b", "x" * 2000]
)
def test_names_that_lead_out_are_known(name: str) -> None:
    assert not stays_inside(name)


def test_a_tar_that_is_cut_off_gives_what_it_has(project: Project, tmp_path: Path) -> None:
    path = shard(tmp_path / "0.tar", 5)
    whole = path.read_bytes()
    half = whole[: whole.index(jpeg_bytes(3)) + 500]
    path.write_bytes(half)
    summary = import_paths(project, [path])
    assert summary.new == 3
    [(named, why)] = summary.closed
    assert named == str(path)
    assert "breaks off" in why
    path.write_bytes(whole)
    assert import_paths(project, [path]).new == 2
    path.write_bytes(half)
    assert import_paths(project, [path]).missing == 0  # what it lacks now may come back


def _spoilt(spoil: Callable[[bytearray], None]) -> Callable[[bytes], bytes]:
    def apply(data: bytes) -> bytes:
        changed = bytearray(data)
        spoil(changed)
        return bytes(changed)

    return apply


def _resize(data: bytearray, field: bytes, kind: bytes = b"0") -> None:
    """Make the first member one of that kind and size, with a fitting checksum."""
    data[156:157] = kind
    data[124:136] = field.ljust(12, b"\0")
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])


UNREADABLE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "without end": (lambda data: data[: -(-len(data.rstrip(b"\0")) // 512) * 512], "no end"),
    "another file": (lambda _: b"no tar at all" * 100, "not a tar file"),
    "compressed": (lambda _: b"\x1f\x8b\x08" + bytes(600), "compressed"),
    "a damaged header": (
        _spoilt(lambda data: data.__setitem__(slice(0, 3), b"\xff\xff\xff")),
        "not a tar",
    ),
    "an absurd size": (_spoilt(lambda data: _resize(data, b"\x80" + b"\x7f" * 11)), "breaks off"),
    "a negative size": (_spoilt(lambda data: _resize(data, b"-7")), "breaks off"),
    "an absurd gap": (
        _spoilt(lambda data: _resize(data, b"\x80" + b"\x7f" * 11, b"S")),
        "breaks off",
    ),
    "an absurd name": (
        _spoilt(lambda data: _resize(data, b"7777777777", b"L")),
        "which no archive needs",
    ),
    "nothing": (lambda _: b"", "no end"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_wrong_with_an_archive_is_said_and_the_rest_goes_on(
    project: Project, tmp_path: Path, kind: str
) -> None:
    spoil, reason = UNREADABLE[kind]
    folder = tmp_path / "f"
    bad, good = shard(folder / "0.tar", 2), shard(folder / "1.tar", 2, first=5)
    bad.write_bytes(spoil(bad.read_bytes()))
    summary = import_paths(project, [folder])
    [(named, why)] = summary.closed
    assert named == str(bad)
    assert reason in why
    assert [path for path in taken(project) if path.startswith(str(good))] == [
        f"{good}/000000005.jpg",
        f"{good}/000000006.jpg",
    ]


@pytest.mark.parametrize("content", [b"", b"PAR1 no PAR1", b"PAR1" * 1000])
def test_a_parquet_file_that_is_none_is_named(
    project: Project, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "0.parquet").write_bytes(content)
    [(_, why)] = import_paths(project, [tmp_path / "f"]).closed
    assert "can't be read as Parquet" in why


def test_archives_that_can_not_be_read_in_place_are_named(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    for name in ("0.tar.gz", "1.tgz"):
        with tarfile.open(folder / name, "w:gz") as tar:
            add(tar, "a.jpg", jpeg_bytes())
    summary = import_paths(project, [folder])
    assert [Path(path).name for path, _ in summary.closed] == ["0.tar.gz", "1.tgz"]


def test_a_link_to_an_archive_elsewhere_is_not_followed(project: Project, tmp_path: Path) -> None:
    archive = shard(tmp_path / "elsewhere" / "0.tar", 1)
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "0.tar").symlink_to(archive)
    summary = import_paths(project, [tmp_path / "f"])
    assert summary.found == 0
    assert "outside the imported folder" in summary.closed[0][1]


def test_a_folder_may_be_called_like_an_archive(project: Project, tmp_path: Path) -> None:
    path = make_jpeg(tmp_path / "f" / "old.tar" / "a.jpg")
    assert through(path) is None
    assert import_paths(project, [tmp_path / "f"]).new == 1
    assert taken(project) == [str(path)]


def test_a_pipe_called_like_an_archive_is_not_opened(project: Project, tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    os.mkfifo(tmp_path / "f" / "0.tar")
    assert import_paths(project, [tmp_path / "f"]).found == 0


def test_the_start_page_looks_into_an_archive(tmp_path: Path) -> None:
    assert preview_path(str(shard(tmp_path / "0.tar", 3))).files == 3
    assert preview_path(str(table(tmp_path / "0.parquet", 2))).files == 2
    (tmp_path / "bad.tar").write_bytes(b"nothing of the kind")
    assert "not a tar file" in (preview_path(str(tmp_path / "bad.tar")).problem or "")
