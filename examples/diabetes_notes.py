"""A model of rows and texts: the progression of diabetes from nine measurements and a doctor's note.

The patients are real (scikit-learn's diabetes data, 442 of them). Their notes are made here: "sugar raised" or "sugar
normal" says in words what the column s6 (blood sugar) holds, and that column is left out of the row. One thing is
planted: half of the notes, drawn by chance, end in "hereditary", and of those patients the heavy ones (a body mass
index above 26) are given 80 points more. So the word and the column `bmi` work together.

    chiasm explain --model python:examples/diabetes_notes.py:model --part tabular=examples/patient.json \
        --text "Sugar raised, hereditary." --out patient.html
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.feature_extraction.text import CountVectorizer

import chiasm as cx

PLANTED, HEAVY = 80, 26

data = load_diabetes(as_frame=True, scaled=False)
table = data.data.drop(columns="s6").rename(
    columns={
        "bp": "blood pressure",
        "s1": "cholesterol",
        "s2": "ldl",
        "s3": "hdl",
        "s4": "ratio",
        "s5": "triglycerides",
    }
)
sugar = np.where(data.data["s6"] > 91, "raised", "normal")
hereditary = np.random.default_rng(0).random(len(table)) < 0.5
notes = [f"Sugar {s}, {'hereditary' if h else 'sporadic'}." for s, h in zip(sugar, hereditary, strict=True)]
progression = data.target + PLANTED * (hereditary & (table["bmi"] > HEAVY))

words = CountVectorizer().fit(notes)
trees = GradientBoostingRegressor(random_state=0)
trees.fit(np.hstack([table, words.transform(notes).toarray()]), progression)


def predicted(samples: list[dict]) -> np.ndarray:
    """Progression after a year, for samples with a row and a note; absent columns and words are hidden already."""
    rows = np.array([[sample["tabular"][name] for name in table] for sample in samples])
    return trees.predict(np.hstack([rows, words.transform([sample["text"] for sample in samples]).toarray()]))


#: absent columns are those of 32 other patients; a value is the mean over them
model = cx.FunctionModel(
    predicted,
    ["tabular", "text"],
    default_maskers={"tabular": cx.Background(table)},
    fingerprint="diabetes with notes, planted 80 above 26, seed 0",
)


def patient(k: int) -> cx.Sample:
    """The k-th patient."""
    return cx.Sample(tabular=table.iloc[k], text=notes[k], id=f"patient {k}")
