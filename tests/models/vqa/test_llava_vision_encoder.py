"""A LLaVA starts with a trained vision encoder and keeps it frozen."""

import pytest
import torch

from tests.transfer.test_vqa_transfer import TOKENIZER, batch, llava
from transmamba_mm.errors import UserError
from transmamba_mm.registry import MODELS

VISION = {
    'image_size': 16,
    'patch_size': 4,
    'hidden_size': 24,
    'intermediate_size': 32,
    'num_hidden_layers': 2,
    'num_attention_heads': 2,
}


@pytest.fixture
def classifier(tmp_path):
    """A checkpoint of a classifier, as mmengine's runner writes it."""
    torch.manual_seed(5)
    model = MODELS.build(
        {
            'type': 'ImageClassifier',
            'backbone': {'type': 'transmamba_mm.ClipVision', 'config': VISION},
            'neck': {'type': 'GlobalAveragePooling'},
            'head': {'type': 'LinearClsHead', 'num_classes': 3, 'in_channels': 24},
        }
    )
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, tmp_path / 'encoder.pth')
    return tmp_path / 'encoder.pth', model


def test_vision_encoder_is_loaded_and_never_trained(classifier):
    path, teacher = classifier
    model = llava(vision_checkpoint=str(path))
    model.init_weights()
    encoder = model.model.model.vision_tower
    images = batch()['inputs']
    features = teacher.backbone(images)[0].flatten(2).transpose(1, 2)
    torch.testing.assert_close(
        encoder(images, output_hidden_states=True).hidden_states[-1][:, 1:], features
    )
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.5)
    model.train()(**{'images': images, 'data_samples': batch()['data_samples']}, mode='loss')[
        'loss'
    ].backward()
    optimizer.step()
    assert all(torch.equal(before[key], value) for key, value in encoder.state_dict().items())
    reader = model.model.model.language_model
    assert all(parameter.grad is not None for parameter in reader.layers.parameters())


def test_another_vision_encoder_is_refused(classifier):
    path, _ = classifier
    model = llava(patch_size=8, vision_checkpoint=str(path))
    with pytest.raises(UserError, match='does not hold the vision encoder of this teacher'):
        model.init_weights()
    with pytest.raises(UserError, match='No checkpoint at nowhere'):
        llava(vision_checkpoint='nowhere.pth', tokenizer=TOKENIZER).init_weights()
