"""Train mutated configs for two steps, each in a process of its own, and judge what happened.

    python -m tests.configs.fuzz_runs FOLDER [COUNT] [SEED] [LEAVES]

prints how many mutants ended how: 'trains' (two steps, and the change had an effect), 'refused'
(one message, exit code 1), 'ignored' (no message and no effect), 'traceback', 'hangs',
'dies' (by a signal, or out of memory). A second call in the same folder continues: only mutants
that have not run yet, or ended badly, run.
"""

import gc
import importlib.util
import json
import os
import resource
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import mmengine.runner.runner
import torch
import yapf.yapflib.yapf_api
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from tests.configs.fuzz_digest import digest
from tests.configs.fuzz_mutations import Mutant, mutants
from tests.configs.runs import Run, load, run_id, runs_of
from transmamba_mm.datasets.make_moving_digits import make_moving_digits
from transmamba_mm.launch import cli
from transmamba_mm.ops.backends.select import select_backend
from transmamba_mm.registry import DATASETS, MODELS

ROOT = Path(__file__).parents[2]
CPU_SECONDS, SECONDS, GIGABYTES, SIDE_BY_SIDE = 20, 180, 8, 2
VERDICT = 'verdict.json'
COUNTS = {'train': 16, 'val': 8, 'test': 8}  # moving digits
#: Two steps on a few items; no validation, which is only built.
SHORT = """
_base_ = {leaf!r}
train_cfg = dict(max_iters=2, val_interval=4, val_begin=9)
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, start_factor=0.05, begin=0, end=1),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=1, end=2, eta_min=2e-5),
]
train_dataloader = dict(batch_size=4, num_workers=0{more})
val_dataloader = dict(num_workers=0, dataset=dict({few}){more})
"""
TEACHER = 'model = dict(teacher=dict(checkpoint={file!r}))\n'


def main(folder: str, count: str = '500', seed: str = '12', leaves: str = '*nano*') -> None:
    """Print the verdicts' counts; all verdicts go to ``folder``/verdicts.json."""
    root = Path(folder).resolve()
    root.mkdir(parents=True, exist_ok=True)
    os.chdir(root)
    configs = _write_configs(root, leaves)
    tool = _prepare_process()
    jobs = [(Mutant(name, 'nothing'), True) for name in configs]
    jobs += [(mutant, False) for mutant in mutants(configs, int(count), int(seed))]
    names = [f'plain-{name}' for name in configs]
    names += [f'{seed}-{number}' for number in range(int(count))]
    runs = [root / 'runs' / name for name in names]
    _run_all(tool, configs, dict(zip(runs, (mutant for mutant, _ in jobs), strict=True)))
    plain, verdicts, seconds = {}, [], 0.0
    for (mutant, is_plain), run in zip(jobs, runs, strict=True):
        ended = json.loads((run / VERDICT).read_text())
        verdict, said = ended['verdict'], ended['said']
        seconds += ended['seconds']
        if is_plain:
            assert verdict == 'trains', (mutant.leaf, verdict, said)
            plain[mutant.leaf] = said
            continue
        if verdict == 'trains' and mutant.writes and said == plain[mutant.leaf]:
            verdict = 'ignored'
        entry = {'run': run.name, 'verdict': verdict, **vars(mutant)}
        verdicts.append({**entry, 'said': '' if verdict == 'trains' else said})
    (root / 'verdicts.json').write_text(json.dumps(verdicts, indent=1))
    print(json.dumps(dict(Counter(entry['verdict'] for entry in verdicts))))
    print(f'{seconds:.0f} CPU seconds in {len(runs)} processes')


def _write_configs(root: Path, pattern: str) -> dict[str, Path]:
    """Each nano leaf, cut to two steps, with random weights for its teacher and real data."""
    for _ in make_moving_digits(root / 'data/moving_digits', COUNTS):
        pass
    configs = {}
    (root / '_base_').mkdir(exist_ok=True)
    for run in filter(_differs, runs_of(pattern)):
        name, (leaf, method) = run_id(run).replace('/', '-'), run
        cfg = load(run) if method else Config.fromfile(leaf)
        base = root / f'_base_/{name}.py' if method else leaf
        if method:
            cfg.dump(str(base))
        more = ', persistent_workers=False' if cfg.train_dataloader.get('num_workers') else ''
        # without the above val_begin a mutant validates: a few items, like those to train on
        few = 'indices=8' if 'EasyVQA' in cfg.val_dataloader.dataset.type else ''
        text = SHORT.format(leaf=str(base), more=more, few=few)
        if 'teacher' in cfg.model:
            file = root / f'{leaf.stem.split("_")[1]}_{cfg.model.student.type}.pth'
            _save_random(cfg.model.teacher.model, file)
            text += TEACHER.format(file=str(file))
        if cfg.model.get('vision_checkpoint'):
            text += 'model = dict(vision_checkpoint=None)\n'
        configs[name] = root / f'{name}.py'
        configs[name].write_text(text)
    return configs


