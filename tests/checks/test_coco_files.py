"""Ids and files of COCO are what they seem, or it is said."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from dataset_files import CLASSES
from faulty_files import (
    DEFECT,
    SECOND_HALF,
    coco,
    drawn,
    edited_coco,
    editing,
    load_coco,
    names,
    refusal,
)

pytest.importorskip('mmdet.datasets')


# --- Ids ---------------------------------------------------------------------------


def share_ids(count):
    def change(content):
        # The normal images are from another export that counts from the same number.
        content['images'] = content['images'][20:] + content['images'][:20]
        for image, normal in zip(content['images'], content['images'][8 : 8 + count]):
            normal['id'] = image['id']

    return change


def test_boxes_that_went_to_another_image_of_the_same_id_are_not_trusted(tmp_path):
    message = refusal(edited_coco(tmp_path, share_ids(5)))
    assert message.startswith(f'{tmp_path}/train.json: images that have the id of')
    assert '5 of 28, such as d00.jpg and n00.jpg with the id 8860' in message


def test_a_few_images_of_the_same_id_are_told(tmp_path, warnings):
    _, (message,) = warnings(edited_coco(tmp_path, share_ids(1)))
    assert '1 of 28, such as d00.jpg and n00.jpg' in message


def test_an_image_listed_twice_in_the_same_words_is_no_fault(tmp_path, warnings):
    made, said = warnings(
        edited_coco(tmp_path, lambda c: c['images'].append(c['images'][-1]))
    )
    assert drawn(made) == names(DEFECT)
    assert said == []


def test_ids_of_images_may_all_be_text(tmp_path, warnings):
    def change(content):
        for image in content['images']:
            image['id'] = f'image {image["id"]}'
        for annotation in content['annotations']:
            annotation['image_id'] = f'image {annotation["image_id"]}'

    made, said = warnings(edited_coco(tmp_path, change))
    assert drawn(made) == names(DEFECT)
    assert said == []


def test_boxes_of_images_that_the_file_does_not_list_are_told_and_never_refused(
    tmp_path, warnings
):
    def cut(content):
        content['images'] = content['images'][:22]

    _, (message,) = warnings(edited_coco(tmp_path, cut))
    assert '6 (crack: 3 of 4, dent: 3 of 4), such as image_id ' in message
    assert 'no image in `images`' in message


# --- Files elsewhere ---------------------------------------------------------------


@pytest.fixture
def served(tmp_path):
    """Address of a server of the files in a folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = partial(Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f'http://127.0.0.1:{server.server_address[1]}'
        server.shutdown()
        thread.join()


def test_a_file_on_a_server_is_checked_like_one_on_the_disk(served, tmp_path, warnings):
    coco(tmp_path, editing('area'), SECOND_HALF)
    remote = partial(load_coco, tmp_path, f'{served}/train.json')
    _, (message,) = warnings(remote())
    assert 'the area of their boxes' in message
    message = refusal(remote(metainfo=dict(classes=CLASSES[::-1])))
    assert f'metainfo=dict(classes={CLASSES})' in message


def test_a_file_that_is_gone_again_is_told_to_be_unchecked(served, tmp_path, warnings):
    coco(tmp_path)
    dataset = load_coco(tmp_path, f'{served}/train.json')
    (tmp_path / 'train.json').unlink()
    made, (message,) = warnings(dataset)
    assert drawn(made) == names(DEFECT)
    assert 'train.json) cannot be read again: HTTPError' in message
    assert 'was not checked' in message


def test_the_first_rank_alone_reads_the_file_again(tmp_path, warnings, monkeypatch):
    dataset = coco(tmp_path, editing('area'), SECOND_HALF)
    sampler_module = 'mmdefect.samplers.defect_pool_sampler'
    for rank, number in ((0, 1), (1, 0)):
        monkeypatch.setattr(f'{sampler_module}.get_dist_info', lambda r=rank: (r, 2))
        made, said = warnings(dataset)
        assert len(said) == number
        assert drawn(made) == names(DEFECT[:4])


def test_background_images_that_share_one_id_are_refused_for_it(tmp_path):
    def share(content):
        for image in content['images'][:20]:
            image['id'] = 0

    message = refusal(edited_coco(tmp_path, share))
    assert 'images that have the id of another one: 19 of 28' in message
