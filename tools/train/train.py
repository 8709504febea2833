#!/usr/bin/env python3
"""Trains the gate from rows that `pawl signals` wrote, and writes the model and its figures.

Usage: train.py signals.csv --out models/model.json --metrics metrics.json

Split by time, purged: a training row whose trade was still open when the next block began is
dropped. Blocks: first 55 % train, next 20 % early stopping, last 25 % hold-out, used once.
The label is 1 when the trade's net result is above zero. No class weights: they bend probabilities.
"""
import argparse, json
import numpy as np, pandas as pd, xgboost as xgb
from sklearn.metrics import roc_auc_score, log_loss, brier_score_loss

FEATURES = ["log_return", "volatility", "z_score", "adx", "rsi", "time_sin", "volume_delta"]

def matrix(rows):
    return xgb.DMatrix(rows[FEATURES].to_numpy(np.float32), label=(rows.label_net_bp > 0).astype(int), feature_names=FEATURES)

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("signals")
    parser.add_argument("--out", required=True)
    parser.add_argument("--metrics", required=True)
    arguments = parser.parse_args()
    rows = pd.read_csv(arguments.signals).sort_values("ts_ns", kind="stable").reset_index(drop=True)
    starts = [rows.ts_ns.iloc[int(len(rows) * share)] for share in (0.55, 0.75)]
    train = rows[rows.exit_ns < starts[0]]
    stop = rows[(rows.ts_ns >= starts[0]) & (rows.exit_ns < starts[1])]
    held = rows[rows.ts_ns >= starts[1]]
    parameters = dict(objective="binary:logistic", max_depth=3, eta=0.05, min_child_weight=50, subsample=0.8,
                      tree_method="hist", seed=1, nthread=1, eval_metric="logloss")
    booster = xgb.train(parameters, matrix(train), 200, evals=[(matrix(stop), "stop")],
                        early_stopping_rounds=25, verbose_eval=False)
    booster = booster[: booster.best_iteration + 1]
    booster.feature_names = FEATURES
    booster.save_model(arguments.out)
    probability, label = booster.predict(matrix(held)), (held.label_net_bp > 0).astype(int)
    def chosen(mask):
        part = held[mask]
        return dict(rows=int(mask.sum()), wins=float((part.label_net_bp > 0).mean()) if len(part) else None,
                    mean_net_bp=float(part.label_net_bp.mean()) if len(part) else None)
    figures = dict(rows=len(rows), train=len(train), early_stopping=len(stop), hold_out=len(held),
                   trees=booster.num_boosted_rounds(), xgboost=xgb.__version__, auc=float(roc_auc_score(label, probability)),
                   logloss=float(log_loss(label, probability)), brier=float(brier_score_loss(label, probability)),
                   base_rate=float(label.mean()), highest=float(probability.max()), all_signals=chosen(probability >= 0),
                   above_threshold=chosen(probability > 0.85), best_quarter=chosen(probability >= np.quantile(probability, 0.75)))
    with open(arguments.metrics, "w") as out:
        json.dump(figures, out, indent=1)
    print(json.dumps(figures, indent=1))

if __name__ == "__main__":
    main()
