import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall.datasets.format import DatasetFormatError, Rows, empty_rows, receiver_mask, sample_dtype
from heimdall.datasets.reader import DatasetReader, open_dataset
from heimdall.datasets.writer import DatasetWriter, WrittenDataset

MAX_RECEIVERS = 5


def some_rows(num_samples: int, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    rows = empty_rows(num_samples, MAX_RECEIVERS)
    rows["tx_lat"] = rng.uniform(44, 46, num_samples)
    rows["gdop"] = rng.uniform(1, 10, num_samples)
    rows["num_receivers"] = rng.integers(3, MAX_RECEIVERS + 1, num_samples)
    mask = receiver_mask(rows)
    rows["snr_db"] = np.where(mask, rng.normal(10, 5, mask.shape), 0)
    rows["distance_km"] = np.where(mask, rng.uniform(1, 200, mask.shape), 0)
    rows["detected"] = mask & ((rows["snr_db"] >= 3) | (np.arange(MAX_RECEIVERS) == 0))
    return rows


def written(folder: Path, rows: Rows, shard_size: int = 10, chunk: int = 7) -> WrittenDataset:
    with DatasetWriter(folder, num_samples=len(rows), max_receivers=MAX_RECEIVERS, shard_size=shard_size) as writer:
        for start in range(0, len(rows), chunk):
            writer.append(rows[start : start + chunk])
        return writer.finish({"receiver_names": None})


@settings(max_examples=30, deadline=None)
@given(
    num_samples=st.integers(1, 60), shard_size=st.integers(1, 70), chunk=st.integers(1, 70), start=st.integers(0, 70)
)
def test_what_is_written_is_read_whatever_the_shard_and_chunk_sizes(
    tmp_path_factory: pytest.TempPathFactory, num_samples: int, shard_size: int, chunk: int, start: int
) -> None:
    folder, rows = tmp_path_factory.mktemp("dataset"), some_rows(num_samples)
    result = written(folder, rows, shard_size, chunk)
    reader = open_dataset(folder)
    assert len(reader) == num_samples
    assert reader.rows().tobytes() == rows.tobytes()
    assert reader.rows(start, start + 5).tobytes() == rows[start : start + 5].tobytes()
    assert b"".join(part.tobytes() for part in reader.chunks(13)) == rows.tobytes()
    assert result.sha256 == reader.sha256 == reader.checksum() == hashlib.sha256(rows.tobytes()).hexdigest()


def test_take_gives_the_records_in_the_order_asked_for(tmp_path: Path) -> None:
    rows = some_rows(35)
    written(tmp_path, rows)
    indexes = np.array([34, 0, 17, 17, 9, 10])
    assert open_dataset(tmp_path).take(indexes).tobytes() == rows[indexes].tobytes()


@pytest.mark.parametrize("index", [-1, 35])
def test_take_refuses_an_index_outside(tmp_path: Path, index: int) -> None:
    written(tmp_path, some_rows(35))
    with pytest.raises(IndexError):
        open_dataset(tmp_path).take(np.array([0, index]))


def test_shards_are_mapped_and_not_loaded(tmp_path: Path) -> None:
    written(tmp_path, some_rows(35))
    rows = open_dataset(tmp_path).rows(11, 19)
    assert isinstance(rows, np.memmap)
    assert not rows.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        rows["gdop"][0] = 1.0


def test_the_checksum_is_over_the_samples_alone(tmp_path: Path) -> None:
    rows = some_rows(20)
    first = written(tmp_path / "first", rows, shard_size=8)
    with DatasetWriter(tmp_path / "second", num_samples=20, max_receivers=MAX_RECEIVERS) as writer:
        writer.append(rows)
        second = writer.finish({"receiver_names": None, "config": {"name": "another"}})
    assert first.sha256 == second.sha256
    assert written(tmp_path / "third", some_rows(20, seed=1)).sha256 != first.sha256


def test_records_have_no_padding_bytes() -> None:
    dtype = sample_dtype(MAX_RECEIVERS)
    fields = dtype.fields
    assert fields is not None
    assert dtype.itemsize == sum(field[0].itemsize for field in fields.values())


def test_quality_speaks_of_detecting_receivers(tmp_path: Path) -> None:
    rows = some_rows(50)
    quality = written(tmp_path, rows).quality
    counts = [int(row["detected"].sum()) for row in rows]
    snr = [float(snr) for row in rows for snr, heard in zip(row["snr_db"], row["detected"], strict=True) if heard]
    assert quality["receivers"] == {"mean": pytest.approx(np.mean(counts)), "min": min(counts), "max": max(counts)}
    assert quality["snr_db"] == {"mean": pytest.approx(np.mean(snr)), "min": min(snr), "max": max(snr)}
    assert set(quality) == {"snr_db", "gdop", "receivers", "distance_km"}


def test_samples_are_plain_values_without_the_padding(tmp_path: Path) -> None:
    rows = some_rows(25)
    written(tmp_path, rows)
    samples = open_dataset(tmp_path).samples(20, 100)
    assert [sample["index"] for sample in samples] == [20, 21, 22, 23, 24]
    assert json.loads(json.dumps(samples)) == samples
    for sample, row in zip(samples, rows[20:], strict=True):
        assert len(sample["receivers"]) == sample["num_receivers"] == row["num_receivers"]
        assert set(sample) == {"index", "tx_lat", "tx_lon", "gdop", "num_receivers", "receivers"}
        for number, receiver in enumerate(sample["receivers"]):
            assert set(receiver) == {"id", "lat", "lon", "altitude_m", "snr_db", "distance_km", "detected"}
            assert receiver["snr_db"] == row["snr_db"][number]
            assert receiver["id"] == f"R{number + 1}"
    assert open_dataset(tmp_path).samples(25, 10) == []


def test_the_writer_refuses_too_many_too_few_and_other_rows(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path, num_samples=10, max_receivers=MAX_RECEIVERS) as writer:
        with pytest.raises(ValueError, match="not records of this dataset"):
            writer.append(empty_rows(1, MAX_RECEIVERS + 1))
        writer.append(some_rows(8))
        with pytest.raises(ValueError, match="3 rows given, 2 missing"):
            writer.append(some_rows(3))
        with pytest.raises(ValueError, match="2 samples are missing"):
            writer.finish({})


def _cut_last_shard(folder: Path) -> None:
    shard = folder / "shard-00002.npy"
    shard.write_bytes(shard.read_bytes()[:-1])


def _swap_shards(folder: Path) -> None:
    (folder / "shard-00002.npy").write_bytes((folder / "shard-00001.npy").read_bytes())


def _raise_format(folder: Path) -> None:
    metadata = folder / "dataset.json"
    metadata.write_text(metadata.read_text().replace('"format": 1', '"format": 2'))


def _remove_shard(folder: Path) -> None:
    (folder / "shard-00001.npy").unlink()


def _break_metadata(folder: Path) -> None:
    (folder / "dataset.json").write_text("{")


def _remove_metadata(folder: Path) -> None:
    (folder / "dataset.json").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut_last_shard, r"shard-00002\.npy .* missing or damaged"),
        (_swap_shards, "does not hold what"),
        (_raise_format, "has format 2, this version reads 1"),
        (_remove_shard, "missing or damaged"),
        (_break_metadata, "no readable dataset.json"),
        (_remove_metadata, "no readable dataset.json"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    written(tmp_path, some_rows(25))
    damage(tmp_path)
    with pytest.raises(DatasetFormatError, match=message):
        open_dataset(tmp_path)


def test_a_flipped_bit_shows_in_the_checksum(tmp_path: Path) -> None:
    written(tmp_path, some_rows(25))
    shard = tmp_path / "shard-00001.npy"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    reader: DatasetReader = open_dataset(tmp_path)
    assert reader.checksum() != reader.sha256