def _differs(run: Run) -> bool:
    """Whether a run has no equivalent among those of another leaf."""
    leaf, method = run
    return method in (None, 'scratch', 'logits') or leaf.match('vim-*') or leaf.match('mambavqa-*')


def _save_random(model: ConfigDict, file: Path) -> None:
    if file.exists():
        return
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('transmamba_mm'):
        built = MODELS.build(
            {**model, 'vision_checkpoint': None} if 'vision_checkpoint' in model else model
        )
    torch.save({'state_dict': built.state_dict()}, file)


def _prepare_process() -> ModuleType:
    """Import all that a training imports, and skip steps that cost time and change nothing."""
    spec = importlib.util.spec_from_file_location('train_tool', ROOT / 'tools/train.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    torch.set_num_threads(1)
    select_backend('scan', 'auto', torch.device('cpu'), torch.float32)  # compiles it, once
    DATASETS.get('Digits')
    MODELS.get('Vim')
    import matplotlib.pyplot  # noqa: F401
    import sklearn.datasets  # noqa: F401
    import transformers.models.clip.modeling_clip
    import transformers.models.llama.modeling_llama
    import transformers.models.llava.modeling_llava  # noqa: F401

    environment = mmengine.runner.runner.collect_env()
    mmengine.runner.runner.collect_env = lambda: dict(environment)
    yapf.yapflib.yapf_api.FormatCode = lambda text, **_: (text, True)
    build = Runner.__init__

    def remember(self: Runner, *args: Any, **kwargs: Any) -> None:
        BUILT.append(self)
        build(self, *args, **kwargs)

    Runner.__init__ = remember
    gc.freeze()  # pages that no child has to copy
    return tool


BUILT: list[Runner] = []


def _run_all(tool: ModuleType, configs: dict[str, Path], jobs: dict[Path, Mutant]) -> None:
    """Train each mutant in its folder, and leave its verdict there."""
    running: dict[int, tuple[Path, float]] = {}
    waiting = [folder for folder in jobs if not _ended_well(folder)]
    while waiting or running:
        while waiting and len(running) < SIDE_BY_SIDE:
            folder = waiting.pop(0)
            shutil.rmtree(folder, ignore_errors=True)
            pid = os.fork()
            if pid == 0:
                _train(tool, folder, configs[jobs[folder].leaf], jobs[folder])
            running[pid] = folder, time.monotonic()
        for pid, (folder, since) in list(running.items()):
            late = time.monotonic() - since > SECONDS
            if late:
                os.kill(pid, signal.SIGKILL)
            ended, status, usage = os.wait4(pid, 0 if late else os.WNOHANG)
            if ended:
                del running[pid]
                verdict, said = _judge(folder, status, late)
                seconds = usage.ru_utime + usage.ru_stime
                entry = {'verdict': verdict, 'said': said, 'seconds': seconds}
                (folder / VERDICT).write_text(json.dumps(entry))
                shutil.rmtree(folder / 'work', ignore_errors=True)
        time.sleep(0.005)


def _ended_well(folder: Path) -> bool:
    """Whether a mutant has run before, and trained or was refused."""
    file = folder / VERDICT
    return file.exists() and json.loads(file.read_text())['verdict'] in ('trains', 'refused')


def _train(tool: ModuleType, folder: Path, base: Path, mutant: Mutant) -> None:
    """Be a process that trains a mutant; does not return."""
    try:
        folder.mkdir(parents=True)
        resource.setrlimit(resource.RLIMIT_AS, (GIGABYTES << 30, GIGABYTES << 30))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        output = os.open(folder / 'output', os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        config = base
        if mutant.text:
            config = folder / 'mutant.py'
            config.write_text(f'_base_ = {str(base)!r}\n{mutant.text}')
        options = ['--cfg-options', *mutant.options] if mutant.options else []
        sys.argv = ['train.py', str(config), '--work-dir', str(folder / 'work'), *options]
        code = 0
        try:
            cli.run(tool.main)
            (folder / 'digest').write_text(digest(BUILT[-1]))
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
            if not isinstance(stop.code, int) and stop.code is not None:
                print(stop.code, file=sys.stderr, flush=True)
        except BaseException:
            import traceback

            traceback.print_exc()
            code = 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _judge(folder: Path, status: int, late: bool) -> tuple[str, str]:
    output = (folder / 'output').read_text(errors='replace')
    if late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)):
        return 'hangs', output[-300:]
    if os.WIFSIGNALED(status):
        return 'dies', f'signal {os.WTERMSIG(status)}: {output[-300:]}'
    code = os.WEXITSTATUS(status)
    if code == 0:
        return 'trains', (folder / 'digest').read_text()
    message = output.rpartition('\nerror: ')[2] if '\nerror: ' in f'\n{output}' else ''
    if code == 1 and message and 'Traceback' not in output:
        return 'refused', message.strip()
    return 'traceback', '\n'.join(output.strip().splitlines()[-12:])


if __name__ == '__main__':
    main(*sys.argv[1:])
