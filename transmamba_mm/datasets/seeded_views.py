"""A fixed number of random views of each sample, reproducible by seed."""

from typing import Any

import numpy as np
from torch.utils.data import Dataset

from transmamba_mm.checks import COUNT, SEED, checked
from transmamba_mm.random_states import seeded
from transmamba_mm.registry import DATASETS


@DATASETS.register_module()
class SeededViews(Dataset):
    """Another data set whose pipeline draws the same for each (sample, view).

    A sample is one of its ``views`` at random, so a teacher's outputs for all of them can be
    computed once (``tools/cache_teacher.py``) and training still augments. It is the idea of FKD
    (arXiv 2112.01528), with seeds in place of stored crops.

    Args:
        dataset (dict | Dataset): The data set, with its pipeline.
        views (int): Views of each sample.
        seed (int): Other seeds give other views.

    Attributes:
        view (int | None): The view of every sample; None: one at random.
    """

    @checked(views=COUNT, seed=SEED)
    def __init__(self, dataset: Any, views: int = 4, seed: int = 0) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.views = views
        self.seed = seed
        self.view: int | None = None

    def __getitem__(self, index: int) -> dict[str, Any]:
        view = np.random.randint(self.views) if self.view is None else self.view
        with seeded((self.seed, int(index), view)):
            item = self.dataset[index]
        item['data_samples'].set_metainfo({'view': view})
        return item

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__') or name == 'dataset':
            raise AttributeError(name)
        return getattr(self.dataset, name)
