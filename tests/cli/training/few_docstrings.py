"""In place of the process that pydocs reads documentation in: that of a few modules, which takes no seconds."""

import sys

from ltr.data.collections import docstrings

STDLIB = "os os.path shutil string re textwrap datetime collections itertools math random statistics argparse"
STDLIB += " logging json csv zipfile threading subprocess pathlib typing ast email.message urllib.request"


def main(out: str) -> None:
    # here and not on import: pytest imports this module too, in the processes where others are tested
    docstrings.STDLIB, docstrings.PACKAGES = STDLIB, {}
    docstrings.main(out)


if __name__ == "__main__":
    main(sys.argv[1])
