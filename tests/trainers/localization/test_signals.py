import hashlib

import numpy as np
import pytest

from heimdall.datasets.format import Rows
from heimdall.datasets.recording import RECORDING_SAMPLES, SAMPLE_RATE_HZ
from heimdall.trainers.localization.signals import Mel, Recorder, Synthesizer, gaussian, mel_filters, splitmix
from heimdall.trainers.synthetic.generate import draw_block
from heimdall.trainers.synthetic.spec import DEFAULT_CONFIG


def some_rows(num_samples: int = 3) -> Rows:
    return draw_block(DEFAULT_CONFIG, 0)[0][:num_samples]


def recordings(rows: Rows) -> list[np.ndarray]:
    return [iq.copy() for iq in Recorder().record_all(rows)]


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def test_splitmix_gives_the_published_numbers() -> None:
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]  # seed 1234567
    assert splitmix(np.uint64(1234567), 3).tolist() == expected


def test_gaussian_noise_is_gaussian() -> None:
    values = gaussian(splitmix(np.uint64(7), 50_000)).astype(np.float64)
    assert values.mean() == pytest.approx(0, abs=0.01)
    assert values.var() == pytest.approx(0.5, rel=0.02)
    assert np.mean(values**4) == pytest.approx(3 * 0.25, rel=0.03)
    assert np.corrcoef(values[:-1], values[1:])[0, 1] == pytest.approx(0, abs=0.01)


def test_one_recording_for_each_detecting_receiver_at_its_snr() -> None:
    rows = some_rows(20)
    found = recordings(rows)
    snr = rows["snr_db"][rows["detected"]].astype(np.float64)
    assert len(found) == len(snr)
    for iq, snr_db in zip(found, snr, strict=True):
        assert iq.shape == (RECORDING_SAMPLES,)
        assert np.mean(np.abs(iq) ** 2) == pytest.approx(1 + 10 ** (snr_db / 10), rel=0.08)


def test_receivers_of_a_sample_hear_one_message_with_their_own_offset() -> None:
    rows = some_rows(1)
    rows["snr_db"] = 60.0
    rows["detected"] = True
    first, second = recordings(rows)[:2]
    turn = np.angle(second * first.conj())
    drift_hz = np.polyfit(np.arange(RECORDING_SAMPLES), np.unwrap(turn), 1)[0] * SAMPLE_RATE_HZ / (2 * np.pi)
    offsets = rows["frequency_offset_hz"][0].astype(np.float64)
    assert drift_hz == pytest.approx(offsets[1] - offsets[0], abs=0.05)
    other = some_rows(2)[1:]
    other["snr_db"], other["detected"] = 60.0, True
    assert np.std(np.diff(np.unwrap(np.angle(recordings(other)[0] * first.conj())))) > 0.1


def test_spectrograms_are_the_same_bytes_whatever_the_batch_and_the_threads() -> None:
    rows, mel = some_rows(5), Mel(64, 1024, 512)
    whole = Synthesizer(mel).spectrograms(rows)
    synthesizer = Synthesizer(mel)
    single = np.concatenate([synthesizer.spectrograms(rows[number : number + 1]) for number in range(5)])
    assert digest(whole) == digest(single) == digest(Synthesizer(mel, threads=3).spectrograms(rows))


@pytest.mark.parametrize(
    "mel",
    [
        Mel(128, 2048, 512),
        Mel(16, 256, 200),
        Mel(40, 1000, 333),
        Mel(8, RECORDING_SAMPLES, 1),
        Mel(3, 2, 2),
        Mel(1, 1, 1),
    ],
)
def test_a_spectrogram_is_its_definition(mel: Mel) -> None:
    rows = some_rows(1)
    (iq, *_), found = recordings(rows), Synthesizer(mel).spectrograms(rows)[0]
    n = mel.n_fft
    window = np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2
    filters = mel_filters(mel.n_mels, n)
    for frame in {0, mel.num_frames // 2, mel.num_frames - 1}:
        part = iq[frame * mel.hop_length :][:n].astype(np.complex128) * window
        power = np.abs(np.fft.fft(part)) ** 2 / np.sum(window**2)
        expected = 10 * np.log10(np.maximum(power @ filters, 1e-6))
        assert found[: mel.n_mels, frame] == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(("mel", "shape"), [(Mel(128, 2048, 512), (128, 32)), (Mel(4, 256, 16), (32, 1009))])
def test_a_spectrogram_is_padded_with_the_noise_floor(mel: Mel, shape: tuple[int, int]) -> None:
    found = Synthesizer(mel).spectrograms(some_rows(1))
    assert found.shape[1:] == mel.shape == shape
    assert not found[:, mel.n_mels :].any()
    assert not found[:, :, mel.num_frames :].any()
    assert found.dtype == np.float16


def test_noise_alone_lies_at_zero_decibels() -> None:
    rows = some_rows(4)
    rows["snr_db"] = -60.0
    mel = Mel(32, 512, 256)
    power = 10 ** (Synthesizer(mel).spectrograms(rows)[:, : mel.n_mels, : mel.num_frames].astype(np.float64) / 10)
    assert np.abs(10 * np.log10(power.mean(axis=(0, 2)))).max() < 0.4


def test_no_detection_no_spectrogram() -> None:
    rows = some_rows(2)
    rows["detected"] = False
    assert Synthesizer(Mel(32, 512, 256)).spectrograms(rows).shape == (0, 32, 63)


@pytest.mark.parametrize(("n_mels", "n_fft"), [(128, 2048), (500, 64), (1, 1), (7, 100)])
def test_every_mel_band_has_weights_of_sum_one(n_mels: int, n_fft: int) -> None:
    filters = mel_filters(n_mels, n_fft)
    assert filters.shape == (n_fft, n_mels)
    assert np.allclose(filters.sum(axis=0), 1)
    assert filters.min() >= 0
    upwards = np.roll(filters, n_fft // 2, axis=0)
    centres = np.arange(n_fft) @ upwards
    assert np.all(np.diff(centres) >= -1e-9)
