"""Export or compile the students of the command line as the first action of this process."""

import sys

import torch

from tests.models.backbones.graphs import images, student

# The captured graphs, forward and in the operators' fake forms, without generating code for them:
# what fails at another size fails here.
BACKEND = 'aot_eager'
#: Batch, height and width: that of the positions, where they are not resized, and two others.
SIZES = ((2, 32, 32), (3, 24, 40), (1, 48, 32))


def export(name: str) -> None:
    """Export with every size open: batch, height and width."""
    model, dim = student(name), torch.export.Dim
    sides = {-2: 4 * dim('rows', min=2, max=64), -1: 4 * dim('columns', min=2, max=64)}
    example = images(name, 3, 24, 40)
    dynamic = {0: dim('batch', max=64), **{example.dim() + i: side for i, side in sides.items()}}
    with torch.no_grad():
        program = torch.export.export(model, (example,), dynamic_shapes=(dynamic,))
        compare(name, program.module(), model)


def compiled(name: str) -> None:
    """Compile into one graph, and again for another size."""
    model = student(name)
    with torch.no_grad():
        compare(name, torch.compile(model, fullgraph=True, backend=BACKEND), model)


def many_sizes(name: str) -> None:
    """Compile at more sizes than torch makes graphs of one function, which are eight."""
    model = student(name)
    sizes = [(2, 4 * side, 4 * side) for side in range(4, 15)]
    with torch.no_grad():
        compare(name, torch.compile(model, fullgraph=True, backend=BACKEND), model, sizes)


def compare(name: str, graph, model, sizes=SIZES) -> None:
    """The graph gives at each of the sizes what the model gives."""
    for size in sizes:
        found, expected = graph(images(name, *size)), model(images(name, *size))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        print(name, size)


if __name__ == '__main__':
    how, *names = sys.argv[1:]
    for name in names:
        {'export': export, 'compile': compiled, 'many_sizes': many_sizes}[how](name)
