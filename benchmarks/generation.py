"""How fast does a Mamba language model generate? MambaLM against transformers' own path.

Both have the same weights and take turns; the best of the rounds counts. "total" is new tokens per
second of a whole ``generate`` call, the prompt included; "prompt" is what of it passes before the
first new token. The greedy output of both must be identical, or this stops.

Examples:
    python -m benchmarks.generation
    python -m benchmarks.generation --checkpoint state-spaces/mamba-130m-hf --batch 4
"""

import argparse
import time
from collections.abc import Callable

import torch
import transformers
from rich.console import Console
from rich.table import Table
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.launch.cli import HelpFormatter, run
from transmamba_mm.models.hf import MambaLM


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.generation', description=__doc__, formatter_class=HelpFormatter
    )
    parser.add_argument('--checkpoint', help='folder or hub name; default: random weights')
    parser.add_argument('--hidden-size', type=int, default=256, help='of random weights')
    parser.add_argument('--layers', type=int, default=8, help='of random weights')
    parser.add_argument('--vocab-size', type=int, default=4096, help='of random weights')
    parser.add_argument(
        '--prompts', type=int, nargs='+', default=[16, 128, 512], metavar='TOKENS', help='lengths'
    )
    parser.add_argument('--new-tokens', type=int, default=64, help='written after each')
    parser.add_argument('--batch', type=int, default=1, help='prompts at once')
    parser.add_argument('--rounds', type=int, default=3, help='the best one counts')
    parser.add_argument('--threads', type=int, help='default: as torch chooses')
    return parser.parse_args(argv)


def build_pair(args: argparse.Namespace) -> dict[str, transformers.MambaForCausalLM]:
    """Ours and transformers' own on the very same tensors, in float32."""
    if args.checkpoint:
        ours = MambaLM(checkpoint=args.checkpoint, dtype=torch.float32)
    else:
        torch.manual_seed(0)
        ours = MambaLM(
            {
                'hidden_size': args.hidden_size,
                'num_hidden_layers': args.layers,
                'vocab_size': args.vocab_size,
            }
        )
    with torch.device('meta'):
        theirs = transformers.MambaForCausalLM(ours.config)
    theirs.load_state_dict(ours.state_dict(), assign=True)
    return {'transformers': theirs.eval(), 'ours': ours.eval()}


def generate(model: transformers.MambaForCausalLM, prompt: Tensor, new_tokens: int) -> Tensor:
    """Greedy continuation of (B, L), never stopping early: (B, L + new_tokens)."""
    return model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        do_sample=False,
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        pad_token_id=0,
    )


def seconds(call: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(
    models: dict[str, transformers.MambaForCausalLM], prompt: Tensor, new_tokens: int, rounds: int
) -> dict[str, tuple[float, float]]:
    """Seconds of (prompt, all) of each model, the best of interleaved rounds."""
    outputs = [generate(model, prompt, new_tokens) for model in models.values()]  # warm up as well
    if not torch.equal(*outputs):
        first = int((outputs[0] != outputs[1]).any(0).nonzero()[0]) - prompt.shape[1]
        raise UserError(
            f'After a prompt of {prompt.shape[1]} tokens the greedy outputs differ from new token '
            f'{first} on: a near tie of two logits, or a mistake. Compare the logits there.'
        )
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            with torch.inference_mode():
                first = seconds(lambda model=model: model(prompt, logits_to_keep=1))
            whole = seconds(lambda model=model: generate(model, prompt, new_tokens))
            times[name].append((first, whole))
    return {name: tuple(map(min, zip(*pairs, strict=True))) for name, pairs in times.items()}


def main(argv: list[str] | None = None) -> None:
    """Measure every prompt length and print the table."""
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    transformers.logging.set_verbosity_error()
    models = build_pair(args)
    config = models['ours'].config
    table = Table(
        'prompt tokens', 'model', 'prompt, ms', 'total, tokens/s', 'times transformers', box=None
    )
    console = Console()
    for length in args.prompts:
        prompt = torch.randint(1, config.vocab_size, (args.batch, length))
        with console.status(f'prompt of {length} tokens'):
            best = measure(models, prompt, args.new_tokens, args.rounds)
        for name, (first, whole) in best.items():
            table.add_row(
                str(length),
                name,
                f'{1e3 * first:.1f}',
                f'{args.batch * args.new_tokens / whole:.1f}',
                f'{best["transformers"][1] / whole:.2f}',
            )
    console.print(table)
    parameters = sum(p.numel() for p in models['ours'].parameters()) / 1e6
    console.print(
        f'\n{parameters:.1f} M parameters, batch {args.batch}, {args.new_tokens} new tokens, '
        f'{torch.get_num_threads()} threads, transformers {transformers.__version__}; '
        'identical greedy output.'
    )


if __name__ == '__main__':
    run(main)
