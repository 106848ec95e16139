"""The bi-encoder gives the vectors of transformers and sentence-transformers, whatever the architecture and the batch."""

import json
import threading

import numpy as np
import pytest
import torch
from torch import nn

from ltr.batch import TokenRows, TwinLists
from ltr.data.tokens.twins import _tell_of_doubled, behind
from ltr.errors import ConfigError
from ltr.scorers import BiEncoder, load_scorer
from ltr.settings import TwinSettings
from tests.packing import needs_packing
from tests.tiny_model import save_tiny

TEXTS = ["how to join two paths", "sort", "", "read a file and write the list of paths, " * 9, "split the string"]
SETTINGS = TwinSettings(60, 30)


def rows_of(model: BiEncoder, texts=TEXTS, queries=False) -> TokenRows:
    reader = model.reader(SETTINGS)
    return reader.queries(texts) if queries else reader.docs(texts)


def one_by_one(model: BiEncoder, rows: TokenRows) -> torch.Tensor:
    """Each text alone, without padding, by transformers' own call."""
    found = []
    for start, end in zip(rows.offsets[:-1], rows.offsets[1:], strict=True):
        states = model.network(input_ids=rows.ids[None, start:end]).last_hidden_state[0].float()
        found.append({"mean": states.mean(0), "first": states[0], "last": states[-1]}[model.pooling])
    vectors = torch.stack(found)
    return nn.functional.normalize(vectors, dim=-1) if model.similarity == "cos" else vectors


