"""What a detector finds on each photograph, kept in a file so that no run is lost."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Iterator

import numpy as np

from mmdefect.analysis.config import running
from mmdefect.analysis.errors import UnusableError
from mmdefect.analysis.tracking import Track, untracked
from mmdefect.delivery.whole_photographs import Unreadable, load_for_test, predict
from mmdefect.metrics.image_score import Found, found_on
from mmdefect.review.photographs import Photographs


def scores_key(cfg: Any, checkpoint: str, photographs: Photographs) -> str:
    """A name for all that the scores depend on, besides the files of photographs."""
    from mmdet import __version__ as stack

    from mmdefect import __version__

    digest = hashlib.sha256()
    with open(checkpoint, 'rb') as file:
        for block in iter(lambda: file.read(2**22), b''):
            digest.update(block)
    settings = [
        cfg.model.to_dict(),
        photographs.pipeline,
        photographs.classes,
        photographs.defect_labels,
        batch_size(cfg),
        stack,
        __version__,
    ]
    digest.update(json.dumps(settings, sort_keys=True, default=repr).encode())
    return digest.hexdigest()[:12]


def stamp(path: str) -> list[int] | None:
    """Size and time of a file, which another photograph of its name has not."""
    try:
        status = os.stat(path)
    except OSError:
        return None  # in a storage that is no file system
    return [status.st_size, status.st_mtime_ns]


def score(
    model: Any,
    cfg: Any,
    photographs: Photographs,
    kept: Path,
    track: Track = untracked,
    title: str = 'scoring',
) -> list[Found]:
    """Let a detector look at photographs, those left that it has not looked at."""
    found = read_scores(kept)
    size, images = batch_size(cfg), photographs.images
    # Whole batches, always the same: what an image is padded to depends on the others.
    batches = [
        list(range(n, min(n + size, len(images)))) for n in range(0, len(images), size)
    ]
    left = [b for b in batches if any(images[n].path not in found for n in b)]
    unreadable = []
    if left:
        detector = model()
        kept.parent.mkdir(parents=True, exist_ok=True)
        with open(kept, 'a+b') as file:
            cut_to_lines(file)
            loaded = loader(photographs, left, cfg)
            for indices, batch in zip(left, track(loaded, title, len(left))):
                unreadable += [item for item in batch if isinstance(item, Unreadable)]
                good = [
                    n
                    for n, item in enumerate(batch)
                    if not isinstance(item, Unreadable)
                ]
                with running('the detector cannot be run'):
                    results = predict(detector, [batch[n] for n in good])
                for n, result in zip(good, results):
                    path = images[indices[n]].path
                    if result.pred_instances.scores.isnan().any():
                        raise UnusableError(
                            f'the detector gives {path} a score that is no number '
                            '(NaN): its training has diverged, or its settings overflow'
                        )
                    one = found_on(result, photographs.defect_labels)
                    found[path] = one
                    file.write(line(path, one).encode())
                file.flush()
    if unreadable:
        first = unreadable[0]
        raise UnusableError(
            f'{len(unreadable)} of {len(images):,} images cannot be read, the first '
            f'{first.path} ({first.why}): mend or remove it and run this again; the '
            'scores of the others are kept'
        )
    return [found[image.path] for image in images]


def batch_size(cfg: Any) -> int:
    """Images that the detector gets at once, as in the config's validation."""
    return (cfg.get('val_dataloader') or cfg.get('test_dataloader')).get(
        'batch_size', 1
    )


def loader(photographs: Photographs, batches: list[list[int]], cfg: Any) -> Any:
    """A dataloader over batches of photographs."""
    infos = [[photographs.images[n].info for n in batch] for batch in batches]
    settings = cfg.get('val_dataloader') or cfg.test_dataloader
    with running('the test pipeline cannot be built'):
        return load_for_test(
            infos, photographs.pipeline, settings.get('num_workers', 0)
        )


def line(path: str, found: Found) -> str:
    """What is written of a photograph: it is read back to the same numbers."""
    boxes = [[round(float(v), 2) for v in box] for box in found.boxes]
    content: dict[str, Any] = dict(image=path, file=stamp(path), boxes=boxes)
    content.update(scores=found.scores.tolist(), labels=found.labels.tolist())
    return json.dumps(content) + '\n'


def cut_to_lines(file: Any) -> None:
    """Take a line off the end of a file that was not written to its end."""
    file.seek(0)
    whole = file.read().rpartition(b'\n')
    file.truncate(len(whole[0]) + len(whole[1]))


def read_scores(kept: Path) -> dict[str, Found]:
    """What was written, by photograph."""
    return dict(_lines(kept)) if kept.is_file() else {}


def _lines(kept: Path) -> Iterator[tuple[str, Found]]:
    with open(kept, encoding='utf-8') as file:
        for text in file:
            if not text.endswith('\n'):
                return  # cut off by a full disk or a power failure
            try:
                one = json.loads(text)
                found = Found(
                    np.array(one['boxes'], np.float32).reshape(-1, 4),
                    np.array(one['labels'], int),
                    np.array(one['scores'], np.float32),
                )
                image, file_stamp = one['image'], one['file']
            except (ValueError, KeyError, TypeError):
                continue  # a broken line: its photograph is scored anew
            if file_stamp == stamp(image):
                yield image, found
