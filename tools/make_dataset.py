"""Make a synthetic surface-inspection data set: brushed metal with few defects.

Grey pictures of brushed metal under uneven light. A few of them show defects of three
classes: `scratch`, `pit` and `dent`. Stains, reflections and grain lines are harmless
and occur on normal and defect images alike; so do, where they are asked for, marks that
resemble defects: hairs, drops and smudges.

Every picture is a pure function of (seed, split, number, its defects, size), so the
same options give the same bytes, and a picture can be drawn again without its defects.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence, Tuple

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from mmdefect.commands.command_line import Parser, progress, quiet_interruptions

try:
    import fcntl
except ImportError:  # Windows: what a killed run leaves there stays.
    fcntl = None  # type: ignore[assignment]

GENERATOR = 'mmdefect/tools/make_dataset.py'
VERSION = 2  # Raise it with every change that changes a byte of the result.
MARKER = 'dataset.json'
SPLITS = ('train', 'val')
BASE_SIZE = 160  # The image size, in pixels, in which lengths below are given.
Box = Tuple[int, int, int, int]  # x, y, width, height in pixels


def stream(*key: int) -> np.random.Generator:
    """Return the random numbers that belong to `key`, whatever was drawn before."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


# --- The surface ---------------------------------------------------------------------


def smooth_noise(
    rng: np.random.Generator, size: int, along: float, across: float
) -> np.ndarray:
    """Return noise of unit variance, smoothed `along` and `across` the grain."""
    noise = rng.standard_normal((size, size), dtype=np.float32)
    for _ in range(2):
        noise = cv2.blur(noise, (2 * int(along) + 1, 2 * int(across) + 1))
    return noise / noise.std()


