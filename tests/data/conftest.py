from tests.data.text_data import data, folder, tokenizer  # noqa: F401
