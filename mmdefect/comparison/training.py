"""One training of a comparison, in a process of its own."""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mmdefect.analysis.config import unformatted
from mmdefect.analysis.files import write_text
from mmdefect.analysis.logs import read_log
from mmdefect.analysis.run import last_checkpoint

# registers what the configs of a comparison name
from mmdefect.comparison import fewer, samplers  # noqa: F401
from mmdefect.hooks.checkpoints import message_hub_allowed
from mmdefect.hooks.resume import QuotaResumeHook
from mmdefect.images.samples import samples_of

# What is told of a run besides its log: a checksum of the weights that it began with,
# how many images the model got, and how many of them with a box.
COUNTS = ('images', 'with_boxes')
FACTS = ('weights', *COUNTS)


@HOOKS.register_module(force=True)
class RecordRunHook(Hook):
    """Counts what the model got, in the message hub, which a checkpoint holds."""

    priority = 'VERY_LOW'

    def before_train(self, runner: Any) -> None:
        """Note the weights that training starts from."""
        if runner.iter == 0:
            checksum = 0
            for tensor in runner.model.state_dict().values():
                checksum = zlib.crc32(tensor.cpu().numpy().tobytes(), checksum)
            runner.message_hub.update_info('weights', checksum)
        elif not (
            # This one does it itself.
            any(isinstance(hook, QuotaResumeHook) for hook in runner.hooks)
            or any(
                one.iteration == runner.iter
                for one in read_log(Path(runner.work_dir)).validations
            )
        ):
            # Interrupted after the checkpoint, before its validation was done.
            runner.val_loop.run()

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Count images, and those that arrive with a box."""
        samples = samples_of(data_batch)
        shown = sum(len(sample.gt_instances) > 0 for sample in samples)
        for key, count in zip(COUNTS, (len(samples), shown)):
            count += runner.message_hub.get_info(key, 0)
            runner.message_hub.update_info(key, count)


def train(config: str) -> None:
    """Train one run, or go on with it; what it came to is written when it is done."""
    folder = Path(config).with_suffix('')
    cfg = unformatted(Config.fromfile(config))
    cfg.work_dir = str(folder)
    if (folder / 'last_checkpoint').is_file():
        cfg.resume, cfg.load_from = True, None
    with message_hub_allowed():
        runner = Runner.from_cfg(cfg)
        runner.train()
    facts = {name: runner.message_hub.get_info(name) for name in FACTS}
    write_text(folder / 'result.json', json.dumps(facts))
    last = last_checkpoint(folder)
    for path in folder.glob('iter_*.pth'):
        if path != last:
            path.unlink()


if __name__ == '__main__':
    train(sys.argv[1])