@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "mpnet", "modernbert"])
def test_vectors_are_those_of_each_text_alone(tmp_path, kind, pooling):
    folder = save_tiny(tmp_path / "m", kind)
    for similarity in ("cos", "dot"):
        model = BiEncoder(str(folder), pooling, similarity, batch_tokens=40).eval()
        with torch.no_grad():
            rows = rows_of(model)
            torch.testing.assert_close(model.encode_docs(rows), one_by_one(model, rows), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("similarity", ["cos", "dot"])
@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_sentence_transformers_opens_what_is_saved(tiny_model, tmp_path, pooling, similarity):
    theirs = pytest.importorskip("sentence_transformers")
    model = BiEncoder(str(tiny_model), pooling, similarity, query_prompt="query: ", doc_prompt="the text: ").eval()
    model.save(tmp_path / "saved", TwinSettings(40, 40))
    other = theirs.SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    again = load_scorer(tmp_path / "saved")
    assert (again.pooling, again.similarity, again.prompts) == (pooling, similarity, model.prompts)
    reader = again.reader(TwinSettings.read(tmp_path / "saved"))
    with torch.no_grad():
        queries, docs = again.encode_queries(reader.queries(TEXTS)), again.encode_docs(reader.docs(TEXTS))
    np.testing.assert_allclose(queries, other.encode_query(TEXTS), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(docs, other.encode_document(TEXTS), rtol=1e-5, atol=1e-5)
    assert not np.allclose(queries, docs, atol=1e-2)
    assert other.similarity_fn_name == {"cos": "cosine", "dot": "dot"}[similarity]


@pytest.mark.parametrize("mode", ["mean", "cls", "lasttoken"])
def test_what_sentence_transformers_saved_is_opened(tiny_model, tmp_path, mode):
    theirs = pytest.importorskip("sentence_transformers")
    pytest.importorskip(
        "sentence_transformers.base.modules.normalize", reason="sentence-transformers 5 has them elsewhere"
    )
    from sentence_transformers.base.modules.normalize import Normalize
    from sentence_transformers.base.modules.transformer import Transformer
    from sentence_transformers.sentence_transformer.modules.pooling import Pooling

    parts = [Transformer(str(tiny_model), max_seq_length=32), Pooling(32, pooling_mode=mode), Normalize()]
    other = theirs.SentenceTransformer(modules=parts, device="cpu", prompts={"query": "what is ", "passage": "a "})
    other.save(str(tmp_path / "theirs"))
    model = load_scorer(tmp_path / "theirs")
    assert isinstance(model, BiEncoder)
    assert (model.similarity, *model.prompts) == ("cos", "what is ", "a ")
    settings = model.usual_settings()
    assert (settings.max_length, settings.max_query_length) == (32, 32)
    with torch.no_grad():
        found = model.encode_queries(model.reader(settings).queries(TEXTS))
    np.testing.assert_allclose(found, other.encode_query(TEXTS), rtol=1e-5, atol=1e-5)


def test_vectors_that_sentence_transformers_cuts_are_cut(tiny_model, tmp_path):
    """``truncate_dim`` of a folder holds for every way to the vectors, and for what is saved again."""
    theirs = pytest.importorskip("sentence_transformers")
    BiEncoder(str(tiny_model)).save(tmp_path / "own", SETTINGS)
    spoilt(tmp_path / "own", "config_sentence_transformers.json", lambda c: c.update(truncate_dim=8))
    model = load_scorer(tmp_path / "own")
    model.save(tmp_path / "again", SETTINGS)
    for folder in ("own", "again"):
        other = theirs.SentenceTransformer(str(tmp_path / folder), device="cpu")
        wanted = other.similarity(other.encode_document(TEXTS), other.encode_document(TEXTS))
        opened = load_scorer(tmp_path / folder)
        with torch.no_grad():
            for one in (opened, opened.for_scoring(torch.device("cpu"), "32")):
                found = one.encode_docs(rows_of(one))
                assert found.shape == (len(TEXTS), 8)
                torch.testing.assert_close(found @ found.T, wanted, rtol=1e-4, atol=1e-5)
    with pytest.raises(ConfigError, match="widths must lie from 1 to below 8"):
        BiEncoder(str(tmp_path / "own"), widths=[16])


@pytest.mark.parametrize("name", ["euclidean", "manhattan"])
def test_a_similarity_that_ltr_does_not_have_is_refused(tiny_model, tmp_path, name):
    BiEncoder(str(tiny_model), similarity="dot").save(tmp_path / "own", SETTINGS)
    spoilt(tmp_path / "own", "config_sentence_transformers.json", lambda c: c.update(similarity_fn_name=name))
    with pytest.raises(ConfigError, match=f"compares its vectors by {name} .similarity_fn_name., which would put"):
        BiEncoder(str(tmp_path / "own"))
    assert BiEncoder(str(tmp_path / "own"), similarity="dot").similarity == "dot"
    # vectors of length 1 stand in the same order by their distance
    BiEncoder(str(tiny_model), similarity="cos").save(tmp_path / "cos", SETTINGS)
    spoilt(tmp_path / "cos", "config_sentence_transformers.json", lambda c: c.update(similarity_fn_name="euclidean"))
    assert BiEncoder(str(tmp_path / "cos")).similarity == "cos"


def lists_of(rows: list[list[int]], queries: TokenRows, docs: TokenRows) -> TwinLists:
    offsets = torch.tensor([0, *np.cumsum([len(own) for own in rows])])
    flat = torch.tensor([row for own in rows for row in own])
    return TwinLists(offsets, rows=flat, queries=queries, docs=docs)


@needs_packing  # padded, more numbers are seen than there are tokens
def test_scores_are_products_and_no_row_is_encoded_twice(tiny_model):
    model = BiEncoder(str(tiny_model), scaled=True).eval()
    with torch.no_grad():
        model.shift.fill_(0.5)
    queries, docs = rows_of(model, TEXTS[:3], queries=True), rows_of(model)
    seen = []
    model.network.embeddings.register_forward_pre_hook(
        lambda m, a, k: seen.append(k["input_ids"].numel()), with_kwargs=True
    )
    with torch.no_grad():
        scores = model(lists_of([[0, 1, 2, 3, 4], [4, 0], [1]], queries, docs))
    assert sum(seen) == queries.ids.numel() + docs.ids.numel()
    products = 20 * one_by_one(model, queries) @ one_by_one(model, docs).T + 0.5
    torch.testing.assert_close(scores[0], products[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        scores[1], torch.stack([products[1, 4], products[1, 0], *torch.zeros(3)]), rtol=1e-5, atol=1e-5
    )
    assert scores[2].count_nonzero() == 1


def test_saved_scale_and_shift_come_back(tiny_model, tmp_path):
    model = BiEncoder(str(tiny_model), scaled=True)
    with torch.no_grad():
        model.shift.fill_(-2.0)
        model.log_scale.fill_(1.5)
    model.save(tmp_path / "saved", SETTINGS)
    again = load_scorer(tmp_path / "saved")
    assert (again.shift.item(), again.log_scale.item()) == (-2.0, 1.5)
    assert (
        "TokenizersBackend" not in (tmp_path / "saved" / "tokenizer_config.json").read_text()
    )  # of transformers 5 alone
    fresh = BiEncoder(str(tiny_model), scaled=True)
    fresh.take_weights(tmp_path / "saved")
    assert (fresh.shift.item(), fresh.log_scale.item()) == (-2.0, 1.5)
    assert {name: len(own) for name, own in again.parts().items()}["head"] == 2


def test_scale_and_shift_start_where_one_says_unless_the_model_brings_its_own(tiny_model, tmp_path):
    model = BiEncoder(str(tiny_model), scaled=[5.0, -3.0])
    assert (model.log_scale.exp().item(), model.shift.item()) == (pytest.approx(5.0), -3.0)
    model.save(tmp_path / "saved", SETTINGS)
    again = BiEncoder(str(tmp_path / "saved"), scaled=[2.0, 1.0])
    assert (again.log_scale.item(), again.shift.item()) == (model.log_scale.item(), -3.0)


@pytest.mark.parametrize("scaled", [[5.0], [0.0, 1.0], [1.0, float("nan")], [1.0, 2.0, 3.0]])
def test_a_scale_that_is_none_is_refused(tiny_model, scaled):
    with pytest.raises(ConfigError, match="BiEncoder: scaled is true, false, or the scale and the shift to start at"):
        BiEncoder(str(tiny_model), scaled=scaled)


@pytest.mark.parametrize("chunk", [1, 7, 20])
def test_cached_gradients_are_the_true_ones_with_dropout_replayed(tiny_model, chunk):
    """Dense = cached, dropout on: the same chunks draw the same numbers; the temperature (scale) is kept."""
    texts = [" ".join(TEXTS[0].split()[: 1 + i % 5]) for i in range(20)]
    found = {}
    for cached in (False, True):
        model = BiEncoder(str(tiny_model), dropout=0.3, scaled=True, checkpointing=cached, batch_docs=chunk).train()
        queries, docs = rows_of(model, texts, queries=True), rows_of(model, texts)
        torch.manual_seed(5)
        scores = model.scaled(model.encode_queries(queries)) @ model.encode_docs(docs).T
        nn.functional.cross_entropy(scores, torch.arange(20)).backward()
        found[cached] = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert found[True].keys() == found[False].keys()
    assert "log_scale" in found[True]
    for name, gradient in found[True].items():
        torch.testing.assert_close(gradient, found[False][name], rtol=1e-5, atol=1e-5)


def test_chunks_of_1_7_and_all_agree_without_dropout(tiny_model):
    found = []
    for chunk in (1, 7, 20):
        model = BiEncoder(str(tiny_model), dropout=0.0, checkpointing=True, batch_docs=chunk).train()
        rows = rows_of(model, TEXTS * 4)
        vectors = model.encode_docs(rows)
        (vectors @ vectors.T).exp().mean().backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[0], found[2], rtol=1e-5, atol=1e-5)


def test_threads_may_encode_at_once(tiny_model):
    model = BiEncoder(str(tiny_model), batch_tokens=30).eval()
    rows = rows_of(model)
    with torch.no_grad():
        wanted = model.encode_docs(rows)
    found = {}

    def work(i):
        with torch.no_grad():
            found[i] = model.encode_docs(rows)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert all(torch.equal(found[i], wanted) for i in range(4))


@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_what_encodes_on_a_cpu_gives_the_same_vectors(tmp_path, kind, pooling):
    model = BiEncoder(str(save_tiny(tmp_path / "m", kind)), pooling, scaled=True).eval()
    queries, docs = rows_of(model, TEXTS[:3], queries=True), rows_of(model)
    batch = lists_of([[0, 1, 2, 3, 4], [4, 0], [1]], queries, docs)
    quick = model.for_scoring(torch.device("cpu"), "32")
    assert (type(quick).__name__, quick.computes_in, quick.dim) == ("FusedBiEncoder", "float32", 32)
    assert quick.for_scoring(torch.device("cpu"), "auto") is quick
    with torch.no_grad():
        torch.testing.assert_close(quick.encode_docs(docs), model.encode_docs(docs), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(quick(batch), model(batch), rtol=1e-4, atol=1e-4)
        assert quick.encode_queries(TokenRows()).shape == (0, 32)
        low = model.for_scoring(torch.device("cpu"), "bf16").encode_docs(docs)
    assert low.dtype == torch.float32
    assert (low * quick.encode_docs(docs)).sum(-1).min() > 0.99
    with pytest.raises(
        ConfigError, match="FusedBiEncoder: was made for the CPU in precision 32 and cannot become bf16"
    ):
        quick.for_scoring(torch.device("cpu"), "bf16")


def test_architectures_without_fused_layers_are_lowered_whole(tmp_path):
    model = BiEncoder(str(save_tiny(tmp_path / "m", "mpnet"))).eval()
    assert model.for_scoring(torch.device("cpu"), "32") is model
    low = model.for_scoring(torch.device("cpu"), "bf16")
    assert low.computes_in == "bfloat16"
    rows = rows_of(model)
    with torch.no_grad():
        assert (low.encode_docs(rows) * model.encode_docs(rows)).sum(-1).min() > 0.98


def test_no_texts_give_no_vectors(tiny_model):
    model = BiEncoder(str(tiny_model)).eval()
    assert model.encode_docs(TokenRows()).shape == (0, 32)


def spoilt(folder, name, change):
    path = folder / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
@pytest.mark.parametrize("kind", ["bert", "mpnet", "llama"])
def test_padding_side_batch_size_and_pad_equal_to_the_end_change_no_vector(tmp_path, kind, pooling):
    """Packed, padded and causal: each text alone gives what all give together, however a tokenizer would pad."""
    folder = save_tiny(tmp_path / "m", kind)
    if kind != "mpnet":  # which counts positions from the padding mark
        for name in ("config.json", "tokenizer_config.json"):
            spoilt(
                folder, name, lambda c: c.update(pad_token_id=3) if "pad_token_id" in c else c.update(pad_token="[SEP]")
            )
        assert BiEncoder(str(folder)).config.pad_token_id == BiEncoder(str(folder)).tokenizer.pad_token_id == 3
    wanted, rows = None, None
    for side in ("right", "left"):
        spoilt(folder, "tokenizer_config.json", lambda c, side=side: c.update(padding_side=side))
        for sizes in ({}, {"batch_docs": 1}, {"batch_docs": 2}, {"batch_tokens": 7}):
            model = BiEncoder(str(folder), pooling, "dot", **sizes).eval()
            assert model.tokenizer.padding_side == side
            rows = rows_of(model)
            with torch.no_grad():
                wanted = one_by_one(model, rows) if wanted is None else wanted
                torch.testing.assert_close(model.encode_docs(rows), wanted, rtol=1e-5, atol=1e-5)
                ready = model.for_scoring(torch.device("cpu"), "32")
                torch.testing.assert_close(ready.encode_docs(rows), wanted, rtol=1e-5, atol=1e-5)


def test_each_side_has_its_own_prompt(tiny_model):
    """A query's prompt never stands before a document, nor the other way round."""
    prompted = BiEncoder(str(tiny_model), query_prompt="what is ", doc_prompt="the text ").eval()
    plain = BiEncoder(str(tiny_model)).eval()
    for queries, prompt in ((True, "what is "), (False, "the text ")):
        mine = rows_of(prompted, TEXTS, queries)
        theirs = rows_of(plain, [prompt + text for text in TEXTS], queries)
        assert mine.ids.tolist() == theirs.ids.tolist()
        assert mine.offsets.tolist() == theirs.offsets.tolist()


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["query: join two paths", "query:sort the list"], True),
        (["query: join two paths", "sort", "read"], False),
        (["join two paths", "query"], False),
        ([], False),
    ],
)
def test_texts_that_hold_their_prompt_already_are_told(tiny_model, caplog, texts, told):
    """As queries of E5 often stand in files: they were read behind it twice, without a word."""
    _tell_of_doubled.cache_clear()
    model = BiEncoder(str(tiny_model), query_prompt="query: ")
    reader = model.reader(SETTINGS)
    reader.queries(texts), reader.queries(texts), behind("query: ", lambda ids: texts)([])
    assert caplog.text.count("most texts begin with 'query: ' already") == told
    reader.docs(["query: x"])
    assert caplog.text.count("most texts begin with") == told


