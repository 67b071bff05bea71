"""What each detecting receiver recorded, made again from a dataset's features, and its log-mel spectrogram.

The transmitter sends narrow-band FM: four audio tones drawn from the sample's `message_seed`. A receiver gets it with
its own carrier phase and frequency offset in white noise of power 1, at its SNR (power 10^(snr/10)). All random
numbers are SplitMix64 (Steele et al. 2014) of the stored seeds, so the bytes depend on no library's generator. Phases
are 32-bit fractions of a turn, which wrap by themselves.

A spectrogram holds mel bands of the two-sided spectrum, from the channel's lower edge upwards, in dB above the noise
floor: [height, width] with bands as rows, padded with 0 dB to at least 32 x 32.

One recording is worked on at a time, its frames together in buffers that fit the cache: batches of recordings were
measured slower, because fresh memory costs more than the sums.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft  # pyright: ignore[reportMissingTypeStubs] - NumPy's is three times slower in single precision

from heimdall.datasets.format import Rows
from heimdall.datasets.recording import RECORDING_SAMPLES, SAMPLE_RATE_HZ

Seeds = npt.NDArray[np.uint64]
Singles = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

LEAST_SIZE = 32  # rows and columns
NUM_TONES = 4
TONE_HZ = (300.0, 3000.0)
PEAK_DEVIATION_HZ = 2500.0

_FRAME_VALUES_AT_ONCE = 2**16  # 1 MiB of complex numbers: they stay in the cache
_BINS_OF_BLOCK = 128  # so small that no BLAS spreads a product over threads of its own
_LOWEST_POWER = 1e-6
_TURN = 2**32
_RAMP = np.arange(RECORDING_SAMPLES, dtype=np.uint32)


@dataclass(frozen=True, slots=True)
class Mel:
    """Which spectrogram a job wants; hop_length ≤ n_fft ≤ RECORDING_SAMPLES."""

    n_mels: int
    n_fft: int
    hop_length: int

    @property
    def num_frames(self) -> int:
        return 1 + (RECORDING_SAMPLES - self.n_fft) // self.hop_length

    @property
    def shape(self) -> tuple[int, int]:
        return max(LEAST_SIZE, self.n_mels), max(LEAST_SIZE, self.num_frames)


class Recorder:
    """Makes recordings, one at a time, in `iq` [RECORDING_SAMPLES] (complex baseband at SAMPLE_RATE_HZ)."""

    def __init__(self) -> None:
        size = RECORDING_SAMPLES
        self.iq = np.empty(size, dtype=np.complex64)
        self._words, self._shifted = np.empty((2, size // 2), dtype=np.uint64)
        self._gaussian = _gaussian_table()
        self._places = np.empty(2 * size, dtype=np.intp)
        self._noise = np.empty(2 * size, dtype=np.float32)
        self._turns = np.empty(size, dtype=np.uint32)
        self._angle, self._wave, self._message = np.empty((3, size), dtype=np.float32)

    def record_all(self, rows: Rows) -> Iterator[npt.NDArray[np.complex64]]:
        """`iq` of each detecting receiver of all rows in order; the next one overwrites it."""
        for row in rows:
            self._draw_message(row["message_seed"])
            for receiver in row["detected"].nonzero()[0]:
                self._record(row, receiver)
                yield self.iq

    def _record(self, row: np.void, receiver: int) -> None:
        seed = row["noise_seed"][receiver]
        start = float(splitmix(seed, 1)[0] / 2.0**64)
        angle, wave, noise, half = self._angle, self._wave, self._noise, RECORDING_SAMPLES
        self._rotate(float(row["frequency_offset_hz"][receiver]), start)
        np.add(angle, self._message, out=angle)
        self._draw_noise(seed + np.uint64(1))
        amplitude = np.float32(10 ** (row["snr_db"][receiver] / 20))
        for part, function, of_part in ((self.iq.real, np.cos, noise[:half]), (self.iq.imag, np.sin, noise[half:])):
            function(angle, out=wave)
            np.multiply(wave, amplitude, out=wave)
            np.add(wave, of_part, out=part)

    def _draw_message(self, seed: np.uint64) -> None:
        """The transmitter's phase in radians: the integral of its frequency deviation."""
        uniform = (splitmix(seed, 2 * NUM_TONES) / 2.0**64).tolist()
        self._message.fill(0)
        for share, start in zip(uniform[:NUM_TONES], uniform[NUM_TONES:], strict=True):
            tone_hz = TONE_HZ[0] + (TONE_HZ[1] - TONE_HZ[0]) * share
            self._rotate(tone_hz, start)
            np.sin(self._angle, out=self._wave)
            np.multiply(self._wave, np.float32(PEAK_DEVIATION_HZ / NUM_TONES / tone_hz), out=self._wave)
            np.add(self._message, self._wave, out=self._message)

    def _rotate(self, frequency_hz: float, start: float) -> None:
        """Fill `_angle` with the phase in radians, within ±pi, of a carrier that begins at `start` turns."""
        step = round(frequency_hz / SAMPLE_RATE_HZ * _TURN) % _TURN
        np.multiply(_RAMP, np.uint32(step), out=self._turns)
        np.add(self._turns, np.uint32(int(start * _TURN) % _TURN), out=self._turns)
        np.multiply(self._turns.view(np.int32), np.float32(2 * np.pi / _TURN), out=self._angle)

    def _draw_noise(self, seed: np.uint64) -> None:
        words = splitmix(seed, len(self._words), self._words, self._shifted)
        self._places[:] = words.view(np.uint16)
        self._gaussian.take(self._places, out=self._noise, mode="clip")  # other modes copy