def centred_grid(height: int, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of a square's pixels, from its centre, in `unit` pixels."""
    axis = (np.arange(height, dtype=np.float32) - (height - 1) / 2) / np.float32(unit)
    return axis[None, :], axis[:, None]


def light(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return the brightness that a lamp beside the camera's axis gives."""
    x, y = centred_grid(size, size / 2)
    tilt_x, tilt_y = rng.uniform(-0.18, 0.18, 2)
    lamp_x, lamp_y = rng.uniform(-0.6, 0.6, 2)
    falloff = rng.uniform(0.04, 0.1) * ((x - lamp_x) ** 2 + (y - lamp_y) ** 2)
    return 1 + tilt_x * x + tilt_y * y - falloff


def grain(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return the marks of brushing: fine lines and broad bands, nearly horizontal."""
    scale = size / BASE_SIZE
    lines = smooth_noise(rng, size, rng.uniform(8, 20) * scale, 0)
    bands = smooth_noise(rng, size, size / 2, rng.uniform(1, 4) * scale)
    marks = rng.uniform(0.03, 0.06) * lines + rng.uniform(0.015, 0.035) * bands
    turn = cv2.getRotationMatrix2D((size / 2, size / 2), rng.uniform(-4, 4), 1)
    return cv2.warpAffine(marks, turn, (size, size), borderMode=cv2.BORDER_REFLECT)


def stain(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a faint blotch with soft edges."""
    blotch = smooth_noise(rng, size, size / 10, size / 12)
    return rng.choice([-0.1, 0.07]) * np.clip(2 * (blotch - 0.8), 0, 1)


def reflection(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a broad soft streak of light."""
    x, y = centred_grid(size, size)
    turn, width = rng.uniform(0, np.pi), rng.uniform(0.12, 0.25)
    across = x * np.cos(turn) + y * np.sin(turn) - rng.uniform(-0.4, 0.4)
    along = y * np.cos(turn) - x * np.sin(turn)
    return 0.25 * np.exp(-((across / width) ** 2) - (along / (3 * width)) ** 2)


def grain_line(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a few marks of the roll: fine lines from edge to edge, along the grain."""
    canvas = np.zeros((size, size), np.uint8)
    middle, drop = rng.uniform(0, size), rng.uniform(-0.07, 0.07) * size
    for offset in rng.uniform(-6, 6, rng.integers(1, 4)):
        ends = np.array([(0, middle + offset), (size, middle + offset + drop)])
        cv2.polylines(canvas, [np.int32(ends * 16)], False, 255, 1, cv2.LINE_AA, 4)
    return rng.choice([-0.2, 0.2]) * (canvas / np.float32(255))


DISTRACTORS = (stain, reflection, grain_line)
DISTRACTOR_SHARE = 0.12  # of the images, for each distractor


# --- The defects: relative change of brightness on a square, 0 where untouched --------


def fill(outline: np.ndarray, side: int) -> np.ndarray:
    """Return how much of each pixel lies inside `outline`, from the square's centre."""
    canvas = np.zeros((side, side), np.uint8)
    points = np.int32(np.rint((outline + side / 2) * 16))
    cv2.fillPoly(canvas, [points], 255, cv2.LINE_AA, 4)
    return canvas / np.float32(255)


def scratch(rng: np.random.Generator, scale: float) -> np.ndarray:
    """Return a thin bright furrow across the grain, its shadow, and a faint twin."""
    length = rng.uniform(40, 64) * scale
    turn = rng.choice([-1, 1]) * np.deg2rad(rng.uniform(35, 55))
    along = np.array([np.cos(turn), np.sin(turn)])
    below = np.array([-np.sin(turn), np.cos(turn)])
    step = np.linspace(-1, 1, 24)
    bow = rng.uniform(-0.08, 0.08) * length * (1 - step**2)
    wobble = np.cumsum(rng.normal(0, 0.12 * scale, step.size))

    def strip(offset: float, width: float, share: float = 1) -> np.ndarray:
        middle = np.outer(step * length / 2 * share, along)
        middle += np.outer(bow + wobble - wobble.mean() + offset * scale, below)
        edge = np.outer(width / 2 * scale * np.sqrt(1 - 0.98 * step**2), below)
        return fill(
            np.concatenate([middle + edge, (middle - edge)[::-1]]), int(90 * scale)
        )

    furrow = strip(0, rng.uniform(0.8, 1.2))
    shadow = strip(1.6, 0.6)
    twin = strip(rng.choice([-1, 1]) * rng.uniform(4, 6), 0.3, rng.uniform(0.4, 0.7))
    return np.where(furrow > 0, 0.85 * furrow, -0.45 * shadow) + 0.35 * twin


def pit(rng: np.random.Generator, scale: float) -> np.ndarray:
    """Return a dark hole with a ragged, lit rim, and small holes beside it."""
    side = int(60 * scale)
    x, y = centred_grid(side, side / 2)
    rough = rng.standard_normal((side, side), dtype=np.float32)
    shade = -0.6 + 0.5 * (x + y) + 0.25 * cv2.GaussianBlur(rough, (0, 0), 1.2 * scale)
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    relief = np.zeros((side, side), np.float32)
    place = rng.uniform(0, 2 * np.pi)
    for number in range(1 + rng.integers(4)):
        radius, distance = (rng.uniform(1.6, 3), 13.5) if number else (9.5, 0)
        place += rng.uniform(1, 2.5)
        ragged = np.ones_like(angle)
        for wave in (2, 3, 5):
            phase = rng.uniform(0, 2 * np.pi)
            ragged += rng.uniform(-0.4, 0.4) / wave * np.sin(wave * angle + phase)
        outline = radius * rng.uniform(0.85, 1.15) * ragged[:, None] * circle
        outline += distance * np.array([np.cos(place), np.sin(place)])
        hole = fill(outline * scale, side)
        rim = 0.45 * fill((outline + 1.6) * scale, side)
        relief = np.where(relief < 0, relief, np.maximum(relief, rim))
        relief = np.where(hole > 0, hole * shade, relief)
    return relief


def dent(rng: np.random.Generator, scale: float) -> np.ndarray:
    """Return a shallow oval hollow: its near wall in shade, its far wall lit."""
    x, y = centred_grid(int(80 * scale), scale)
    turn, lamp = rng.uniform(0, np.pi), np.deg2rad(rng.uniform(25, 65))
    long, short = rng.uniform(25, 32), rng.uniform(20, 25)
    along = (x * np.cos(turn) + y * np.sin(turn)) / long
    across = (y * np.cos(turn) - x * np.sin(turn)) / short
    slope = (x * np.cos(lamp) + y * np.sin(lamp)) / short
    return 1.6 * slope * np.clip(1 - along**2 - across**2, 0, 1) ** 1.5


Defect = Callable[[np.random.Generator, float], np.ndarray]
DEFECTS: dict[str, Defect] = {'scratch': scratch, 'pit': pit, 'dent': dent}


# --- Marks that are no defects, and easily taken for some: on a square as well --------


def hair(rng: np.random.Generator, scale: float) -> np.ndarray:
    """Return a fibre that lies on the surface: long as a scratch, dark and curled."""
    side, length = int(90 * scale), rng.uniform(40, 64) * scale
    step = np.linspace(-1, 1, 32)
    turn = rng.uniform(0, np.pi) + rng.uniform(0.5, 1.5) * step
    points = np.cumsum(np.stack([np.cos(turn), np.sin(turn)], axis=1), axis=0)
    points = (points - points.mean(axis=0)) * length / len(step) + side / 2
    canvas = np.zeros((side, side), np.uint8)
    cv2.polylines(canvas, [np.int32(points * 16)], False, 255, 1, cv2.LINE_AA, 4)
    return rng.uniform(-0.5, -0.3) * (canvas / np.float32(255))


def drop(rng: np.random.Generator, scale: float) -> np.ndarray:
    """Return a drop of oil: dark as a pit, but round, and with a glint."""
    x, y = centred_grid(int(60 * scale), rng.uniform(8, 12) * scale)
    body = np.clip(3 * (1 - x**2 - y**2), 0, 1)
    glint = np.exp(-(((x + 0.4) ** 2 + (y + 0.4) ** 2) / 0.05))
    return -0.45 * body + 0.9 * glint * body


def smudge(rng: np.random.Generator, scale: float) -> np.ndarray:
    """Return where a finger was: an oval as large as a dent, of one shade."""
    x, y = centred_grid(int(80 * scale), scale)
    turn = rng.uniform(0, np.pi)
    along = (x * np.cos(turn) + y * np.sin(turn)) / rng.uniform(25, 32)
    across = (y * np.cos(turn) - x * np.sin(turn)) / rng.uniform(16, 22)
    ridges = 1 + 0.4 * np.sin(along * rng.uniform(20, 30))
    oval = np.clip(1 - along**2 - across**2, 0, 1)
    return rng.choice([-0.25, 0.25]) * ridges * np.sqrt(oval)


MARKS = (hair, drop, smudge)


def trim(relief: np.ndarray) -> np.ndarray:
    """Cut off what nobody could see."""
    relief = np.where(np.abs(relief) < 0.03, np.float32(0), relief)
    x, y, width, height = cv2.boundingRect((relief != 0).astype(np.uint8))
    return relief[y : y + height, x : x + width]


def marked(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a relative change of brightness: one mark somewhere, 0 elsewhere."""
    relief = np.zeros((size, size), np.float32)
    patch = trim(MARKS[rng.integers(len(MARKS))](rng, size / BASE_SIZE))
    height, width = patch.shape
    x, y = rng.integers(size - width + 1), rng.integers(size - height + 1)
    relief[y : y + height, x : x + width] = patch
    return relief


def render(
    seed: int,
    split: str,
    number: int,
    defects: Sequence[str],
    size: int,
    mark_share: float = 0,
) -> tuple[np.ndarray, list[tuple[str, Box]]]:
    """Draw one picture, and measure its boxes on the pixels that really changed.

    Args:
        seed: The data set's seed.
        split: `train` or `val`.
        number: The picture's number within its split.
        defects: Class names of the defects. `()` draws the same surface without any.
            A second or third defect that finds no free place is left out.
        size: Width and height in pixels.
        mark_share: Share of the pictures with a mark.

    Returns:
        The uint8 picture of shape (size, size), and for each defect on it the class
        name and the box (x, y, width, height) in pixels.
    """
    rng = stream(seed, SPLITS.index(split), number, 0)
    surface = rng.uniform(90, 135) * light(rng, size) * (1 + grain(rng, size))
    for distractor in DISTRACTORS:
        if rng.random() < DISTRACTOR_SHARE:
            surface = surface * (1 + distractor(rng, size))
    sensor_noise = rng.normal(0, 1.5, (size, size))
    # A stream of their own: without marks, pictures are what they were.
    rng = stream(seed, SPLITS.index(split), number, 2)
    if rng.random() < mark_share:
        surface = surface * (1 + marked(rng, size))

    # The defects' own stream: the surface stays what it is without them.
    rng = stream(seed, SPLITS.index(split), number, 1)
    relief = np.zeros((size, size), np.float32)
    taken = np.zeros((size, size), bool)
    gap = size // 25
    placed = []
    for name in defects:
        patch = trim(DEFECTS[name](rng, size / BASE_SIZE))
        height, width = patch.shape
        for _ in range(30):
            x, y = rng.integers(size - width + 1), rng.integers(size - height + 1)
            where = np.s_[y : y + height, x : x + width]
            if not taken[where].any():
                relief[where] = patch
                rows = slice(max(0, y - gap), y + height + gap)
                taken[rows, max(0, x - gap) : x + width + gap] = True
                placed.append((name, int(x), int(y), width, height))
                break

    def expose(brightness: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(brightness + sensor_noise), 0, 255).astype(np.uint8)

    picture = expose(surface * (1 + relief))
    changed = (picture != expose(surface)).astype(np.uint8)
    instances: list[tuple[str, Box]] = []
    for name, x, y, width, height in placed:
        left, top, w, h = cv2.boundingRect(changed[y : y + height, x : x + width])
        instances.append((name, (x + left, y + top, w, h)))
    return picture, instances


def segment(changed: np.ndarray, box: Box) -> dict:
    """Return the `changed` pixels in `box`, as COCO's run-length encoding."""
    x, y, width, height = box
    mask = np.zeros(changed.shape, np.uint8, order='F')
    where = np.s_[y : y + height, x : x + width]
    mask[where] = changed[where]
    encoded = coco_mask.encode(mask)
    return {**encoded, 'counts': encoded['counts'].decode()}


# --- The data set --------------------------------------------------------------------


def draw_defects(seed: int, split: str, count: int, share: float) -> list[tuple]:
    """Return each image's defect classes; `()` for a normal image."""
    rng = stream(seed, SPLITS.index(split))
    names = list(DEFECTS)
    images: list[tuple] = [()] * count
    where = rng.permutation(count)[: round(count * share)]
    # The first class in turn, so that every class occurs however few there are.
    for turn, number in enumerate(where.tolist()):
        others = rng.choice(names, rng.choice(3, p=(0.65, 0.27, 0.08))).tolist()
        images[number] = (names[turn % len(names)], *others)
    return images


def file_name(number: int) -> str:
    """Return the name that the `number`-th image of a split has in its folder."""
    return f'{number:06d}.png'


def write_json(path: Path, content: Any) -> None:
    """Write `content` so that equal content has equal bytes."""
    path.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')


def make(root: Path, options: dict) -> None:
    """Write the whole data set into the empty directory `root`."""
    seed, size, marks = options['seed'], options['size'], options['mark_share']
    total = sum(options[split] for split in SPLITS)
    # Sparse and in no order: code that takes an image id for an index shall fail.
    rng = stream(seed)
    ids = iter((rng.choice(10 * total, total, replace=False) + 1).tolist())
    shares = dict(zip(SPLITS, (options['defect_share'], options['val_defect_share'])))
    todo = [
        (split, number, defects)
        for split in SPLITS
        for number, defects in enumerate(
            draw_defects(seed, split, options[split], shares[split])
        )
    ]
    coco: dict[str, dict] = {}
    for split in SPLITS:
        (root / split).mkdir()
        coco[split] = {
            'info': {'description': f'{GENERATOR} {VERSION}, {split}, seed {seed}'},
            'images': [],
            'annotations': [],
            'categories': [
                {'id': i, 'name': name} for i, name in enumerate(DEFECTS, start=1)
            ],
        }
    for split, number, defects in progress(todo, 'Drawing images'):
        picture, instances = render(seed, split, number, defects, size, marks)
        # Not cv2.imwrite: it says nothing when the disk is full.
        _, data = cv2.imencode('.png', picture)
        (root / split / file_name(number)).write_bytes(data.tobytes())
        image = {'id': next(ids), 'file_name': file_name(number)}
        coco[split]['images'].append({**image, 'width': size, 'height': size})
        if instances:
            changed = picture != render(seed, split, number, (), size, marks)[0]
        for name, box in instances:
            mask = segment(changed, box)
            annotation = {
                'image_id': image['id'],
                'category_id': list(DEFECTS).index(name) + 1,
                'bbox': list(box),
                'segmentation': mask,
                'area': int(coco_mask.area(mask)),
                'iscrowd': 0,
            }
            coco[split]['annotations'].append(annotation)
    (root / 'annotations').mkdir()
    for split, content in coco.items():
        for i, annotation in enumerate(content['annotations'], start=1):
            annotation['id'] = i
        for key in ('images', 'annotations'):
            order = rng.permutation(len(content[key])).tolist()
            content[key] = [content[key][i] for i in order]
        write_json(root / 'annotations' / f'{split}.json', content)
    write_json(root / MARKER, marker(options))


# --- The directory -------------------------------------------------------------------


class RefusedError(Exception):
    """What the user asked for will not be done; the message says why, in one line."""


def marker(options: dict) -> dict:
    """Return what `dataset.json` says: who made the directory, and with what."""
    return {'generator': GENERATOR, 'version': VERSION, 'options': options}


def read_marker(out: Path) -> dict | None:
    """Return the marker in `out`, or None where this tool did not make `out`."""
    try:
        content = json.loads((out / MARKER).read_text(encoding='utf-8'))
        ours = content['generator'] == GENERATOR
        content['options'].setdefault('mark_share', 0.0)  # sets of 0.1 have none
        return content if ours and files_of(content['options']) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def files_of(options: dict) -> set[str]:
    """Return every file of a data set, relative to its root."""
    images = {f'{s}/{file_name(i)}' for s in SPLITS for i in range(options[s])}
    return images | {f'annotations/{split}.json' for split in SPLITS} | {MARKER}


def must_make(out: Path, options: dict, force: bool) -> bool:
    """Say whether `out` is to be made.

    Returns:
        False where the very data set asked for lies there, complete.

    Raises:
        RefusedError: Where making it would touch what this tool did not make, or what
            it made with other options unless `force`.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return True
    made = read_marker(out)
    if made is None:
        raise RefusedError(
            f'{out} exists and was not made by this tool: name another directory'
        )
    present = {p.relative_to(out).as_posix() for p in out.rglob('*') if not p.is_dir()}
    lost = files_of(made['options']) - present
    if force:
        foreign = sorted(present - files_of(made['options']))
        if foreign:
            raise RefusedError(
                f'{out} holds {foreign[0]}, which this tool did not make: move it away'
            )
        return True
    if made != marker(options):
        before = ', '.join(f'{key} {value}' for key, value in made['options'].items())
        raise RefusedError(
            f'{out} was made with other options ({before}, version '
            f'{made["version"]}): add --force to make it anew'
        )
    if lost:
        raise RefusedError(
            f'{out} lacks {len(lost)} of its files, such as {min(lost)}: add --force '
            'to make it anew'
        )
    return False


def lock(directory: Path) -> Any:
    """Hold `directory` for as long as the returned file is open.

    Raises:
        OSError: Where another process holds it.
    """
    file = open(directory / 'lock', 'w')  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        file.close()
        raise
    return file


@contextlib.contextmanager
def work_directory(out: Path) -> Iterator[Path]:
    """Lend a directory beside `out`, and sweep away those of runs that were killed."""
    out.parent.mkdir(parents=True, exist_ok=True)
    for other in out.parent.glob(f'.{out.name}.making-*'):
        # A lock, not the process id in the name: ids are used again.
        with contextlib.suppress(OSError, AttributeError), lock(other):
            shutil.rmtree(other)
    work = out.parent / f'.{out.name}.making-{os.getpid()}'
    work.mkdir()
    try:
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError, AttributeError):
                stack.enter_context(lock(work))
            yield work
    finally:
        shutil.rmtree(work)


def main(argv: Sequence[str] | None = None) -> int:
    """Make the data set that the command line asks for."""
    parser = make_parser()
    options = vars(parser.parse_args(argv))
    out = Path(options.pop('out')).resolve()
    force = options.pop('force')
    counts = ' + '.join(f'{options[split]:,} {split}' for split in SPLITS) + ' images'
    try:
        check(options)
        if not must_make(out, options, force):
            print(f'{out} is complete: {counts}, nothing to do')
            return 0
        started = time.monotonic()
        with work_directory(out) as work:
            (work / 'new').mkdir()
            make(work / 'new', options)
            if force and out.exists():
                out.rename(work / 'old')
            (work / 'new').rename(out)
    except (RefusedError, OSError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print('interrupted: nothing was made', file=sys.stderr)
        return 130
    print(f'{out}: {counts}, made in {time.monotonic() - started:.0f} s')
    return 0


def check(options: dict) -> None:
    """Refuse options that make no data set."""
    for split, share in zip(SPLITS, ('defect_share', 'val_defect_share')):
        count, value = options[split], options[share]
        flag = '--' + share.replace('_', '-')
        if not 0 < value < 1:
            raise RefusedError(f'{flag} must lie between 0 and 1, got {value}')
        if not 0 < round(count * value) < count:
            raise RefusedError(
                f'--{split} {count} with {flag} {value} leaves no normal or no defect '
                'image: raise one of them'
            )
    if not 0 <= options['mark_share'] <= 1:
        raise RefusedError(
            f'--mark-share must lie between 0 and 1, got {options["mark_share"]}'
        )
    if not 64 <= options['size'] <= 2048:
        raise RefusedError(f'--size must be 64 to 2048 pixels, got {options["size"]}')
    if options['seed'] < 0:
        raise RefusedError(f'--seed must be 0 or more, got {options["seed"]}')


def make_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(
        description=__doc__.split('\n')[0],
        epilog="""\
what is made:
  OUT/train/*.png  OUT/val/*.png   grey pictures
  OUT/annotations/train.json       COCO boxes and masks of scratch, pit and
  OUT/annotations/val.json         dent; image ids are sparse and in no order
  OUT/dataset.json                 the options, and the proof of who made OUT

The same options give the same bytes (with the same NumPy and OpenCV).
A complete OUT is left as it is; a directory that this tool did not make is
never touched. OUT appears only when all of it is done.

example:
  python tools/make_dataset.py data/big --train 30000 --defect-share 0.03""",
    )
    add = parser.add_argument
    add(
        'out',
        nargs='?',
        default='data/synthetic',
        metavar='OUT',
        help='directory to make (default: %(default)s)',
    )
    for flag, default, text in (
        ('--train', 1000, 'number of training images'),
        ('--val', 200, 'number of validation images'),
        ('--defect-share', 0.03, 'share of training images with defects'),
        ('--val-defect-share', 0.25, 'share of validation images with defects'),
        ('--mark-share', 0.0, 'share of images with a mark that is no defect'),
        ('--size', BASE_SIZE, 'width and height in pixels'),
        ('--seed', 0, 'another seed, another data set'),
    ):
        add(
            flag,
            type=type(default),
            default=default,
            metavar='N' if isinstance(default, int) else 'SHARE',
            help=f'{text} (default: %(default)s)',
        )
    add(
        '--force',
        action='store_true',
        help='make OUT anew where this tool made it before',
    )
    return parser


if __name__ == '__main__':
    quiet_interruptions()
    sys.exit(main())
