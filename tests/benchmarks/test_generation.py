"""The benchmark of language models runs; its numbers are for people."""

from tests.tools.command_line import call_module


def test_both_models_are_measured(tmp_path):
    sizes = ['--hidden-size', '16', '--layers', '1', '--vocab-size', '40', '--new-tokens', '3']
    done = call_module(
        *('benchmarks.generation', *sizes, '--prompts', '2', '5', '--rounds', '1'),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('ours') == 2
    assert 'identical greedy output' in done.stdout
