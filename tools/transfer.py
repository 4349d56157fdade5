"""Turn a trained Transformer into a Mamba, on your own images.

Reads the images and the teacher, chooses the settings, writes them as configs, trains the teacher's
head if your classes are not its own, then the student, and draws a report. If it is interrupted,
the same command continues.

Examples:
    python tools/transfer.py --data my_photos --teacher timm/deit_small_patch16_224.fb_in1k \\
        --student vim-small --out work_dirs/mine
    python tools/transfer.py --data table.csv --teacher google/vit-base-patch16-224 \\
        --student swap --out work_dirs/swapped --epochs 20 --dry-run
"""

import argparse
from pathlib import Path

from rich.console import Console

from transmamba_mm.convert.teachers import read_pretrained
from transmamba_mm.datasets.image_list import list_images
from transmamba_mm.launch.cli import HelpFormatter, run
from transmamba_mm.own_data.check import check_images
from transmamba_mm.own_data.configs import write_configs
from transmamba_mm.own_data.plan import TransferPlan, choose
from transmamba_mm.own_data.report import write_report
from transmamba_mm.own_data.students import build_backbone_config
from transmamba_mm.study.job_pool import run_jobs
from transmamba_mm.study.training_job import TrainingJob


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument(
        '--data', required=True, help='folder of CLASS/*.jpg, perhaps below train, val, test; .csv'
    )
    parser.add_argument(
        '--teacher', required=True, help='timm/NAME or another name on the hub, a folder or a file'
    )
    parser.add_argument(
        '--student', required=True, help='vim-small, vmamba-tiny, ... or swap: the teacher itself'
    )
    parser.add_argument('--out', required=True, help='folder for configs, checkpoints and report')
    parser.add_argument('--size', type=int, help="side of the images; default: the teacher's")
    parser.add_argument('--method', help='of configs/_base_/methods; default: wsab, staged of swap')
    parser.add_argument('--epochs', type=int, help='default: enough for 2,000 steps')
    parser.add_argument('--batch-size', type=int, help='default: 32')
    parser.add_argument(
        '--teacher-epochs', type=int, help="of the teacher's head; default: enough for 500 steps"
    )
    parser.add_argument('--dry-run', action='store_true', help='stop before anything is trained')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Check, choose, write, train, report."""
    args = parse_args(argv)
    console = Console(highlight=False, soft_wrap=True)
    images = list_images(args.data)
    for line in check_images(images).lines():
        console.print(line, markup=False)
    plan = plan_of(args, images)
    backbone = plan.teacher.model['backbone']['type'].rpartition('.')[2]
    console.print(
        f'Teacher: {backbone} of {plan.teacher.library}, {plan.teacher.num_classes or "no"} '
        f'classes, {plan.teacher.img_size[0]} pixels. Student: {plan.student}.',
        markup=False,
    )
    for line in plan.lines():
        console.print(line, markup=False)
    out = Path(args.out)
    teacher, student = write_configs(plan, out)
    console.print(f'Configs: {", ".join(str(file) for file in (teacher, student) if file)}')
    if args.dry_run:
        console.print('Nothing was trained. Train with the same command without --dry-run.')
        return
    results: dict[str, dict] = {}
    jobs = [] if teacher is None else [job('teacher', teacher, out, plan.teacher_steps)]
    needs = 'teacher' if jobs else None
    jobs.append(job('student', student, out, plan.steps, needs))
    run_jobs(jobs, results.__setitem__, workers=1, console=console, threads=None)
    for line in write_report(plan, out, results):
        console.print(line, markup=False)


def plan_of(args: argparse.Namespace, images) -> TransferPlan:
    """The settings that the command line gives, the others chosen."""
    teacher = read_pretrained(args.teacher)
    size = args.size or teacher.img_size[0]
    _, width = build_backbone_config(args.student, size, teacher)
    return choose(
        images,
        teacher,
        args.student,
        width,
        size=args.size,
        method=args.method,
        epochs=args.epochs,
        batch_size=args.batch_size,
        teacher_epochs=args.teacher_epochs,
    )


def job(name: str, config: Path, out: Path, steps: int, needs: str | None = None) -> TrainingJob:
    """A training of a config that was written."""
    return TrainingJob(name, str(config), str(out / name), steps, needs=needs)


if __name__ == '__main__':
    run(main)
