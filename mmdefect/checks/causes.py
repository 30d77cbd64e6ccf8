"""What keeps an image from being drawn as what its file calls it, and what to write."""

from __future__ import annotations

from typing import NamedTuple


class Cause(NamedTuple):
    """Why images are not drawn as what the file calls them.

    Args:
        why (str): A clause about them.
        fix (str): What to write into the file instead.
        weight (str): A ``fault`` is told, and refused where most of a class is lost.
            What is ``told`` is never refused for that. A ``choice`` is told where it
            concerns many images. What is ``normal`` is a note. What is ``drawn`` is
            told: these images are drawn as defects, and should perhaps not.
        key (str): Key of the dataset's config to which ``fix`` belongs. '' is the file.
    """

    why: str
    fix: str
    weight: str = 'fault'
    key: str = ''


CAUSES = {
    'area': Cause(
        'the area of their boxes is 0 or less, and MMDetection drops such boxes',
        '"area": width * height of the bbox',
    ),
    'ignore': Cause(
        'their boxes are marked `ignore`, and MMDetection drops such boxes',
        '"ignore": 0',
    ),
    'reversed': Cause(
        'their boxes have a negative width or height, as if drawn from the bottom '
        'right, so that nothing is inside',
        'each box from its top left to its bottom right corner',
    ),
    'shares': Cause(
        'their boxes are shares of the image, from 0 to 1, where pixels are expected',
        'x and width times the width of the image, y and height times its height',
    ),
    'no number': Cause(
        'their boxes hold NaN or infinity, which is no place in an image',
        'four numbers, or take these boxes out',
    ),
    'no size': Cause(
        'their <width> or <height> is 0, and MMDetection drops images smaller than '
        'filter_cfg.min_size',
        '<width> and <height> of the image as it is read',
    ),
    'empty': Cause(
        'their boxes have no width or no height',
        'a box around the defect',
    ),
    'thin': Cause(
        'their boxes are less than a pixel wide or high, and MMDetection drops such '
        'boxes',
        'a box around the defect, in pixels',
    ),
    'outside': Cause(
        'their boxes lie outside the width and height that the file has for them',
        '"width" and "height" of the image as it is read',
    ),
    'turned': Cause(
        'their boxes lie outside the width and height that the file has for them, '
        'which seem to be swapped, as EXIF orientation does',
        '"width" and "height" the other way round',
    ),
    'iscrowd': Cause(
        'their iscrowd is text, which counts as true even where it says "0"',
        '"iscrowd": 0, without quotes',
    ),
    'image_id': Cause(
        'their image_id is text where the id of the image is a number, or the other '
        'way round, so that their boxes belong to no image',
        '"image_id": the same value as the "id" of the image',
    ),
    'category_id': Cause(
        'their category_id is text where the id of the category is a number, or the '
        'other way round, so that their boxes have no class',
        '"category_id": the same value as the "id" of the category',
    ),
    'no category': Cause(
        'no category has the category_id of their boxes',
        'a category with this id, or the category_id of one that there is',
    ),
    'no image': Cause(
        'no image in `images` has the image_id of their boxes',
        'the image, or take its boxes out',
        'told',
    ),
    'small': Cause(
        'they are smaller than filter_cfg.min_size, and so left out',
        'filter_cfg=dict(min_size=0)',
        'choice',
        'filter_cfg',
    ),
    'crowd': Cause(
        'all their boxes of that class are marked `iscrowd`, and so ignored',
        '"iscrowd": 0 where a defect is to be drawn',
        'choice',
    ),
    'difficult': Cause(
        'all their boxes of that class are marked `difficult`, and so ignored',
        '<difficult>0</difficult> where a defect is to be drawn',
        'choice',
    ),
    'bbox_min_size': Cause(
        'all their boxes of that class are smaller than filter_cfg.bbox_min_size or '
        'marked `difficult`, and so ignored',
        'filter_cfg=dict(bbox_min_size=None)',
        'choice',
        'filter_cfg',
    ),
    'ignore_flag': Cause(
        'all their instances of that class have ignore_flag=1',
        'ignore_flag=0 where a defect is to be drawn',
        'choice',
    ),
    'dummy': Cause(
        'their boxes are all 0, which is taken for nothing: they are normal',
        'nothing, or take these boxes out',
        'normal',
    ),
    'dot': Cause(
        'their boxes are one pixel in the corner, as some write for no defect',
        'a box around the defect, or none',
        'drawn',
    ),
    'beyond': Cause(
        'their boxes lie outside the width and height that the file has for them',
        '<width> and <height> of the image as it is read, or the right box',
        'drawn',
    ),
}
