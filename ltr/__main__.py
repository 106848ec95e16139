"""``python -m ltr`` is the ``ltr`` command."""

import sys

from ltr.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
