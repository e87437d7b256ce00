"""Studies: where searcher, stopper and store meet. What `optuna.study` offers may be taken from here."""

from __future__ import annotations

from whet.study.callbacks import MaxTrialsCallback
from whet.study.create import create_study, delete_study, get_all_study_names, load_study
from whet.study.study import Study
from whet.trial import Goal as StudyDirection

__all__ = [
    "MaxTrialsCallback",
    "Study",
    "StudyDirection",
    "create_study",
    "delete_study",
    "get_all_study_names",
    "load_study",
]
