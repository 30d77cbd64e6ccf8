"""A real Runner that trains in no time: one weight, no images, nothing at random."""

from __future__ import annotations

import copy
import itertools
import shutil
from pathlib import Path

import torch
from conftest import Annotated
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner

from mmdefect import registered as _  # noqa: F401

NUMBERS = itertools.count()


class Items(Annotated):
    """60 images, every fifth with a defect."""

    def __init__(self):
        super().__init__([[0] if index % 5 == 0 else [] for index in range(60)])

    def __getitem__(self, index):
        return dict(index=index)


class Weight(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, index, mode):
        if mode == 'loss':
            return dict(loss=((self.weight - index.double().cos()) ** 2).mean())
        return [self.weight.detach()] * len(index)


class Score(BaseMetric):
    """Rises and falls with the weight, so that now and then one is the best."""

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        return dict(score=float(torch.sin(1000 * torch.stack(results).mean())))


class Diary(Hook):
    """Writes down what happens in a training, a line for each event.

    Its ``lines`` give all that differs where a run was not resumed exactly: images,
    learning rate, weight, averaged weight, scores, and what was saved when. With
    ``keep``, each checkpoint is kept as it was first written, by the number of lines
    until then.
    """

    priority = 'LOW'  # right before what saves

    def __init__(self, keep=None):
        self.lines = []
        self.keep = keep

    def before_run(self, runner):
        (self.ema,) = (h for h in runner.hooks if type(h).__name__ == 'EMAHook')
        save = runner.save_checkpoint

        def save_and_tell(out_dir, filename, *args, **options):
            save(out_dir, filename, *args, **options)
            self.note(runner, f'saved {filename}')
            if self.keep and not filename.startswith('best'):  # without optimizer
                path = self.keep / f'{len(self.lines)}.pth'
                shutil.copy(Path(out_dir, filename), path)

        runner.save_checkpoint = save_and_tell

    def note(self, runner, event):
        (rate,) = runner.optim_wrapper.get_lr()['lr']
        weights = runner.model.weight, self.ema.ema_model.module.weight
        shown = ' '.join(f'{weight.item():.9f}' for weight in weights)
        self.lines.append(
            f'epoch {runner.epoch} iter {runner.iter} lr {rate:.3e} {shown}: {event}'
        )

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        images = data_batch['index'].tolist()
        self.note(runner, f'batch {batch_idx}, {images}, {outputs["loss"].item():.9f}')

    def after_train_epoch(self, runner):
        self.note(runner, 'end of the epoch')

    def after_val_epoch(self, runner, metrics=None):
        self.note(runner, f'validated {metrics}')

    def after_train(self, runner):
        self.note(runner, 'end of the training')


def train(
    work_dir,
    train_cfg,
    resume=None,
    keep=None,
    hooks=(),
    randomness=None,
    train_dataloader=None,
    batch_size=4,
    accumulated=1,
    **options,
):
    """Train, and tell the diary's lines.

    Args:
        work_dir (Path): Where the Runner writes.
        train_cfg (dict): The loop.
        resume (Path, optional): The checkpoint to resume.
        keep (Path, optional): Where to keep each checkpoint.
        hooks (Sequence[dict]): Further hooks.
        randomness (dict, optional): Seeds of the run. None is a fixed one.
        train_dataloader (DataLoader, optional): One that was built by hand.
        batch_size (int): Images a batch.
        accumulated (int): Batches to an optimizer step.
        **options: Options of the sampler, as ``sampler__name``, and of the batch
            sampler.

    Returns:
        list[str]: What happened, in its order.
    """
    sampler = dict(type='DefectPoolSampler')
    batch_sampler = dict(type='QuotaBatchSampler', quota=1, num_batches=6)
    for name, value in options.items():
        section = sampler if name.startswith('sampler__') else batch_sampler
        section[name.rpartition('__')[2]] = value
    diary = Diary(keep)
    schedules = [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=8),
        dict(type='MultiStepLR', by_epoch=True, milestones=[1, 2]),
    ]
    runner = Runner(
        model=Weight(),
        work_dir=str(work_dir),
        experiment_name=f'tiny_{next(NUMBERS)}',
        train_dataloader=train_dataloader
        or dict(
            dataset=Items(),
            batch_size=batch_size,
            num_workers=0,
            collate_fn=dict(type='default_collate'),
            sampler=sampler,
            batch_sampler=batch_sampler,
        ),
        train_cfg=train_cfg,
        val_dataloader=dict(
            dataset=Items(),
            batch_size=30,
            num_workers=0,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        val_cfg=dict(),
        val_evaluator=[Score()],
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=0.1, momentum=0.9),
            accumulative_counts=accumulated,
        ),
        param_scheduler=copy.deepcopy(schedules),
        cfg=dict(param_scheduler=schedules),  # what steps of another size replay
        default_hooks=dict(
            checkpoint=dict(
                type='CheckpointHook',
                by_epoch=False,
                interval=1,
                save_best='score',
                rule='greater',
            )
        ),
        custom_hooks=[
            dict(type='EMAHook', momentum=0.3),
            dict(type='QuotaResumeHook'),
            diary,
            *hooks,
        ],
        resume=resume is not None,
        load_from=resume and str(resume),
        randomness=dict(randomness or dict(seed=3)),
        log_level='ERROR',
    )
    runner.train()
    return diary.lines