def test_folders_that_are_no_bi_encoder_are_refused(tiny_model, tmp_path):
    with pytest.raises(ConfigError, match=r"BiEncoder: .*is a cross-encoder \(BertForSequenceClassification\)"):
        BiEncoder(str(save_tiny(tmp_path / "cross", head=True)))
    BiEncoder(str(tiny_model), query_prompt="q ").save(tmp_path / "own", SETTINGS)
    own = str(tmp_path / "own")
    spoilt(tmp_path / "own", "1_Pooling/config.json", lambda c: c.update(include_prompt=False))
    with pytest.raises(ConfigError, match="leaves its prompts out of the pooling"):
        BiEncoder(own)
    spoilt(tmp_path / "own", "1_Pooling/config.json", lambda c: c.update(pooling_mode_max_tokens=True))
    with pytest.raises(ConfigError, match="pools by mean and max; ltr pools by mean, cls, lasttoken"):
        BiEncoder(own)
    spoilt(tmp_path / "own", "modules.json", lambda c: c[2].update(type="sentence_transformers.models.Dense"))
    with pytest.raises(ConfigError, match="has a module Dense; a bi-encoder is Transformer, Pooling"):
        BiEncoder(own)


@pytest.mark.parametrize("home", ["pylate.models.", "custom_st."])
def test_a_module_of_another_package_is_no_module_of_that_name(tiny_model, tmp_path, home):
    """Its prefixes, lengths and words are not known here, and were read past."""
    BiEncoder(str(tiny_model)).save(tmp_path / "own", SETTINGS)
    spoilt(tmp_path / "own", "modules.json", lambda c: c[1].update(type=f"{home}Pooling"))
    with pytest.raises(ConfigError, match=f"has a module {home}Pooling, which is not one of sentence-transformers"):
        BiEncoder(str(tmp_path / "own"))


