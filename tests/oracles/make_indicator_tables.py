#!/usr/bin/env python3
"""Tables of RSI and ADX by TA-Lib and of z-score and volatility by numpy/pandas, to be equalled.

Needs TA-Lib, pandas, numpy. Writes indicators.csv beside this file: series, high, low, close, rsi,
adx, z (ddof 0, window 20), volatility (ddof 1 of 20 log returns); an empty field is undefined.
"""
import os
import numpy as np, pandas as pd, talib

random = np.random.default_rng(11)
def walk(n, start, step):
    close = start + np.cumsum(random.normal(0, step, n))
    return close + np.abs(random.normal(0, step, n)), close - np.abs(random.normal(0, step, n)), close
def flat_stretch():
    high, low, close = walk(240, 1.1, 1e-4)
    for a in (high, low, close):
        a[80:140] = 1.1
    return high, low, close
series = {"walk": walk(300, 1.1, 1e-4), "large": walk(200, 61_800.0, 12.0), "coin": walk(200, 3e-5, 2e-7), "flat": flat_stretch()}
frames = []
for name, arrays in series.items():
    high, low, close = (np.round(a, 8) for a in arrays)
    returns = pd.Series(np.log(close[1:] / close[:-1]), index=range(1, len(close)))
    windows = np.lib.stride_tricks.sliding_window_view(close, 20)
    deviation = windows.std(1)
    z = np.full(len(close), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        z[19:] = np.where(np.ptp(windows, axis=1) == 0, np.nan, (close[19:] - windows.mean(1)) / deviation)
    frames.append(pd.DataFrame(dict(series=name, high=high, low=low, close=close, rsi=talib.RSI(close, 14),
        adx=talib.ADX(high, low, close, 14), z=z,
        volatility=returns.rolling(20).apply(lambda w: np.std(w, ddof=1), raw=True).reindex(range(len(close))))))
out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "indicators.csv")
pd.concat(frames).to_csv(out, index=False, float_format="%.17g")
