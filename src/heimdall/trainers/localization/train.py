# pyright: reportUnknownMemberType=false
"""Runs a localisation job: data, training, files."""

import logging
from dataclasses import asdict
from typing import Any

from heimdall.datasets.reader import open_dataset
from heimdall.domain.errors import InvalidConfigError
from heimdall.sdk import DatasetFolder, TrainingContext
from heimdall.trainers import checkpoint
from heimdall.trainers.localization import export
from heimdall.trainers.localization.data import (
    SCALE_KM,
    LocalizationSamples,
    Selection,
    Survey,
    filters_text,
    select,
    survey,
)
from heimdall.trainers.localization.spec import CONVNEXT_FIELDS, TrainingConfig
from heimdall.trainers.localization.spectrograms import open_spectrograms
from heimdall.trainers.localization.task import LocalizationTask
from heimdall.trainers.loop import Loop, Trained
from heimdall.trainers.machine import uses_gpu

logger = logging.getLogger(__name__)

NOTABLE_SHARE = 0.1  # of samples left out, above which the user is told


def run(context: TrainingContext) -> None:
    """Train, then save predictions, metrics and descriptions.

    Raises:
        InvalidConfigError: this config cannot run on this machine or with this dataset.
        StopTraining: the attempt ends here.
    """
    config = TrainingConfig.model_validate(dict(context.config))
    architecture = choose_architecture(context, config)
    context.set_phase("preparing_data")
    folder = context.dataset()
    found = survey(open_dataset(folder.path))
    selection = select(found.mean_snr_db, folder, config)
    if selection.num_left_out > NOTABLE_SHARE * len(found.gdop):
        context.warn(f"{selection.num_left_out} of {len(found.gdop)} samples were left out by {filters_text(config)}.")
    task = build_task(context, config, architecture, folder=folder, found=found, selection=selection)
    context.started(
        dataset_size=selection.size,
        train_samples=len(selection.train),
        val_samples=len(selection.val),
        model_architecture=architecture,
    )
    logger.info(
        "%s on %s: %d samples to train on, %d to validate with",
        architecture,
        folder.name,
        len(selection.train),
        len(selection.val),
    )
    trained = Loop(context, config, task).run()
    context.set_phase("exporting")
    save_files(context, task, trained, folder=folder, architecture=architecture)


def choose_architecture(context: TrainingContext, config: TrainingConfig) -> str:
    """What the config names or, for `auto`, what an earlier attempt chose or suits this machine.

    Raises:
        InvalidConfigError: published weights are demanded of a model that has none.
    """
    is_gpu = uses_gpu(config)
    if config.model_architecture != "auto":
        return config.model_architecture
    chosen = context.model_architecture or ("convnext_tiny" if is_gpu else "triangulation")
    if chosen == "triangulation":
        if config.pretrained:
            raise InvalidConfigError(
                "pretrained: on this machine auto means triangulation, which has no published weights; set pretrained "
                "to null or name a ConvNeXt."
            )
        defaults = TrainingConfig()
        idle = [name for name in CONVNEXT_FIELDS if getattr(config, name) != getattr(defaults, name)]
        if idle:
            context.warn(f"{', '.join(idle)}: only ConvNeXt models use this; triangulation ignores it.")
    return chosen


def build_task(
    context: TrainingContext,
    config: TrainingConfig,
    architecture: str,
    *,
    folder: DatasetFolder,
    found: Survey,
    selection: Selection,
) -> LocalizationTask:
    images = None if architecture == "triangulation" else open_spectrograms(context, open_dataset(folder.path), config)
    train_samples = LocalizationSamples(
        folder.path, selection.train, found.area, mirror_seed=config.seed, spectrograms=images
    )
    val_samples = LocalizationSamples(folder.path, selection.val, found.area, spectrograms=images)
    return LocalizationTask(
        context,
        config,
        architecture,
        survey=found,
        train_samples=train_samples,
        val_samples=val_samples if len(selection.val) else None,
    )


def save_files(
    context: TrainingContext, task: LocalizationTask, trained: Trained, *, folder: DatasetFolder, architecture: str
) -> None:
    """Everything but checkpoints, made with the best model (with the last one when no epoch had a finite loss)."""
    best_path = context.best_checkpoint()
    best: dict[str, Any] | None = None
    if best_path is not None:
        best = checkpoint.load(best_path)
        task.model.load_state_dict(best["model_state_dict"])
    export.save_predictions(context, task.locate_all())
    export.save_config(context)
    metrics = {
        "epochs": trained.epoch,
        "best_epoch": trained.tally.best_epoch,
        "best": None if best is None else best["metrics"],
        "last": trained.metrics,
    }
    export.save_json(context, "metrics.json", "metrics", metrics)
    metadata = {
        "kind": "localization",
        "model_architecture": architecture,
        "num_parameters": sum(parameter.numel() for parameter in task.model.parameters()),
        "dataset": {"id": folder.id, "name": folder.name, "sha256": folder.sha256},
        "train_samples": len(task.train_samples),
        "val_samples": 0 if task.val_samples is None else len(task.val_samples),
        "area_centre": asdict(task.survey.area),
        "length_unit_km": SCALE_KM,
        "machine": trained.machine,
    }
    export.save_json(context, "metadata.json", "other", metadata)
