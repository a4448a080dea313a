"""`python -m run up` and `python -m run demo`."""

import signal
import sys


def _main() -> int:
    # Until the first signal has a meaning, Ctrl-C ends us as it ends any program: without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from run.cli import main
    from settings.lifetime import set_limits

    set_limits()
    return main(sys.argv[1:])


sys.exit(_main())
