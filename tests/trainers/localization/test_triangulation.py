# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
import math

import torch
from torch.distributions import MultivariateNormal

from heimdall.trainers.localization.data import NUM_FEATURES
from heimdall.trainers.localization.triangulation import Triangulation, gaussian_nll, split_gaussian


def batch_of(num_samples: int, num_receivers: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "features": torch.randn(num_samples, num_receivers, NUM_FEATURES, generator=generator),
        "mask": torch.ones(num_samples, num_receivers, dtype=torch.bool),
    }


def network() -> Triangulation:
    torch.manual_seed(0)
    return Triangulation(dropout_rate=0.0).eval()


def test_the_loss_is_the_negative_log_likelihood_of_the_gaussian() -> None:
    torch.manual_seed(0)
    raw, target = torch.randn(50, 5), torch.randn(50, 2)
    mean, cholesky = split_gaussian(raw)
    factor = torch.zeros(50, 2, 2)
    factor[:, 0, 0], factor[:, 1, 0], factor[:, 1, 1] = cholesky.unbind(dim=-1)
    expected = -MultivariateNormal(mean, scale_tril=factor).log_prob(target).mean()
    assert torch.allclose(gaussian_nll(mean, cholesky, target), expected, rtol=1e-5)


def test_the_best_constant_covariance_is_that_of_the_errors() -> None:
    target = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    at_best = gaussian_nll(torch.zeros(4, 2), torch.tensor([[1.0, 0.0, 1.0]]).expand(4, 3), target)
    assert math.isclose(float(at_best), 1.0 + math.log(2.0 * math.pi), rel_tol=1e-6)


def test_the_order_of_the_receivers_does_not_matter() -> None:
    batch = batch_of(4, 6)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    shuffled = {name: tensor[:, order] for name, tensor in batch.items()}
    assert torch.allclose(network()(batch), network()(shuffled), atol=1e-5)


def test_padding_is_not_seen() -> None:
    batch = batch_of(4, 5)
    padded = {
        "features": torch.cat([batch["features"], torch.full((4, 3, NUM_FEATURES), 9.0)], dim=1),
        "mask": torch.cat([batch["mask"], torch.zeros(4, 3, dtype=torch.bool)], dim=1),
    }
    assert torch.allclose(network()(batch), network()(padded), atol=1e-5)
