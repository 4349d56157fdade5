"""Common code of the command-line tools: one message instead of a traceback."""

import argparse
import os
import sys
from collections.abc import Callable

from mmengine.config import DictAction

from transmamba_mm import compat
from transmamba_mm.launch.explain import explain
from transmamba_mm.launch.full_disk import drop_output, stop_on_full_disk

#: Environment variable that prints the traceback behind a message.
TRACEBACK = 'TRANSMAMBA_TRACEBACK'


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keep the lines of the description, and end the help of an argument with its default."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = action.help or '', action.default
        if default is None or default is False or default in ([], {}, argparse.SUPPRESS):
            return text
        if 'default' in text.lower():
            return text
        values = default if isinstance(default, list | tuple) else [default]
        return f'{text} (default: {" ".join(map(str, values))})'


class ConfigOptions(DictAction):
    """The KEY=VALUE pairs of ``--cfg-options``."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Reject a pair without a value by its name."""
        for pair in values:
            if not pair.partition('=')[1]:
                parser.error(f'{option_string} {pair}: it has no value. Write {pair}=VALUE.')
        super().__call__(parser, namespace, values, option_string)


def add_config_options(parser: argparse.ArgumentParser, example: str = '') -> None:
    """Declare ``--cfg-options``; ``example`` follows its help."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        default={},
        help=f'override entries of the config{example}',
    )


def run(main: Callable[[], None]) -> None:
    """Call ``main``; an error the user can fix becomes one message and exit code 1.

    Anything else is a bug of ours and keeps its traceback.
    """
    if hasattr(sys.stdout, 'reconfigure'):  # a name or a frame that a terminal cannot show
        sys.stdout.reconfigure(errors='backslashreplace')
    stop_on_full_disk()
    try:
        main()
        sys.stdout.flush()
        compat.leave_cpu_launch()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader of the output closed it, as head does
        drop_output()
        sys.exit(1)
    except Exception as error:
        message = explain(error)
        if message is None or os.environ.get(TRACEBACK):
            raise
        drop_output()
        sys.exit(f'error: {message}')
