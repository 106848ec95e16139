"""In place of the process that pydocs reads documentation in: that of a few modules, which takes no seconds."""

import sys

from ltr.data import docstrings

docstrings.STDLIB = (
    "os os.path shutil string re textwrap datetime collections itertools math random statistics argparse"
)
docstrings.STDLIB += " logging json csv zipfile threading subprocess pathlib typing ast email.message urllib.request"
docstrings.PACKAGES = {}

if __name__ == "__main__":
    docstrings.main(sys.argv[1])