def test_prompts_of_names_that_mean_nothing_here_are_told(tiny_model, tmp_path, caplog):
    BiEncoder(str(tiny_model)).save(tmp_path / "own", SETTINGS)
    own, facts = str(tmp_path / "own"), "config_sentence_transformers.json"
    spoilt(tmp_path / "own", facts, lambda c: c.update(prompts={"s2p_query": "Find: ", "s2s_query": "Like: ", "x": ""}))
    assert not any(BiEncoder(own).prompts)
    assert caplog.messages == [
        f"BiEncoder: {own} names its prompts s2p_query, s2s_query, none of them for queries (query) or documents (document, "
        "passage, corpus): texts are read without any; say with query_prompt and doc_prompt what stands before them, empty for "
        "nothing"
    ]
    caplog.clear()
    BiEncoder(own, query_prompt="")
    spoilt(tmp_path / "own", facts, lambda c: c["prompts"].update(query="what is "))
    assert BiEncoder(own).prompts.query == "what is "
    assert not caplog.messages


def test_a_prompt_of_documents_that_sentence_transformers_passes_over_is_told(tiny_model, tmp_path, caplog):
    """Its version 6 reads documents of such a folder without any prompt."""
    theirs = pytest.importorskip("sentence_transformers", minversion="5")
    BiEncoder(str(tiny_model)).save(tmp_path / "own", SETTINGS)
    own, facts = str(tmp_path / "own"), "config_sentence_transformers.json"
    spoilt(tmp_path / "own", facts, lambda c: c.update(prompts={"query": "what is ", "passage": "how to "}))
    model = BiEncoder(own).eval()
    assert model.prompts == ("what is ", "how to ")
    assert "names what stands before documents passage, and nothing 'document'" in caplog.text
    other = theirs.SentenceTransformer(own, device="cpu")
    with torch.no_grad():
        found = model.encode_docs(rows_of(model)).numpy()
    assert not np.allclose(found, other.encode_document(TEXTS), atol=1e-2)
    np.testing.assert_allclose(found, other.encode(TEXTS, prompt_name="passage"), rtol=1e-4, atol=1e-5)
    caplog.clear()
    assert BiEncoder(own, doc_prompt="how to ").prompts.doc == "how to "
    spoilt(tmp_path / "own", facts, lambda c: c.update(prompts={"query": "what is ", "document": "how to "}))
    assert BiEncoder(own).prompts.doc == "how to "
    assert not caplog.text


