"""Installs ``transmamba_mm`` and, inside it, the OpenMMLab extension folder ``.mim``."""

import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
PACKAGE = 'transmamba_mm'


def requirements(name: str) -> list[str]:
    """Read ``requirements/<name>.txt`` without comments."""
    text = (ROOT / f'requirements/{name}.txt').read_text()
    lines = (line.partition('#')[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


class BuildWithMim(build_py):
    """Puts configs, tools and model-index.yml where mmengine and mim look: ``<package>/.mim``.

    A wheel gets copies; an editable install gets links, so that edits are seen at once.
    """

    def run(self):
        super().run()
        mim = (
            ROOT / PACKAGE / '.mim' if self.editable_mode else Path(self.build_lib, PACKAGE, '.mim')
        )
        shutil.rmtree(mim, ignore_errors=True)
        mim.mkdir(parents=True)
        for name in ('configs', 'tools', 'model-index.yml'):
            if self.editable_mode:
                os.symlink(Path('../..', name), mim / name)
            elif (ROOT / name).is_dir():
                shutil.copytree(
                    ROOT / name, mim / name, ignore=shutil.ignore_patterns('__pycache__')
                )
            else:
                shutil.copy(ROOT / name, mim / name)


def version() -> str:
    """Execute version.py alone: importing the package would need its dependencies."""
    scope: dict = {}
    exec((ROOT / PACKAGE / 'version.py').read_text(), scope)
    return scope['__version__']


setup(
    name='transmamba-mm',
    version=version(),
    description='Turn a trained Transformer into a Mamba (TransMamba) with OpenMMLab',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author='The TransMamba-MM authors',
    license='Apache-2.0',
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: OS Independent',
        *(f'Programming Language :: Python :: 3.{minor}' for minor in (10, 11, 12, 13)),
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Typing :: Typed',
    ],
    python_requires='>=3.10',
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    package_data={PACKAGE: ['ops/csrc/*', 'py.typed']},
    cmdclass={'build_py': BuildWithMim},
    install_requires=requirements('runtime'),
    # mmengine, mmcv and mmpretrain exist as two families of distributions with the same import
    # names; installing one over the other breaks both, so the choice stays the user's
    extras_require={name: requirements(name) for name in ('cuda', 'tests', 'lint')},
    zip_safe=False,
)
