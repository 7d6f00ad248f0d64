"""Which layer embeds the ids: found by what it is given, or named; errors that list what there is."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.capture.isolation.context import quiescence
from saliency_callbacks.capture.text.embedding_layer import embed, find_embedding, receives
from saliency_callbacks.capture.text.settings import read_ids
from saliency_callbacks.errors import InputError, LayerError
from tests import texts


def found(model, given, embedding="auto", **options):
    with quiescence(model):
        return find_embedding(model, read_ids(given, **options), embedding).name


class Wrapped(nn.Module):
    """A model inside another, as in a LightningModule; dictionaries go to the model as keywords."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, **batch):
        return self.model(**batch)


class Channels(nn.Module):
    """Two tables of embeddings, as in a convolutional network with a static and a trained channel."""

    def __init__(self):
        super().__init__()
        self.static, self.trained = nn.Embedding(30, 4), nn.Embedding(30, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, tokens):
        return self.head((self.static(tokens) + self.trained(tokens)).sum(1))


class Positions(nn.Module):
    """Position and segment tables beside the words', inside a module that is given the ids as well."""

    class Embeddings(nn.Module):
        def __init__(self):
            super().__init__()
            self.position, self.segment, self.words = nn.Embedding(20, 4), nn.Embedding(2, 4), nn.Embedding(30, 4)

        def forward(self, ids):
            place = torch.arange(ids.shape[1])[None]
            return self.words(ids.clone()) + self.position(place) + self.segment(torch.zeros_like(ids))

    def __init__(self):
        super().__init__()
        self.embeddings = Positions.Embeddings()
        self.head = nn.Linear(4, 3)

    def forward(self, tokens):
        return self.head(self.embeddings(tokens).sum(1))


class Own(nn.Module):
    """A table that is no nn.Embedding."""

    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(30, 4))

        def forward(self, ids):
            return self.weight[ids]

    def __init__(self):
        super().__init__()
        self.table, self.head = Own.Table(), nn.Linear(4, 3)

    def forward(self, tokens):
        return self.head(self.table(tokens).sum(1))


class Summed(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag, self.head = nn.EmbeddingBag(30, 4), nn.Linear(4, 3)

    def forward(self, tokens):
        return self.head(self.bag(tokens))


class Shifted(texts.Bag):
    """Puts a token before every text."""

    def forward(self, tokens):
        return super().forward(torch.cat([torch.ones_like(tokens[:, :1]), tokens], 1))


class Image(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(7, 3)

    def forward(self, x):
        return self.head(x.float())


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (texts.Bag, "embedding"),
        (texts.Recurrent, "embedding"),
        (lambda: texts.Recurrent(sequence_first=False), "embedding"),
        (texts.Convolutional, "embedding"),
        (Positions, "embeddings.words"),
        (Own, "table"),
    ],
)
def test_found_by_what_it_is_given(make, expected):
    assert found(make(), texts.ids()) == expected


def test_found_in_bert_beside_positions_and_segments():
    model = Wrapped(texts.bert())
    assert found(model, texts.batch(texts.ids())) == "model.bert.embeddings.word_embeddings"
    # A single text whose ids are the positions.
    assert found(model, texts.batch(torch.arange(4)[None])) == "model.bert.embeddings.word_embeddings"


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")
def test_found_where_the_head_shares_its_weights():
    class Tied(texts.Bag):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, texts.VOCABULARY, bias=False)
            self.head.weight = self.embedding.weight

    model, tokens = Tied().double(), texts.ids()
    assert found(model, tokens) == "embedding"
    values = explain(model, tokens, methods="gradient_norm", target=9, embedding="auto")["gradient_norm"].values
    assert torch.equal(values[0, :, 0], model.embedding.weight[9].detach())


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")
@pytest.mark.parametrize("named", ["trained", lambda model: model.trained])
def test_several_are_listed_and_one_is_named(named):
    model = Channels().double()
    with pytest.raises(LayerError, match=r"2 layers .* \['static', 'trained'\]. Name the one .* `embedding=`"):
        found(model, texts.ids())
    chosen = named if isinstance(named, str) else named(model)
    assert found(model, texts.ids(), chosen) == "trained"
    values = explain(model, texts.ids(), methods="gradient_norm", target=2, embedding=chosen)["gradient_norm"].values
    assert torch.equal(values[0, :, 0], model.head.weight[2].detach())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Summed, r"bag \(EmbeddingBag\) returned \[1, 4\]\. nn.EmbeddingBag adds up .* use nn.Embedding and sum"),
        (Shifted, r"no layer of Shifted was given the ids .*: embedding was given \[1, 8\]"),
        (Image, r"no layer of Image was given the ids .* leave `embedding=` out for images"),
    ],
)
def test_none(make, message):
    with pytest.raises(LayerError, match=message):
        found(make(), texts.ids())


