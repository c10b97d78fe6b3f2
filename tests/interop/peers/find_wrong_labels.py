"""Run in cleanlab's environment: which scores of a dataset it finds wrong, by a column's word."""

import json
import sys

import numpy as np
import pandas
from cleanlab.regression.rank import get_label_quality_scores

file, column = sys.argv[1:]
read = {"csv": pandas.read_csv, "parquet": pandas.read_parquet}[file.rpartition(".")[2]]
rows = read(file)
rows = rows[rows["score"].notna() & rows[column].notna()]
quality = get_label_quality_scores(
    labels=rows["score"].to_numpy() / 10, predictions=rows[column].to_numpy()
)
worst = rows.iloc[np.argsort(quality)]
print(json.dumps({"rows": len(rows), "worst first": worst["path"].tolist()}))
