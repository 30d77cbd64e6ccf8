"""One training of a comparison, in a process of its own."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import zlib
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mmdefect.analysis.config import unformatted

# registers what the configs of a comparison name
from mmdefect.comparison import fewer, samplers  # noqa: F401
from mmdefect.hooks.checkpoints import message_hub_allowed
from mmdefect.hooks.resume import QuotaResumeHook
from mmdefect.images.samples import samples_of

COUNTS = ('images', 'with_boxes')  # that the model got


@HOOKS.register_module(force=True)
class RecordRunHook(Hook):
    """Writes what validation found to ``curve.jsonl``, a line for each.

    Beside it: a checksum of the initial weights, and how many images the model got.
    """

    priority = 'VERY_LOW'

    def before_train(self, runner: Any) -> None:
        """Note the weights that training starts from."""
        self.path = Path(runner.work_dir, 'curve.jsonl')
        if runner.iter == 0:
            state = runner.model.state_dict().values()
            checksum = 0
            for tensor in state:
                checksum = zlib.crc32(tensor.cpu().numpy().tobytes(), checksum)
            self.path.write_text(json.dumps(dict(iter=0, weights=checksum)) + '\n')
        elif not (
            # This one does it itself.
            any(isinstance(hook, QuotaResumeHook) for hook in runner.hooks)
            or any(line['iter'] == runner.iter for line in read_curve(self.path))
        ):
            # Interrupted after the checkpoint, before its validation was done.
            runner.val_loop.run()

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Count images, and those that arrive with a box."""
        samples = samples_of(data_batch)
        shown = sum(len(sample.gt_instances) > 0 for sample in samples)
        # A checkpoint holds what the message hub knows.
        for key, count in zip(COUNTS, (len(samples), shown)):
            count += runner.message_hub.get_info(key, 0)
            runner.message_hub.update_info(key, count)

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        """Write a line, at once."""
        numbers = {key: clean(value) for key, value in (metrics or {}).items()}
        counts = {k: runner.message_hub.get_info(k, 0) for k in COUNTS}
        line = dict(iter=runner.iter, **counts, metrics=numbers)
        with open(self.path, 'a', encoding='utf-8') as file:
            file.write(json.dumps(line) + '\n')


def clean(value: Any) -> float | None:
    """A number for JSON, which knows no NaN."""
    try:
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def read_curve(path: Path) -> list[dict]:
    """The lines of a curve in order; of an iteration trained twice, the last."""
    lines = {}
    if path.is_file():
        for text in path.read_text(encoding='utf-8').splitlines():
            with contextlib.suppress(json.JSONDecodeError):  # cut off by a full disk
                line = json.loads(text)
                lines[line['iter']] = line
    return [lines[number] for number in sorted(lines)]


def train(config: str) -> None:
    """Train one run, or go on with it; what it came to is written when it is done."""
    folder = Path(config).with_suffix('')
    cfg = unformatted(Config.fromfile(config))
    cfg.work_dir = str(folder)
    if (folder / 'last_checkpoint').is_file():
        cfg.resume, cfg.load_from = True, None
    with message_hub_allowed():
        Runner.from_cfg(cfg).train()
    write(folder / 'result.json', json.dumps(dict(curve=read_curve(curve_of(folder)))))
    for path in sorted(folder.glob('iter_*.pth'), key=os.path.getmtime)[:-1]:
        path.unlink()


def curve_of(folder: Path) -> Path:
    """Where a run writes its curve."""
    return folder / 'curve.jsonl'


def write(path: Path, text: str) -> None:
    """Write a file wholly or not at all."""
    part = path.with_name(path.name + '.part')
    part.write_text(text, encoding='utf-8')
    part.replace(path)


if __name__ == '__main__':
    train(sys.argv[1])