def test_a_layer_that_is_not_given_the_ids():
    options = {"methods": "gradient_norm", "target": 1}
    with pytest.raises(LayerError, match=r"'embeddings.position' \(Embedding\) was not given the ids \[4, 7\]"):
        explain(Positions(), texts.ids() % 20, embedding="embeddings.position", **options)
    with pytest.raises(LayerError, match=r"'head' \(Linear\)"):
        explain(texts.Bag(), texts.ids(), embedding="head", **options)
    with pytest.raises(LayerError, match=r"'bag' \(EmbeddingBag\) returned \[4, 4\] .* use nn.Embedding and sum"):
        explain(Summed(), texts.ids(), embedding="bag", **options)
    with pytest.raises(LayerError, match="has no layer 'embeding'; did you mean 'embedding'"):
        explain(texts.Bag(), texts.ids(), embedding="embeding", **options)
    with pytest.raises(LayerError, match="names 2 layers; expected"):
        explain(Channels(), texts.ids(), embedding=["static", "trained"], **options)


@pytest.mark.parametrize("embedding", ["auto", "embedding"])
@pytest.mark.parametrize("wrong", [30, -100])
def test_ids_that_the_layer_does_not_have(embedding, wrong):
    tokens = texts.ids()
    tokens[0, 3] = wrong
    with pytest.raises(InputError, match=rf"the id {wrong}, but embedding layer 'embedding' has 30 \(0 to 29\)"):
        found(texts.Bag(), tokens, embedding)


def test_receives():
    tokens = texts.ids(3, 5)
    assert receives((tokens.int(),), {}, tokens) == "batch_first"
    assert receives((), {"input": tokens.t()}, tokens) == "sequence_first"
    assert receives((torch.rand(3, 5), tokens), {}, tokens) is None
    assert receives((tokens + 1,), {}, tokens) is None
    assert receives((), {}, tokens) is None


def test_ids_that_equal_their_transpose_are_given_as_the_layer_is():
    tokens = torch.tensor([[5, 6], [6, 7]])
    assert receives((tokens,), {}, tokens) == "batch_first"
    assert receives((tokens,), {}, tokens, "sequence_first") == "sequence_first"
    assert receives((texts.ids(3, 5),), {}, texts.ids(3, 5), "sequence_first") == "batch_first"


@pytest.mark.parametrize("sequence_first", [True, False])
def test_the_layout_is_settled_by_one_text(sequence_first):
    def layout(tokens, embedding):
        with quiescence(model):
            return find_embedding(model, read_ids(tokens), embedding).layout

    model = texts.Recurrent(sequence_first=sequence_first)
    expected = "sequence_first" if sequence_first else "batch_first"
    symmetric = torch.tensor([[5, 6], [6, 7]])
    assert layout(symmetric, "auto") == layout(symmetric, "embedding") == layout(texts.ids(), "auto") == expected
    # No text of these consists of first tokens, so that nothing has to be run.
    assert layout(texts.ids(), "embedding") is None
    assert layout(torch.tensor([[5], [6]]), "auto") is None


def test_a_layer_that_needs_more_than_ids():
    class Needy(nn.Module):
        def forward(self, ids, offsets):
            return ids

    with pytest.raises(LayerError, match=r"'needy' \(Needy\) cannot be called with ids alone"):
        embed("needy", Needy(), texts.ids())
