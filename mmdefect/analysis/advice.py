"""With which quota to begin, and what each means for an epoch and a whole run."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

from mmdefect.plan.quotas import usual_quota
from mmdefect.samplers.draws import MANY_DRAWS, draws_per_image

MEASURED = 'quotas of 1 to 4 of 8, measured: "Choosing a quota" in configs/README.md'
LIMIT = (
    "QuotaMonitorHook's MANY_DRAWS: the longest stock schedules of MMDetection (YOLOX, "
    'RTMDet) show an image that often'
)


class Row(NamedTuple):
    """What a quota means."""

    quota: int  # defect images in each batch, or in `over` images
    batches: int  # in an epoch
    normals: int  # different ones in the first epoch
    draws_epoch: float  # of each defect image, mean
    draws_run: float


class Advice(NamedTuple):
    """A quota to begin with, None for stock sampling; why; where the rule is from."""

    quota: int | None
    reason: str
    source: str


def describe_quota(batches: Any, draws: Callable[[Any], dict]) -> Row:
    """Tell what a quota means."""
    plan = batches.plan
    normal = next(share.in_group for share in plan.shares if share.pool == 'normal')
    places = normal * plan.num_groups
    return Row(
        batches.quota,
        len(batches),
        min(places, batches.sampler.photographs['normal']),
        draws_per_image(batches, len(batches))['defect'],
        draws(batches)['defect'],
    )


def advise(rows: list[Row], natural: float, run: tuple[int, str]) -> Advice:
    """Say with which quota to begin.

    It is the usual one, or the largest below it with which no defect image is drawn
    more than ``MANY_DRAWS`` times.
    """
    length, unit = run
    usual = usual_quota(len(rows) + 1)
    fitting = [row for row in rows[:usual] if row.draws_run <= MANY_DRAWS]
    best = fitting[-1] if fitting else rows[0]
    often = f'{best.draws_run:,.0f} times in the run'
    if natural >= best.quota:
        return Advice(
            None,
            f'stock sampling draws {natural:.1f} defect images in as many on average, '
            f'and a quota should not be above {best.quota} here',
            f'{MEASURED}. {LIMIT}',
        )
    if best.quota == usual and fitting:
        return Advice(
            usual,
            'three eighths; with one of 8 a detector learned too slowly, with four it '
            'began to learn the images by heart. Each defect image is drawn about '
            f'{often}, not more than {MANY_DRAWS}',
            f'{MEASURED}. {LIMIT}',
        )
    if fitting:
        return Advice(
            best.quota,
            'it is the largest quota, up to three eighths, with which each defect '
            f'image is drawn at most {MANY_DRAWS} times in the run: about '
            f'{best.draws_run:,.0f}, and {rows[len(fitting)].draws_run:,.3g} with one '
            'more',
            f'{LIMIT}. {MEASURED}',
        )
    by_epoch = unit == 'epochs'
    per_step = best.draws_epoch / best.batches
    epochs = int(MANY_DRAWS / best.draws_epoch) if by_epoch else 0
    shorter = (
        f'max_epochs={epochs}' if epochs else f'max_iters={int(MANY_DRAWS / per_step)}'
    )
    return Advice(
        1,
        f'even a quota of 1 draws each defect image {often} of {length:,} {unit}, more '
        f'than {MANY_DRAWS}: train for {shorter} at most, or add defect images',
        f'{LIMIT}. {MEASURED}',
    )
