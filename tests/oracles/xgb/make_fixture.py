#!/usr/bin/env python3
"""Writes small models of many kinds and what libxgboost answers for each, into one folder.

Usage: make_fixture.py OUT_FOLDER      (xgboost-cpu 3.4.1, or xgboost 1.7.6, 2.1.4, 3.0.5; numpy)

An older library writes three kinds under its own name, and the answers are its own.

For each kind: NAME.json or NAME.ubj, and NAME.csv whose lines hold seven features, the margin and the
probability as the bits of an f32 in hex. Rows: ordinary, missing, infinite, at every kind of threshold and
beside it, zeros, denormals, random bits.
"""
import json, re, sys
from pathlib import Path
import numpy as np, xgboost as xgb

FEATURES = ["log_return", "volatility", "z_score", "adx", "rsi", "time_sin", "volume_delta"]
SCALE = np.array([1e-3, 1e-3, 2, 25, 25, 0.7, 100], np.float32)
out = Path(sys.argv[1])
random = np.random.default_rng(11)

def training(n=4000, missing=0.1):
    x = (random.normal(size=(n, 7)) * SCALE).astype(np.float32)
    score = x[:, 2] / 2 + np.sin(x[:, 4] / 10) + 0.5 * (x[:, 3] > 10) + random.normal(size=n)
    absent = random.random(x.shape) < missing
    score += absent[:, 2] * 1.5 - absent[:, 0]                     # that a value is missing says something
    x[absent] = np.nan
    return xgb.DMatrix(x, label=(score > 0.7).astype(int), feature_names=FEATURES)

def rows(booster, n=160):
    model = json.loads(re.sub(r"-?\bInfinity\b|\bNaN\b", "0", booster.save_raw("json").decode()))
    cuts = [[] for _ in FEATURES]
    for tree in model["learner"]["gradient_booster"]["model"]["trees"]:
        for left, feature, value in zip(tree["left_children"], tree["split_indices"], tree["split_conditions"]):
            if left != -1:
                cuts[feature].append(np.float32(value))
    x = (random.normal(size=(n, 7)) * SCALE).astype(np.float32)
    for row in x[: n // 2]:
        for feature, own in enumerate(cuts):
            if own:
                value = own[random.integers(len(own))]
                row[feature] = [value, np.nextafter(value, np.float32(-np.inf)), np.nextafter(value, np.float32(np.inf))][random.integers(3)]
    x[random.random(x.shape) < 0.1] = np.nan
    special = np.array([0.0, -0.0, 1e-42, -1e-42, 3.4e38, -3.4e38, np.nan, np.inf, -np.inf], np.float32)
    x[:9] = special[:, None]
    x[9:40] = special[random.integers(len(special), size=(31, 7))]
    bits = random.integers(0, 2**32, size=(20, 7), dtype=np.uint64).astype(np.uint32).view(np.float32)
    x[40:60] = bits
    return x

def write(name, form="json", rounds=8, data=None, **parameters):
    base = dict(objective="binary:logistic", max_depth=4, eta=0.3, tree_method="hist", nthread=1, seed=1)
    booster = xgb.train({**base, **parameters}, data or training(), rounds)
    booster.feature_names = FEATURES
    booster.save_model(out / f"{name}.{form}")
    x = rows(booster)
    margin = booster.inplace_predict(x, predict_type="margin").astype(np.float32)
    probability = booster.inplace_predict(x).astype(np.float32)
    with open(out / f"{name}.csv", "w") as file:
        for bits in np.column_stack([x, margin, probability]).astype(np.float32).view(np.uint32):
            file.write(",".join(f"{b:08x}" for b in bits) + "\n")
    text = booster.save_raw("json").decode()
    score = {kind: booster.get_score(importance_type=kind) for kind in ("weight", "gain", "total_gain", "cover")}
    (out / f"{name}.importance.json").write_text(json.dumps(score, indent=1, sort_keys=True) + "\n")
    print(f"{name}: {text.count('-Infinity')} x -Infinity, {len(booster.get_dump())} trees")

def older():
    """What an older library writes: base scores are plain numbers there, estimated since 2.0, fixed before."""
    name = "v" + "_".join(xgb.__version__.split(".")[:2])
    write(f"{name}_plain")
    write(f"{name}_ubj", "ubj", max_depth=5)
    write(f"{name}_base_score", rounds=3, base_score=0.03)

def current():
    write("plain")
    write("plain_ubj", "ubj", max_depth=5)
    write("deep", rounds=1, max_depth=8, min_child_weight=0)           # more than 64 leaves: walked
    write("exact", rounds=3, tree_method="exact", max_depth=5)
    write("approx", "ubj", rounds=6, tree_method="approx", max_depth=3)
    write("pruned", rounds=6, tree_method="exact", gamma=3.0)           # deleted nodes
    write("lossguide", rounds=3, grow_policy="lossguide", max_leaves=40, max_depth=0)
    write("forest", "ubj", rounds=2, num_parallel_tree=4, subsample=0.5)
    write("base_score", rounds=3, base_score=0.03)
    write("weighted", rounds=3, scale_pos_weight=3.0)
    # Thresholds of -Infinity: "missing to the left, everything else to the right".
    monotone = dict(monotone_constraints="(1,0,-1,1,-1,0,0)", rounds=6)
    write("monotone", data=training(3000, 0.3), **monotone)
    write("monotone_ubj", "ubj", data=training(3000, 0.3), **monotone)

older() if int(xgb.__version__.split(".")[0]) < 3 or xgb.__version__.startswith("3.0") else current()
