"""What tests ask of the transformers that is installed."""

import pytest
import transformers

#: from 5 on transformers hands the lengths of rows down to attention; with 4 rows are padded (``ltr.scorers.text.packed``)
PACKS = int(transformers.__version__.split(".")[0]) >= 5
needs_packing = pytest.mark.skipif(not PACKS, reason="transformers 4 does not pack")
#: folders whose tokenizers transformers 5 wrote, in words of its own
needs_new_tokenizers = pytest.mark.skipif(not PACKS, reason="transformers 4 knows no TokenizersBackend")
