"""Runs a job of kind `synthetic`."""

from collections.abc import Callable
from pathlib import Path

from heimdall.datasets.writer import DatasetWriter, WrittenDataset
from heimdall.sdk.context import TrainingContext
from heimdall.trainers.synthetic.generate import Draws, accepted_rows
from heimdall.trainers.synthetic.propagation import PROPAGATION
from heimdall.trainers.synthetic.receivers import FIXED_RECEIVERS
from heimdall.trainers.synthetic.spec import GenerateConfig


def run(context: TrainingContext) -> None:
    config = GenerateConfig.model_validate(dict(context.config))
    context.set_phase("generating")
    folder = context.scratch()
    written = generate_into(folder, config, progress=context.progress, raise_if_stopped=context.raise_if_stopped)
    context.set_phase("saving")
    context.publish_dataset(folder, num_samples=written.num_samples, sha256=written.sha256, quality=written.quality)


def generate_into(
    folder: Path,
    config: GenerateConfig,
    *,
    progress: Callable[[int, int, str], None],
    raise_if_stopped: Callable[[], None],
) -> WrittenDataset:
    """Write the dataset of `config` into `folder`, in constant memory.

    Both callables are called at every block of draws, that is many times a second.

    Raises:
        InvalidConfigError: hardly any draw is accepted.
    """
    with DatasetWriter(folder, num_samples=config.num_samples, max_receivers=config.max_receivers) as writer:
        draws = Draws()
        raise_if_stopped()
        for rows in accepted_rows(config, draws):
            writer.append(rows)
            done = config.num_samples - writer.num_missing
            progress(done, config.num_samples, f"{done:,} of {config.num_samples:,} samples")
            raise_if_stopped()
        names = None if config.use_random_receivers else [receiver.name for receiver in FIXED_RECEIVERS]
        return writer.finish(
            {
                "config": config.samples_config(),
                "propagation": PROPAGATION.describe(),
                "receiver_names": names,
                "draws": draws.as_dict(),
            }
        )