class Synthesizer:
    """Makes spectrograms, the samples shared out to `threads`; the bytes do not depend on how many."""

    def __init__(self, mel: Mel, *, threads: int = 1) -> None:
        self._shape = mel.shape
        self._spectrographs = [Spectrograph(mel) for _ in range(threads)]

    def spectrograms(self, rows: Rows) -> npt.NDArray[np.float16]:
        """[detecting receivers of all rows in order, height, width]."""
        first = np.concatenate([[0], np.cumsum(rows["detected"].sum(axis=1))])
        result = np.zeros((int(first[-1]), *self._shape), dtype=np.float16)
        edges = np.linspace(0, len(rows), len(self._spectrographs) + 1).astype(np.intp).tolist()

        def fill(spectrograph: Spectrograph, start: int, stop: int) -> None:
            spectrograph.write_all(rows[start:stop], result[first[start] : first[stop]])

        if len(self._spectrographs) == 1:
            fill(self._spectrographs[0], 0, len(rows))
        else:
            with ThreadPoolExecutor(len(self._spectrographs)) as pool:
                list(pool.map(fill, self._spectrographs, edges[:-1], edges[1:]))
        return result


class Spectrograph:
    """Makes spectrograms one after the other in buffers of its own."""

    def __init__(self, mel: Mel) -> None:
        self._mel = mel
        self._recorder = Recorder()
        self._frames_at_once = max(1, min(mel.num_frames, _FRAME_VALUES_AT_ONCE // mel.n_fft))
        self._spectrum = np.empty((self._frames_at_once, mel.n_fft), dtype=np.complex64)
        self._power = np.empty((self._frames_at_once, mel.n_fft), dtype=np.float32)
        self._window = np.repeat(hann(mel.n_fft), 2).astype(np.float32)  # real and imaginary parts lie side by side
        self._blocks = _blocks(mel_filters(mel.n_mels, mel.n_fft))

    def write_all(self, rows: Rows, out: npt.NDArray[np.float16]) -> None:
        """Fill the zeroed `out` [detecting receivers of all rows in order, height, width]."""
        for spectrogram, iq in zip(out, self._recorder.record_all(rows), strict=True):
            spectrogram[: self._mel.n_mels, : self._mel.num_frames] = self._decibels(iq).T

    def _decibels(self, iq: npt.NDArray[np.complex64]) -> Singles:
        """[frames, bands]"""
        mel = self._mel
        parts = sliding_window_view(iq.view(np.float32), 2 * mel.n_fft)[:: 2 * mel.hop_length]
        bands = np.zeros((mel.num_frames, mel.n_mels), dtype=np.float32)
        for start in range(0, mel.num_frames, self._frames_at_once):
            frames = parts[start : start + self._frames_at_once]
            spectrum, power = self._spectrum[: len(frames)], self._power[: len(frames)]
            np.multiply(frames, self._window, out=spectrum.view(np.float32))
            transformed: Any = fft.fft(spectrum, axis=1, overwrite_x=True)  # pyright: ignore[reportUnknownMemberType]
            values: Singles = transformed.view(np.float32)
            np.multiply(values, values, out=values)
            np.add(values[:, ::2], values[:, 1::2], out=power)
            for some_bins, some_bands, weights in self._blocks:
                bands[start : start + len(frames), some_bands] += power[:, some_bins] @ weights
        return 10 * np.log10(np.maximum(bands, np.float32(_LOWEST_POWER)))


def splitmix(seed: np.uint64, count: int, out: Seeds | None = None, spare: Seeds | None = None) -> Seeds:
    """The first `count` numbers of SplitMix64 from `seed`; with the arrays `out` and `spare` no memory is taken."""
    z = np.add(_steps(count), seed, out=out)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        np.bitwise_xor(z, np.right_shift(z, np.uint64(shift), out=spare), out=z)
        np.multiply(z, np.uint64(factor), out=z)
    return np.bitwise_xor(z, np.right_shift(z, np.uint64(31), out=spare), out=z)


@cache
def _steps(count: int) -> Seeds:
    return np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def gaussian(words: Seeds) -> Singles:
    """Four numbers of N(0, 1/2) from each word."""
    return _gaussian_table().take(words.view(np.uint16))


@cache
def _gaussian_table() -> Singles:
    """65,536 quantiles of N(0, 1/2): a table look-up makes 16 random bits a normal number."""
    quantile = NormalDist().inv_cdf
    upper = np.array([quantile((number + 0.5) / 65_536) for number in range(32_768, 65_536)])
    values = np.concatenate([-upper[::-1], upper])
    return (values / np.sqrt(2 * np.mean(values**2))).astype(np.float32)


@cache
def hann(n_fft: int) -> Doubles:
    """Hann window sampled between its zeros (so that a single value is 1), with unit energy."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(n_fft) + 0.5) / n_fft)
    return window / np.sqrt(np.sum(window**2))


@cache
def mel_filters(n_mels: int, n_fft: int) -> Doubles:
    """[n_fft, n_mels]: triangles of equal width in mel from the channel's lower to its upper edge, each of sum 1.

    Rows are in the order of the Fourier transform (zero frequency first). A triangle between two bins takes the bin
    nearest to its centre.
    """
    top = 2595 * np.log10(1 + SAMPLE_RATE_HZ / 700)
    edges: Doubles = (
        700 * (10 ** (np.linspace(0.0, float(top), n_mels + 2) / 2595) - 1) * n_fft / SAMPLE_RATE_HZ
    )  # in bins
    bins: Doubles = np.arange(n_fft, dtype=np.float64)[:, None]
    rising: Doubles = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling: Doubles = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters: Doubles = np.maximum(np.minimum(rising, falling), 0.0)
    nearest = np.clip(np.rint(edges[1:-1]), 0, n_fft - 1).astype(np.intp)
    empty = np.flatnonzero(filters.sum(axis=0) == 0)
    filters[nearest[empty], empty] = 1.0
    filters /= filters.sum(axis=0)
    return np.roll(filters, -(n_fft // 2), axis=0)


def _blocks(filters: Doubles) -> list[tuple[slice, slice, Singles]]:
    """The filters as small dense matrices (bins, bands, weights): most of the whole one is zero."""
    blocks: list[tuple[slice, slice, Singles]] = []
    for start in range(0, len(filters), _BINS_OF_BLOCK):
        bins = slice(start, min(start + _BINS_OF_BLOCK, len(filters)))
        bands = np.flatnonzero(filters[bins].max(axis=0))
        if len(bands):
            span = slice(int(bands[0]), int(bands[-1]) + 1)
            blocks.append((bins, span, np.ascontiguousarray(filters[bins, span], dtype=np.float32)))
    return blocks
