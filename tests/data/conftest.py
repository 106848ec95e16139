from tests.data.counting import counts  # noqa: F401
from tests.data.text_data import data, folder, teacher, tokenizer  # noqa: F401
