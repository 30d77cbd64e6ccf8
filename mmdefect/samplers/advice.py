"""With which quota to begin, and what each means for an epoch and a whole run."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

from mmdefect.samplers.draws import MANY_DRAWS, draws_per_image

BALANCE = (
    'Buda et al., "A systematic study of the class imbalance problem in convolutional '
    'neural networks", Neural Networks 106, 2018: over-sampling does best where it '
    'ends the imbalance'
)


LIMIT = (
    "QuotaMonitorHook's MANY_DRAWS: the longest stock schedules of MMDetection (YOLOX, "
    'RTMDet) show an image that often'
)


class Row(NamedTuple):
    """What a quota means.

    Args:
        quota (int): Defect images in each batch, or in ``over`` images.
        batches (int): Batches in an epoch.
        normals (int): Different normal images in the first epoch.
        draws_epoch (float): Draws of each defect image in an epoch, mean.
        draws_run (float): The same in the whole run.
    """

    quota: int
    batches: int
    normals: int
    draws_epoch: float
    draws_run: float


class Advice(NamedTuple):
    """A quota to begin with.

    Args:
        quota (int | None): Defect images in each batch, or in ``over`` images; None for
            stock sampling.
        reason (str): Why, in one sentence.
        source (str): Where the rule is from.
    """

    quota: int | None
    reason: str
    source: str


def describe_quota(batches: Any, draws: Callable[[Any], dict]) -> Row:
    """Tell what a quota means.

    Args:
        batches (QuotaBatchSampler): Batches with that quota.
        draws (Callable): Draws of an image in the whole run, by pool.

    Returns:
        Row: What it means.
    """
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


def advise(
    rows: list[Row],
    natural: float,
    run: tuple[int, str],
    make: Callable[[int], Any],
    draws: Callable[[Any], dict],
) -> Advice:
    """Say with which quota to begin.

    Args:
        rows (list[Row]): What each quota means.
        natural (float): Defect images in as many images without a quota, mean.
        run (tuple[int, str]): Length of the run, and its unit.
        make (Callable): The batches with a quota.
        draws (Callable): Draws of an image in the whole run, by pool.

    Returns:
        Advice: The quota.
    """
    half = (len(rows) + 1) // 2
    length, unit = run
    fitting = [row for row in rows[:half] if row.draws_run <= MANY_DRAWS]
    most = (fitting or rows)[-1 if fitting else 0].quota
    if natural >= most:
        return Advice(
            None,
            f'stock sampling draws {natural:.1f} defect images in as many on average, '
            f'and a quota should not be above {most} here',
            f'{BALANCE}. {LIMIT}',
        )
    if fitting and fitting[-1].quota == half:
        often = f'{fitting[-1].draws_run:,.0f}'
        return Advice(
            half,
            'one half balances defect and normal images, and each defect image is '
            f'drawn about {often} times in the run, not more than {MANY_DRAWS}',
            f'{BALANCE}. {LIMIT}',
        )
    if fitting:
        return Advice(
            fitting[-1].quota,
            'it is the largest quota, up to one half, with which each defect image '
            f'is drawn at most {MANY_DRAWS} times in the run: about '
            f'{fitting[-1].draws_run:,.0f}, and {rows[len(fitting)].draws_run:,.3g} '
            'with one more',
            f'{LIMIT}. {BALANCE}',
        )
    least = f'even a quota of 1 draws each defect image {rows[0].draws_run:,.0f} times'
    by_epoch = unit == 'epochs'
    steps = rows[0].batches if by_epoch else 1

    def fits(end: int) -> bool:
        batches = make(1)
        batches.set_schedule([(end * steps, None)])
        return draws(batches)['defect'] <= MANY_DRAWS

    low, high = 0, length
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    if low:
        return Advice(
            1,
            f'{least}, more than {MANY_DRAWS}, so end it earlier: custom_hooks=[dict('
            f"type='QuotaScheduleHook', milestones=[(0, 1), ({low}, None)], "
            f'by_epoch={by_epoch})]',
            LIMIT,
        )
    per_step = rows[0].draws_epoch / rows[0].batches
    shorter = int(MANY_DRAWS / (per_step * steps))
    key = 'max_epochs' if by_epoch and shorter else 'max_iters'
    shorter = shorter or int(MANY_DRAWS / per_step)
    return Advice(
        1,
        f'{least} in {length:,} {unit}, more than {MANY_DRAWS}: train for '
        f'{key}={shorter} at most, or add defect images',
        LIMIT,
    )
