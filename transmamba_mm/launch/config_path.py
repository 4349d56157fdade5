"""Locate the config entry whose construction raised an error."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry

from transmamba_mm.launch.data_config import type_name
from transmamba_mm.launch.method import name_sources

#: Attribute of an error with the place of the part that raised it.
PLACE = 'config_place'
_build = Registry.build
_cfg: list[Config] = []


def name_parts_in_errors(cfg: Config) -> None:
    """Add the config path to every error of building a part of ``cfg`` in this process.

    The innermost part counts: of a model whose backbone fails, the backbone. With a method laid
    over the config its file is named, too. See :func:`place_of`.
    """
    _cfg[:] = [cfg]
    Registry.build = _build_and_name


def place_of(error: BaseException) -> str | None:
    """Place of the part that raised ``error``, as 'model.student.backbone (Vim)'; or None."""
    return getattr(error, PLACE, None)


def _build_and_name(self: Registry, cfg: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return _build(self, cfg, *args, **kwargs)
    except Exception as error:
        if not hasattr(error, PLACE) and isinstance(cfg, Mapping):
            setattr(error, PLACE, _describe(cfg))
        raise


def _describe(part: Mapping[str, Any]) -> str | None:
    cfg = _cfg[0]
    path = next((path for path, node in parts_of(cfg) if _became(node, part)), None)
    sources = '' if name_sources(cfg) == cfg.filename else f' of {name_sources(cfg)}'
    return path and f'{path} ({type_name(part)}){sources}'


def _became(node: Mapping[str, Any], part: Mapping[str, Any]) -> bool:
    """Whether ``part``, to which its builder may have added, was ``node`` of the config."""
    added = ('data_preprocessor', '_scope_')
    return node.get('type') == part.get('type') and all(
        key in added or (key in part and part[key] == value) for key, value in node.items()
    )


def parts_of(node: Any, above: str = '') -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every dict with a type below ``node`` and its dotted path."""
    items = node.items() if isinstance(node, (Mapping, Config)) else enumerate(node)
    for key, value in items:
        path = f'{above}.{key}' if above else str(key)
        if isinstance(value, Mapping) and 'type' in value:
            yield path, value
        if isinstance(value, (Mapping, list, tuple)):
            yield from parts_of(value, path)
