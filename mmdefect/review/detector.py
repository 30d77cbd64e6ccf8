"""The detector of a checkpoint, checked against the config that is said to be its."""

from __future__ import annotations

import copy
from typing import Any, Sequence

from mmdefect.analysis.config import running
from mmdefect.analysis.errors import UnusableError


def load_detector(
    cfg: Any, checkpoint: str, device: str, classes: Sequence[str]
) -> Any:
    """Build the detector of a config, with the weights of a checkpoint."""
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import MODELS

    content = read_checkpoint(checkpoint)
    meta = content.get('meta') or {}
    trained = (meta.get('dataset_meta') or {}).get('classes') or meta.get('CLASSES')
    if trained and tuple(trained) != tuple(classes):
        raise UnusableError(
            f'{checkpoint} was trained on the classes {", ".join(trained)}, and the '
            f'config names {", ".join(classes)}: give the config it was trained with'
        )
    with running('the detector cannot be built'):
        settings = copy.deepcopy(cfg.model)
        # The checkpoint has all weights: none are to be fetched for the backbone.
        settings.get('backbone', {}).pop('init_cfg', None)
        model = revert_sync_batchnorm(MODELS.build(settings))
    load_weights(model, content.get('state_dict', content), checkpoint)
    return model.to(device).eval()


def read_checkpoint(path: str) -> dict:
    """What a checkpoint holds."""
    from mmengine.runner import CheckpointLoader

    from mmdefect.hooks.checkpoints import message_hub_allowed

    try:
        with message_hub_allowed():
            content = CheckpointLoader.load_checkpoint(path, 'cpu', 'silent')
    except Exception as error:  # whatever torch raises for a file that was cut off
        said = f'{type(error).__name__}: {str(error).splitlines()[0]}'
        raise UnusableError(f'{path} cannot be read: {said}') from error
    if not isinstance(content, dict):
        raise UnusableError(f'{path} holds a {type(content).__name__}: no checkpoint')
    return content


def load_weights(model: Any, weights: dict, checkpoint: str) -> None:
    """Load weights, all of them or none."""
    broken = [
        name
        for name, weight in weights.items()
        if hasattr(weight, 'isfinite') and not weight.isfinite().all()
    ]
    if broken:
        raise UnusableError(
            f'{checkpoint}: {len(broken)} weights are not finite (NaN), such as '
            f'{broken[0]}: its training has diverged; take an earlier checkpoint, and '
            'train with a lower learning rate'
        )
    wanted = model.state_dict()
    lacking = [name for name in wanted if name not in weights]
    shaped = [
        name
        for name in wanted
        if name in weights and wanted[name].shape != weights[name].shape
    ]
    left = [name for name in weights if name not in wanted]
    if not lacking and not shaped and not left:
        model.load_state_dict(weights)
        return
    said = [
        f'{len(names)} weights {how}, such as {names[0]}'
        for names, how in (
            (lacking, 'are missing'),
            (left, 'are of no use'),
            (shaped, 'have another shape'),
        )
        if names
    ]
    raise UnusableError(
        f'{checkpoint} does not fit the model of the config: {"; ".join(said)}: give '
        'the config it was trained with'
    )
