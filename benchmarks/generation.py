"""How fast synthetic data is made: features per second and core; recordings with spectrograms beside a plain loop.

    python benchmarks/generation.py

Exits with 1 when a bar is missed. What is compared runs alternately.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy starts: a figure per core

import numpy as np
import numpy.typing as npt

from heimdall.datasets.format import Rows
from heimdall.datasets.recording import RECORDING_SAMPLES, SAMPLE_RATE_HZ
from heimdall.trainers.localization import signals
from heimdall.trainers.localization.signals import Mel, Synthesizer
from heimdall.trainers.synthetic.generate import draw_block
from heimdall.trainers.synthetic.spec import DEFAULT_CONFIG, GenerateConfig
from heimdall.trainers.synthetic.train import generate_into
from pairs import save

FEATURES_BAR = 20_000  # samples a second and core
SIGNALS_BAR = 5.0  # times the plain loop, CPU time of one thread
NUM_RUNS = 15
NUM_SIGNAL_SAMPLES = 8
TOLERANCE_DB = 0.05  # 16-bit floats near 60 dB are 0.03 dB apart
MEL = Mel(n_mels=128, n_fft=2048, hop_length=512)


def plain_loop(rows: Rows) -> npt.NDArray[np.float64]:
    """[receivers, bands, frames] by the definition: sample by sample, receiver by receiver, frame by frame."""
    window, filters = signals.hann(MEL.n_fft), signals.mel_filters(MEL.n_mels, MEL.n_fft).T.copy()
    found: list[npt.NDArray[np.float64]] = []
    for row in rows:
        for receiver in range(int(row["num_receivers"])):
            if row["detected"][receiver]:
                iq = plain_recording(row, receiver)
                bands = np.empty((MEL.n_mels, MEL.num_frames))
                for frame in range(MEL.num_frames):
                    start = frame * MEL.hop_length
                    spectrum = np.fft.fft(iq[start : start + MEL.n_fft] * window)
                    bands[:, frame] = 10 * np.log10(np.maximum(filters @ np.abs(spectrum) ** 2, 1e-6))
                found.append(bands)
    return np.stack(found)


def plain_recording(row: np.void, receiver: int) -> npt.NDArray[np.complex128]:
    """The same recording in double precision, from the formulas in `signals`."""
    seconds = np.arange(RECORDING_SAMPLES) / SAMPLE_RATE_HZ
    uniform = signals.splitmix(row["message_seed"], 2 * signals.NUM_TONES) / 2.0**64
    lowest_hz, highest_hz = signals.TONE_HZ
    phase = np.zeros(RECORDING_SAMPLES)
    for tone in range(signals.NUM_TONES):
        tone_hz = lowest_hz + (highest_hz - lowest_hz) * uniform[tone]
        swing = signals.PEAK_DEVIATION_HZ / signals.NUM_TONES / tone_hz
        phase += swing * np.sin(2 * np.pi * (tone_hz * seconds + uniform[signals.NUM_TONES + tone]))
    seed = row["noise_seed"][receiver]
    start = signals.splitmix(seed, 1)[0] / 2.0**64
    phase += 2 * np.pi * (float(row["frequency_offset_hz"][receiver]) * seconds + start)
    noise = signals.gaussian(signals.splitmix(seed + np.uint64(1), RECORDING_SAMPLES // 2))
    carrier = 10 ** (float(row["snr_db"][receiver]) / 20) * np.exp(1j * phase)
    return carrier + noise[:RECORDING_SAMPLES] + 1j * noise[RECORDING_SAMPLES:]


class Seconds(NamedTuple):
    cpu: float
    wall: float


def seconds(work: Callable[[], object]) -> Seconds:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Seconds(time.process_time() - cpu, time.perf_counter() - wall)


def ignore_progress(current: int, total: int, message: str) -> None:
    """Nobody watches a benchmark."""


def summary(what: str, values: list[float]) -> dict[str, float]:
    low, middle, high = np.percentile(values, [25, 50, 75]).tolist()
    print(f"{what}: median {middle:,.1f}, quartiles {low:,.1f} and {high:,.1f}, {len(values)} runs")
    return {"median": middle, "lower_quartile": low, "upper_quartile": high, "runs": len(values)}


def bench_features() -> dict[str, Any]:
    config = GenerateConfig(name="benchmark", num_samples=20_000)
    digests = set[str]()

    def generate() -> None:
        with tempfile.TemporaryDirectory() as folder:
            written = generate_into(Path(folder), config, progress=ignore_progress, raise_if_stopped=lambda: None)
            digests.add(written.sha256)

    generate()
    rates = [config.num_samples / seconds(generate).cpu for _ in range(NUM_RUNS)]
    features = summary("features, written and hashed, samples a second and core", rates)
    print(f"bar: {FEATURES_BAR:,}")
    print(f"same seed, same bytes: {'yes' if len(digests) == 1 else 'NO'} ({NUM_RUNS + 1} runs)")
    is_met = features["median"] >= FEATURES_BAR and len(digests) == 1
    return {"bar": FEATURES_BAR, "is_met": is_met, "samples_per_second_and_core": features, "digests": len(digests)}


def bench_signals() -> dict[str, Any]:
    rows = draw_block(DEFAULT_CONFIG, 0)[0][:NUM_SIGNAL_SAMPLES]
    threads = os.cpu_count() or 1
    one, many = Synthesizer(MEL), Synthesizer(MEL, threads=threads)
    ours, plain = one.spectrograms(rows), plain_loop(rows)
    difference = float(np.abs(ours[:, : MEL.n_mels, : MEL.num_frames].astype(np.float64) - plain).max())
    print(f"largest difference from the plain loop: {difference:.4f} dB (tolerance {TOLERANCE_DB} dB)")
    same = all(np.array_equal(ours, maker.spectrograms(rows)) for maker in (one, many))
    print(f"same seed, same bytes, with 1 and {threads} threads: {'yes' if same else 'NO'}")
    rates, per_core, as_trained = list[float](), list[float](), list[float]()
    for _ in range(NUM_RUNS):
        of_loop, of_one, of_many = (
            seconds(work)
            for work in (lambda: plain_loop(rows), lambda: one.spectrograms(rows), lambda: many.spectrograms(rows))
        )
        rates.append(len(ours) / of_one.cpu)
        per_core.append(of_loop.cpu / of_one.cpu)
        as_trained.append(of_loop.wall / of_many.wall)
    made = summary("recordings with spectrograms a second and core", rates)
    faster = summary("times the plain loop, CPU time, one thread", per_core)
    print(f"bar: {SIGNALS_BAR}")
    faster_as_trained = summary(f"times the plain loop, wall time, {threads} threads", as_trained)
    return {
        "bar": SIGNALS_BAR,
        "is_met": faster["median"] >= SIGNALS_BAR and difference <= TOLERANCE_DB and same,
        "recordings_per_second_and_core": made,
        "times_plain_loop_cpu": faster,
        "times_plain_loop_wall": faster_as_trained,
        "largest_difference_db": difference,
        "is_repeatable": same,
    }


if __name__ == "__main__":
    figures = {"features": bench_features(), "signals": bench_signals()}
    save("generation", figures)
    sys.exit(0 if all(part["is_met"] for part in figures.values()) else 1)
