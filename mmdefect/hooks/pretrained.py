"""What a model takes from pretrained weights, and what does not fit."""

from __future__ import annotations

import logging
import re
from typing import Any, Mapping

from mmengine.logging import print_log
from mmengine.model import is_model_wrapper


def tell_what_fits(model: Any, checkpoint: Mapping[str, Any], path: str) -> None:
    """Say in the log which weights of a model a checkpoint does not bring.

    MMEngine leaves them as they are and prints so, but into no log file. A checkpoint
    that brings them all is not worth a word.
    """
    model = model.module if is_model_wrapper(model) else model
    weights = checkpoint.get('state_dict', checkpoint)
    weights = {re.sub(r'^module\.', '', name): weights[name] for name in weights}
    names = {
        name: value.shape
        for name, value in model.state_dict().items()
        if not name.endswith('num_batches_tracked')
    }
    missing = [name for name in names if name not in weights]
    unlike = [n for n in names if n in weights and weights[n].shape != names[n]]
    left = len(missing) + len(unlike)
    if left == len(names):
        raise ValueError(
            f'load_from={path!r} has no weight of this model: expected names such as '
            f'{next(iter(names))}, got {next(iter(weights), None)}; take the '
            'checkpoint of the same detector, or load_from=None'
        )
    if left:
        said = f'{len(names) - left} of {len(names)} weights come from {path}.'
        if unlike:
            said += f' Of another shape, as with other classes: {", ".join(unlike)}.'
        if missing:
            said += f' Not in it: {", ".join(missing)}.'
        print_log(said, logger='current', level=logging.WARNING)
