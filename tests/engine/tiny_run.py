"""A real Runner small enough for a test: two layers on sixteen samples."""

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch import nn
from torch.utils.data import Dataset


class Samples(Dataset):
    """Random vectors; label i % 4, but ``label`` at index 5."""

    metainfo = {'classes': ('a', 'b', 'c', 'd')}

    def __init__(self, label: int | None = None) -> None:
        self.label = label

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> dict:
        label = self.label if self.label is not None and index == 5 else index % 4
        sample = DataSample().set_gt_label(label)
        sample.set_field(f'image_{index}.png', 'img_path', field_type='metainfo')
        torch.manual_seed(index)
        return {'inputs': torch.randn(3), 'data_samples': sample}


class Head(nn.Module):
    """Four classes."""

    num_classes = 4

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        return self.fc(x)


class TinyModel(BaseModel):
    """``head(body(x))`` with a cross entropy loss; always the same initial weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(3, 8), nn.ReLU())
        self.head = Head()

    def forward(self, inputs, data_samples=None, mode='tensor'):
        logits = self.head(self.body(torch.stack(list(inputs))))
        if mode != 'loss':
            return logits
        labels = torch.cat([sample.gt_label for sample in data_samples])
        return {'loss_cls': nn.functional.cross_entropy(logits, labels), 'accuracy': logits.mean()}


def tiny_runner(
    work_dir, *hooks: Hook, model=None, dataset=None, epochs=2, wrapper='OptimWrapper', **cfg
) -> Runner:
    """A runner on the CPU, four steps an epoch, that only logs and saves."""
    return Runner(
        model=model or TinyModel(),
        work_dir=str(work_dir),
        train_dataloader={
            'batch_size': 4,
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'dataset': dataset or Samples(),
        },
        train_cfg={'by_epoch': True, 'max_epochs': epochs},
        optim_wrapper={'type': wrapper, 'optimizer': {'type': 'SGD', 'lr': 0.1}},
        custom_hooks=list(hooks),
        default_scope='transmamba_mm',  # a Runner leaves its scope behind, for the tests after it
        experiment_name=f'{work_dir}'.replace('/', '_'),
        **cfg,
    )
