"""The view of a whole model that a transfer works with; of a backbone it is the ``TokenLayout``."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import CallInputs, FeatureSource, layout_of

IMAGES, TEXT = 'images', 'text'
#: Linear layers in the heads of mmpretrain's classifiers, and their canonical names. Of a distilled
#: DeiT's two, the cls token's goes with the cls token.
CLASSIFIER_HEADS = {
    'head.fc': 'head',
    'head.layers.head': 'head',
    'head.layers.head_dist': 'head_dist',
}


@dataclass(frozen=True)
class Tower:
    """One backbone of a model, and its path.

    Attributes:
        path (str): Module path inside the model, such as ``'vision'``.
        backbone (nn.Module): One that ``transmamba_mm.models.layouts.layout_of`` has a layout for.
        reads (str): ``'images'``: its tokens are patches on a grid; ``'text'``: they are those of
            the model's :class:`~transmamba_mm.models.token_batch.TokenBatch`.
        heads (Mapping[str, str]): Paths of the linear layers behind it, by canonical name: ``head``
            of a classifier or a projection to a common space, ``lm_head`` of a language model.
        embeddings (FeatureSource | None): Final embeddings (B, D): what a classifier's or language
            model's head reads, the unit vectors of a dual encoder.
        embedding_dims (int): Their width D.
    """

    path: str
    backbone: Any
    reads: str = IMAGES
    heads: Mapping[str, str] = field(default_factory=dict)
    embeddings: FeatureSource | None = None
    embedding_dims: int = 0


class ModelView(ABC):
    """A model as towers and logits. A classifier is a model with one tower.

    Models with several towers inherit from it; :func:`view_of` adapts a classifier.
    """

    #: Module whose output is the ``TokenBatch`` of a forward pass; None for a model without text.
    token_batch_path: str | None = None
    #: Classes of the logits, where they are those of a classifier.
    num_classes: int | None = None

    @abstractmethod
    def towers(self) -> dict[str, Tower]:
        """Backbones by name, in depth order."""

    @abstractmethod
    def logits_source(self) -> FeatureSource:
        """Logits (N, classes); N samples, answer tokens, or texts and videos.

        Raises:
            UserError: The model has none.
        """

    def frame_embeddings_source(self) -> FeatureSource:
        """Embeddings (B, T, D) of frames whose mean is that of the clip, of any length.

        Raises:
            UserError: The model has none.
        """
        raise UserError(
            f'{type(self).__name__} does not embed the frames of clips: set frame_weight=0 of the '
            'distiller, or implement frame_embeddings_source of its ModelView.'
        )

    def scalars(self) -> dict[str, str]:
        """Paths of parameters beside the towers that a student may start from, by common name."""
        return {}

    @property
    def takes_clips(self) -> bool:
        """Whether clips (B, C, T, H, W) are taken whole, rather than frame by frame."""
        return True

    @property
    def vocabulary(self) -> Mapping[str, int] | None:
        """Index of each token in the logits, where they are those of a language model."""
        return None


class ClassifierView(ModelView):
    """A classifier such as mmpretrain's ``ImageClassifier``: one tower, ``backbone``, and a head.

    Args:
        model (nn.Module): Has a ``backbone`` and, for logits, a ``head``.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.num_classes = getattr(getattr(model, 'head', None), 'num_classes', None)

    def towers(self) -> dict[str, Tower]:
        """The backbone."""
        layers = {path: _submodule(self.model, path) for path in CLASSIFIER_HEADS}
        heads = {CLASSIFIER_HEADS[path]: path for path, layer in layers.items() if layer}
        embeddings, dims = None, 0
        if 'head' in heads:
            embeddings = FeatureSource(heads['head'], _hidden_states, from_inputs=True)
            dims = layers[heads['head']].in_features
        tower = Tower('backbone', self.model.backbone, IMAGES, heads, embeddings, dims)
        return {'backbone': tower}

    def logits_source(self) -> FeatureSource:
        """Output of the head, (B, classes)."""
        if getattr(self.model, 'head', None) is None:
            raise UserError(
                f'{type(self.model).__name__} has no head, so there are no logits to compare: give '
                'it one, or choose a distiller without a logits term.'
            )
        return FeatureSource('head', _as_it_is)

    @property
    def takes_clips(self) -> bool:
        """Whether the backbone takes them."""
        return layout_of(self.model.backbone).takes_clips


def view_of(model: nn.Module) -> ModelView:
    """The view of a model: itself if it is a ``ModelView``, else that of a classifier."""
    return model if isinstance(model, ModelView) else ClassifierView(model)


def towers_of(model: nn.Module) -> dict[str, Tower]:
    """The towers of a model in depth order; a classifier has one, its ``backbone``."""
    return view_of(model).towers()


def _submodule(model: Any, path: str) -> Any:
    """The module at ``path``; None if there is none."""
    for name in path.split('.'):
        model = getattr(model, name, None)
    return model


def _hidden_states(inputs: CallInputs, tokens: None) -> Tensor:
    return inputs.hidden_states


def _as_it_is(output: Tensor, tokens: None) -> Tensor:
    return output
