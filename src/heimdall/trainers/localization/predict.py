# pyright: reportUnknownMemberType=false
"""Where a trained network puts the transmitters of some samples."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from heimdall.sdk import TrainingContext
from heimdall.trainers.localization.data import SCALE_KM, LocalizationSamples, Survey
from heimdall.trainers.localization.metrics import Positions
from heimdall.trainers.localization.triangulation import Locator
from heimdall.trainers.task import Arrays

BATCH_SIZE = 256


def outputs_of(batch: Mapping[str, Tensor], mean: Tensor, cholesky: Tensor) -> dict[str, Tensor]:
    """What an epoch's figures need of a batch, as it came from the network."""
    kept = {name: batch[name] for name in ("index", "signs", "target")}
    return {**kept, "mean": mean, "cholesky": cholesky}


def positions_of(outputs: Arrays, survey: Survey) -> Positions:
    """Network outputs, mirrored back, as positions on the earth."""
    index = outputs["index"]
    signs = outputs["signs"].astype(np.float64)
    mean = outputs["mean"].astype(np.float64) * signs * SCALE_KM
    covariance = covariance_km2(outputs["cholesky"])
    covariance[:, 0, 1] *= signs[:, 0] * signs[:, 1]
    covariance[:, 1, 0] = covariance[:, 0, 1]
    return Positions.from_plane(
        mean, covariance, centre=survey.centre[index], truth=survey.truth[index], gdop=survey.gdop[index]
    )


def covariance_km2(cholesky: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """[samples, 3] of (l_ee, l_ne, l_nn) in units of SCALE_KM to L Lᵀ [samples, 2, 2] in km²."""
    l_ee, l_ne, l_nn = (cholesky.astype(np.float64) * SCALE_KM).T
    return np.stack([l_ee**2, l_ee * l_ne, l_ee * l_ne, l_ne**2 + l_nn**2], axis=-1).reshape(-1, 2, 2)


def locate(model: Locator, samples: LocalizationSamples, survey: Survey, context: TrainingContext) -> Positions:
    """Positions of all samples, in their order. Stops when the context says so."""
    device = next(model.parameters()).device
    collected: list[dict[str, npt.NDArray[np.generic]]] = []
    model.eval()
    with torch.no_grad():
        for start in range(0, len(samples), BATCH_SIZE):
            context.raise_if_stopped()
            stop = min(start + BATCH_SIZE, len(samples))
            arrays = samples.__getitems__([(0, index) for index in range(start, stop)])
            batch = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
            outputs = outputs_of(batch, *model.predict(batch))
            collected.append({name: output.cpu().numpy() for name, output in outputs.items()})
    joined = {name: np.concatenate([outputs[name] for outputs in collected]) for name in collected[0]}
    return positions_of(joined, survey)
