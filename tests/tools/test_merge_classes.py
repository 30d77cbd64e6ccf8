"""One class out of many: nothing else of an annotation file changes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from runner_configs import ROOT

TOOL = ROOT / 'tools/merge_classes.py'


def run(*arguments):
    command = [sys.executable, str(TOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_every_box_stays_and_has_the_one_class(coco, tmp_path):
    source, out = coco.root / 'train.json', tmp_path / 'one/class'
    done = run(out, source, '--name', 'flaw')
    assert done.returncode == 0, done.stderr
    before, after = (json.loads(p.read_text()) for p in (source, out / 'train.json'))
    assert after.pop('categories') == [{'id': 1, 'name': 'flaw'}]
    assert {box['category_id'] for box in after['annotations']} == {1}
    del before['categories']
    for content in (before, after):
        for box in content['annotations']:
            del box['category_id']
    assert after == before


def test_nothing_is_written_over(coco, tmp_path):
    done = run(coco.root, coco.root / 'train.json')
    assert done.returncode == 2
    assert done.stderr.endswith('train.json exists; name another DIR\n')


@pytest.mark.parametrize('content', [None, '[]', 'no json', '{"images": []}'])
def test_what_is_no_annotation_file_is_named_and_nothing_is_written(
    coco, tmp_path, content
):
    file = tmp_path / 'wrong.json'
    if content is not None:
        file.write_text(content)
    done = run(tmp_path / 'out', coco.root / 'train.json', file)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f'{file} is no COCO annotation file')
    assert not (tmp_path / 'out').exists()
