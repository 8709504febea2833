#!/usr/bin/env python3
"""Scores rows with libxgboost: seven features, margin and probability, all as f32 bits in hex.

Usage: make_rows.py MODEL.json ROWS.csv. Rows: random, with missing values, and at every kind of
threshold: exact values of the model and their neighbours, zeros, denormals.
"""
import json, sys
import numpy as np, xgboost as xgb

model, out = sys.argv[1:]
booster = xgb.Booster(model_file=model)
random = np.random.default_rng(7)
scale = np.array([1e-3, 1e-3, 2, 25, 25, 0.7, 100], np.float32)
rows = (random.normal(size=(600, 7)) * scale).astype(np.float32)
trees = json.load(open(model))["learner"]["gradient_booster"]["model"]["trees"]
for row in rows[:300]:
    tree = trees[random.integers(len(trees))]
    for node, feature in enumerate(tree["split_indices"]):
        if tree["left_children"][node] != -1:
            value = np.float32(tree["split_conditions"][node])
            row[feature] = [value, np.nextafter(value, np.float32(-np.inf)), np.nextafter(value, np.float32(np.inf))][random.integers(3)]
rows[random.random(rows.shape) < 0.05] = np.nan
rows[:7, :] = np.array([0.0, -0.0, 1e-42, -1e-42, 3.4e38, -3.4e38, np.nan], np.float32)[:, None]
margin = booster.inplace_predict(rows, predict_type="margin").astype(np.float32)
probability = booster.inplace_predict(rows).astype(np.float32)
with open(out, "w") as file:
    for bits in np.column_stack([rows, margin, probability]).astype(np.float32).view(np.uint32):
        file.write(",".join(f"{b:08x}" for b in bits) + "\n")
