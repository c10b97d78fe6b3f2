"""The exported head against simple models on the same embeddings, judged on withheld groups.

    pip install -e '.[bench]'
    python benchmarks/heads.py LABELS.csv --images DIR [--seeds 10] [--scored 150 390]

A head that a plain model beats is trained wrong. For every seed a quarter of the groups is
withheld; everything else, or so many images of it drawn at random, is learnt from. The simple
models read embeddings of unit length and are tuned by folds of whole groups within what is learnt
from. For every figure the head is compared with whichever of them does best at it, by the mean over
the seeds: so it competes with a choice made in hindsight.
"""

from __future__ import annotations

import warnings

import numpy as np
from paired import Floats, arguments, by_seed, collection, with_interval
from scipy.stats import rankdata
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import SVR

from labeler.simulating import Ids, Labelled
from labeler.simulating import split as split_groups
from model import opinion, ordinal, ranking
from model.head import predict
from model.metrics import passes
from model.opinion import unit
from model.recipes import Lesson, recipe_named

THRESHOLDS = (0.5, 0.3, 0.7)
WITHHELD = 0.25
MODELS = ("ridge", "Gaussian process", "kernel ridge", "SVR", "kNN", "logistic")
OURS = ("**head**", "second opinion")
"""
