"""A Transformer that tells what an inventory line or a device's name stands for, and the baseline it has to beat."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline, make_union

from medlib.errors import MedlibError
from medlib.nets import Committee, TextTransformer
from medlib.recognise.base import NetClassifier
from medlib.train import fit_net

#: Of a text only so many characters are looked at, and so many words.
MOST_CHARACTERS, MOST_WORDS = 2_000, 32
#: Parts of words are numbered by a checksum, up to so many; a word has at most so many.
PARTS, MOST_PARTS = 1 << 14, 24


class TextClassifier(NetClassifier):
    """A small Transformer encoder, learned from nothing but the texts given.

    Parameters
    ----------
    width, layers, heads, dropout, skip
        As in `medlib.nets.TextTransformer`.
    epochs, rate, batch
        As in `medlib.train.fit_net`.
    steps : int
        Fewest steps of learning: few texts are seen more often than `epochs` times.
    smoothing : float
        Share of certainty that is taken from the right class and spread over all while learning.
    members : int
        Networks that learn alone and answer together.
    seed : int
    """

    def __init__(self, width: int = 64, layers: int = 2, heads: int = 4, dropout: float = 0.1, skip: float = 0.2, epochs: int = 10,
                 rate: float = 2e-3, batch: int = 64, steps: int = 300, smoothing: float = 0.1, members: int = 2, seed: int = 1):
        self.width, self.layers, self.heads, self.dropout, self.skip, self.epochs = width, layers, heads, dropout, skip, epochs
        self.rate, self.batch, self.steps, self.smoothing, self.members, self.seed = rate, batch, steps, smoothing, members, seed

    def build_net(self, classes: int) -> Committee:
        """The networks before they have learned."""
        return Committee([TextTransformer(classes, PARTS, MOST_WORDS, self.width, self.layers, self.heads, self.dropout, self.skip)
                          for _ in range(self.members)])

    def fit(self, texts: Sequence[str], labels: Sequence[str]) -> TextClassifier:
        """Learn from texts and what they stand for.

        Raises
        ------
        MedlibError
            A text is none or is blank, there are not as many labels, or of one kind only.
        """
        if len(texts) != len(labels):
            raise MedlibError(f"Every text needs one label; got {len(texts)} texts and {len(labels)} labels.")
        words, codes = number_parts(texts), self.encode_labels(np.asarray(labels))
        torch.manual_seed(self.seed)
        self.net_ = self.build_net(len(self.classes_))
        epochs = max(self.epochs, -(-self.steps * self.batch // len(words)))
        for number, member in enumerate(self.net_.members):
            loss = torch.nn.CrossEntropyLoss(label_smoothing=self.smoothing)
            fit_net(member, (words,), codes, loss, epochs, self.rate, self.seed + number, self.batch, fused=True)
        return self

    def arrange(self, texts: Sequence[str]) -> torch.Tensor:
        """As `number_parts`."""
        return number_parts(texts)


def split_words(text: str) -> list[str]:
    """Words and numbers of a text in lower case, the first `MOST_WORDS` of them; "?" for a text of signs alone.

    Raises
    ------
    MedlibError
        It is no text, or a blank one.
    """
    if not isinstance(text, str) or not text.strip():
        raise MedlibError(f"A line to be read must be a text that is not blank; got {text!r}.")
    plain = unicodedata.normalize("NFKC", text[:MOST_CHARACTERS]).lower()
    return re.findall(r"[^\W\d_]+|\d+", plain)[:MOST_WORDS] or ["?"]


def cut_word(word: str) -> list[str]:
    """The word and its parts of three to five letters, its ends marked, at most `MOST_PARTS`."""
    marked = f"<{word[:40]}>"
    return [word, *(marked[at:at + size] for size in (3, 4, 5) for at in range(len(marked) - size + 1))][:MOST_PARTS]


def number_parts(texts: Sequence[str]) -> torch.Tensor:
    """Number the parts of each text's words, shape (texts, words, parts), 0 where there are no more."""
    known: dict[str, list[int]] = {}
    lines = [split_words(text) for text in texts]
    numbers = np.zeros((len(lines), max(map(len, lines), default=1), MOST_PARTS), np.int32)
    for line, words in enumerate(lines):
        for place, word in enumerate(words):
            if word not in known:
                known[word] = [1 + zlib.crc32(part.encode()) % (PARTS - 1) for part in cut_word(word)]
            numbers[line, place, :len(known[word])] = known[word]
    return torch.tensor(numbers)


def show_attention(classifier: TextClassifier, text: str) -> pd.DataFrame:
    """Where each word of a text looks in the last layer: rows ask, columns are looked at, mean over heads and members; rows sum to 1."""
    words, numbers = split_words(text), number_parts([text])
    with torch.no_grad():
        found = [member.read(numbers, numbers[:, :, 0] > 0)[2][-1][0].mean(dim=0) for member in classifier.net_.cpu().eval().members]
    return pd.DataFrame(torch.stack(found).mean(dim=0).numpy(), index=words, columns=words)


def explain_text(classifier: TextClassifier, text: str, label: str | None = None) -> pd.DataFrame:
    """Which words mattered.

    Parameters
    ----------
    classifier : TextClassifier
    text : str
    label : str, optional
        The answer to explain; left out: the likeliest.

    Returns
    -------
    pandas.DataFrame
        word; weight: by how much the log of the label's probability falls if the word is left out; attention: mean share of the last
        layer's attention that it gets, which need not agree.
    """
    words, numbers = split_words(text), number_parts([text])
    # One text for each word that is left out, after the whole one.
    without = [numbers[:, [at for at in range(len(words)) if at != gone]] for gone in range(len(words))]
    variants = torch.cat([numbers, *(torch.nn.functional.pad(rest, (0, 0, 0, 1)) for rest in without)])
    with torch.no_grad():
        odds = classifier.net_.cpu().eval()(variants).log_softmax(dim=1).numpy()
    wanted = list(classifier.classes_).index(label) if label is not None else int(odds[0].argmax())
    return pd.DataFrame({"word": words, "weight": odds[0, wanted] - odds[1:, wanted],
                         "attention": show_attention(classifier, text).mean().to_numpy()})


def make_features() -> FeatureUnion:
    """TF-IDF of words, pairs of words, and parts of words of two to five letters that stand in two texts at least."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    return make_union(words, TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2))


def make_baseline(strength: float = 20.0, weight: str | None = "balanced") -> Pipeline:
    """Logistic regression on TF-IDF.

    Parameters
    ----------
    strength : float
        The less, the more the regression is held back (scikit-learn's C).
    weight : str or None
        balanced: rare classes count as much as frequent ones.
    """
    return make_pipeline(make_features(), LogisticRegression(C=strength, max_iter=400, class_weight=weight))
