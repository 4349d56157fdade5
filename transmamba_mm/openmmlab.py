"""The two families of OpenMMLab distributions, and a message where neither is installed."""

from importlib.util import find_spec

MODULES = ('mmengine', 'mmcv', 'mmpretrain')
#: What installs each family; the same as in requirements/mminstall.txt and mminstall-upstream.txt.
MAINTAINED = ('onedl-mmengine>=0.10.12', 'onedl-mmcv>=2.3.6', 'onedl-mmpretrain>=1.3.6')
UPSTREAM = ('mmengine==0.10.7', 'mmcv-lite==2.2.0', 'mmpretrain==1.2.0', 'setuptools<81')


def missing_message() -> str:
    """Name the missing packages and how to install them, or ''. Imports none of them."""
    missing = [name for name in MODULES if find_spec(name) is None]
    if not missing:
        return ''
    maintained, upstream = (
        'pip install ' + ' '.join(f"'{requirement}'" for requirement in family)
        for family in (MAINTAINED, UPSTREAM)
    )
    return (
        f'{", ".join(missing)} cannot be imported: only transmamba_mm.ops works without OpenMMLab. '
        'Two families of distributions provide these modules. Install one, never both in one '
        f'environment:\n  maintained: {maintained}\n  upstream:   {upstream}'
    )