def test_settings_that_cannot_be_are_refused(tiny_model):
    with pytest.raises(ConfigError, match="BiEncoder: pooling must be one of mean, first, last, got 'max'"):
        BiEncoder(str(tiny_model), pooling="max")
    with pytest.raises(ConfigError, match="BiEncoder: widths must lie from 1 to below 32, all of a vector, got"):
        BiEncoder(str(tiny_model), widths=[64])
    with pytest.raises(ConfigError, match="BiEncoder: freeze_layers must be 0 to 2"):
        BiEncoder(str(tiny_model), freeze_layers=3)
    with pytest.raises(ConfigError, match="BiEncoder: batch_tokens and batch_docs must be at least 1"):
        BiEncoder(str(tiny_model), batch_docs=0)
    with pytest.raises(ConfigError, match=r"BiEncoder: .*reads at most 64 tokens, got texts of up to 65"):
        BiEncoder(str(tiny_model)).check_length(65)
    with pytest.raises(ConfigError, match="TwinSettings: max_length and max_query_length must be at least 1, got 0"):
        TwinSettings(0, 5)
    with pytest.raises(ConfigError, match="reads the beginning of a document, so that passages must be first, got max"):
        TwinSettings(60, 30, passages="max")
    with pytest.raises(ConfigError, match="max_query_length must be at least 3, since 2 special tokens"):
        BiEncoder(str(tiny_model)).reader(TwinSettings(60, 2))


@pytest.mark.parametrize(
    ("prompts", "name"), [(("the best query ", ""), "max_query_length"), (("", "the best document "), "max_length")]
)
def test_a_prompt_that_fills_the_length_is_refused(tiny_model, tiny_folder, prompts, name):
    """Nothing of any text would be read, and all vectors would be one."""
    from ltr.data import TextData
    from ltr.settings import Prompts

    sentence = f"{name} must be above 5: the prompt '{' '.join(prompts).strip()} ' takes 3 tokens, and 2 special tokens stand around"
    model = BiEncoder(str(tiny_model), query_prompt=prompts[0], doc_prompt=prompts[1])
    with pytest.raises(ConfigError, match=sentence):
        model.reader(TwinSettings(5, 5))
    model.reader(TwinSettings(6, 6))
    data = TextData(train=f"{tiny_folder}/train", max_length=5, max_query_length=5)
    data.tokenizer, data.apart = str(tiny_model), Prompts(*prompts)
    with pytest.raises(ConfigError, match=sentence):
        data.prepare_data()
