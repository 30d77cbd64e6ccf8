"""What samplers and hooks reach for at the outermost dataset, and find inside it."""

from __future__ import annotations

from typing import Any, Sequence

from mmdefect.images.transforms import steps_of
from mmdefect.pools.walk import DATASET
from mmdefect.pools.wrappers import describe


class Forwarding:
    """A wrapper through which the dataset inside is reached as if there were none."""

    dataset: Any

    @property
    def metainfo(self) -> Any:
        """dict: Meta information of the dataset inside."""
        return self.dataset.metainfo

    def get_data_info(self, index: int) -> dict:
        """Annotation of an image, that of the dataset inside."""
        return self.dataset.get_data_info(index)

    def get_cat_ids(self, index: int) -> list[int]:
        """Labels of an image's instances, also where the wrapper inside tells none."""
        if hasattr(self.dataset, 'get_cat_ids'):
            return self.dataset.get_cat_ids(index)
        return [i['bbox_label'] for i in self.get_data_info(index)['instances']]

    @property
    def pipeline(self) -> Any:
        """Compose | list: Pipeline of the outermost dataset inside that has one."""
        return _owners(self.dataset, 'pipeline')[0].pipeline

    @pipeline.setter
    def pipeline(self, pipeline: Any) -> None:
        for owner in _owners(self.dataset, 'pipeline'):
            owner.pipeline = pipeline
            if hasattr(owner, 'pipeline_types'):
                owner.pipeline_types = [type(step).__name__ for step in steps_of(owner)]

    def update_skip_type_keys(self, skip_type_keys: Sequence[str]) -> None:
        """Tell ``MultiImageMixDataset`` which types of transforms to leave out."""
        for owner in _owners(self.dataset, 'update_skip_type_keys'):
            owner.update_skip_type_keys(skip_type_keys)

    @property
    def _skip_type_keys(self) -> Any:
        return _owners(self.dataset, '_skip_type_keys')[0]._skip_type_keys

    @_skip_type_keys.setter
    def _skip_type_keys(self, skip_type_keys: Any) -> None:
        for owner in _owners(self.dataset, '_skip_type_keys'):
            owner._skip_type_keys = skip_type_keys

    def __getattr__(self, name: str) -> Any:
        # While it is being unpickled there is no dataset yet.
        if name == 'dataset' or name.startswith('__'):
            raise AttributeError(name)
        return getattr(self.dataset, name)


def _owners(dataset: Any, name: str) -> list[Any]:
    # The datasets inside that have an attribute, none of them inside another.
    held = vars(dataset)
    if name in held or hasattr(type(dataset), name):
        return [dataset]
    inside = [held['dataset']] if 'dataset' in held else held.get('datasets', ())
    owners = [owner for part in inside for owner in _owners(part, name)]
    if not owners:
        raise AttributeError(
            f'{describe(dataset)} has no {name}; take the hook that asks for it out '
            f'of custom_hooks, or set {DATASET}'
        )
    return owners
