"""Quantile forecasts of a trace by a peer, one JSON line per origin and horizon (docs/benchmarks/forecast.md).

Every forecast is made from buckets up to its origin. Models are fitted again once a day, on the past only; a fitted one
is brought up to date at each origin.
"""

import argparse
import csv
import gzip
import json
import math
import os
import sys
import time
from datetime import datetime, timezone

# One core: what is measured is one pool's share of a machine.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402

LEVELS = (0.1, 0.5, 0.9, 0.95, 0.99)
DAY_S = 86_400


class Trace:
    """Values per bucket, NaN where missing."""

    def __init__(self, file):
        opened = gzip.open(file, "rt") if file.endswith(".gz") else open(file)
        with opened as lines:
            rows = [row for row in csv.reader(lines)][1:]
        starts = [datetime.fromisoformat(at.replace("Z", "+00:00")) for at, _ in rows[:2]]
        self.start_s = starts[0].timestamp()
        self.bucket_s = int((starts[1] - starts[0]).total_seconds())
        self.values = np.array([float(value) if value else math.nan for _, value in rows])
        self.day = DAY_S // self.bucket_s

    def at_s(self, index):
        return self.start_s + np.asarray(index) * self.bucket_s

    def iso(self, index):
        at = datetime.fromtimestamp(float(self.at_s(index)), timezone.utc)
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")

    def filled(self):
        """Missing values are those of a day before, or else the last one: known at the time, unlike a line between."""
        values = self.values.copy()
        for t in np.flatnonzero(np.isnan(values)):
            before = [values[t - lag] for lag in (self.day, 1) if t >= lag]
            known = [value for value in before if not math.isnan(value)]
            values[t] = known[0] if known else 0.0
        return values


def days_of(trace, origins):
    """Origins day by day: each day's are forecast by a model fitted at the first of them."""
    day = []
    for origin in origins:
        if day and origin - day[0] >= trace.day:
            yield day
            day = []
        day.append(origin)
    if day:
        yield day


# ---- LightGBM: gradient boosted trees, one per horizon and quantile, on lags, means, seasons and calendar


def rolling(values, window):
    """Mean of the known values among the last `window`; NaN without any."""
    known = np.isfinite(values)
    sums = np.concatenate(([0.0], np.cumsum(np.where(known, values, 0.0))))
    counts = np.concatenate(([0], np.cumsum(known)))
    last = np.arange(1, len(values) + 1)
    first = np.maximum(0, last - window)
    count = counts[last] - counts[first]
    return np.where(count > 0, (sums[last] - sums[first]) / np.maximum(count, 1), math.nan)


def shifted(values, lag):
    """Entry o is the value `lag` buckets before o; lag may be negative only where the caller knows it is the past."""
    out = np.full(len(values), math.nan)
    if lag >= len(values):
        return out
    if lag >= 0:
        out[lag:] = values[: len(values) - lag]
    else:
        out[:lag] = values[-lag:]
    return out


class Lags:
    """Features of every origin at one horizon, on the square root of the counts, relative to the level of the last
    quarter of an hour and in units of its noise: trees do not extrapolate, and a pool may grow tenfold."""

    def __init__(self, trace, steps):
        hour = max(2, 3600 // trace.bucket_s)
        day, week = trace.day, 7 * trace.day
        roots = np.sqrt(trace.values)
        near = max(3, 900 // trace.bucket_s)
        self.level = rolling(roots, near)
        self.noise = np.sqrt(1 + (0.05 * self.level) ** 2)
        relative = lambda series: (series - self.level) / self.noise
        features = [self.level]
        lags = list(range(12)) + [15, 20, 30, 45, 60, 90, 120]
        features += [relative(shifted(roots, lag)) for lag in lags]
        for window in (2, 3, 5, hour, 4 * hour, day, week):
            features.append(relative(rolling(roots, window)))
        for window in (near, hour, 4 * hour, day):
            mean, square = rolling(roots, window), rolling(roots**2, window)
            features.append(np.sqrt(np.maximum(0, square - mean**2)) / self.noise)
        reach = max(1, min(2, day // 200))
        around = shifted(rolling(roots, 2 * reach + 1), -reach)
        for season, copies in ((day, 3), (week, 2)):
            for copy in range(1, copies + 1):
                back = copy * season - steps
                # The mean around the target's time of an earlier season must not reach beyond the origin.
                wide = around if back >= reach else roots
                features.append(relative(shifted(roots, back)))
                features.append(relative(shifted(wide, back)))
                features.append((shifted(wide, back) - shifted(self.level, copy * season)) / self.noise)
        at_s = trace.at_s(np.arange(len(roots)) + steps)
        of_day = (at_s % DAY_S) / DAY_S
        of_week = ((at_s / DAY_S + 3) % 7).astype(int)  # 1970-01-01 was a Thursday
        features += [np.sin(2 * np.pi * of_day), np.cos(2 * np.pi * of_day), of_day, of_week, of_week >= 5]
        features += [(at_s % 3600) / 60, of_week + of_day]
        self.features = np.column_stack(features).astype(np.float32)
        self.target = (shifted(roots, -steps) - self.level) / self.noise

    def back(self, origins, predicted):
        """Predicted targets (origins × levels) as counts, in order."""
        roots = self.level[origins, None] + self.noise[origins, None] * predicted
        return np.sort(np.maximum(0, roots), axis=1) ** 2


def lightgbm(trace, origins, steps, args):
    import lightgbm as lgb

    lags = [Lags(trace, ahead) for ahead in steps]
    fixed = {
        "objective": "quantile",
        "learning_rate": args.rate,
        "num_leaves": args.leaves,
        "feature_fraction": 0.7,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "lambda_l2": 1.0,
        "max_bin": 63,
        "num_threads": 1,
        "seed": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    for day in days_of(trace, origins):
        day = np.array(day)
        for ahead, of_horizon in zip(steps, lags):
            # Rows whose outcome is known at the first origin of the day.
            rows = np.arange(trace.day // 4, day[0] - ahead + 1)[-args.rows :]
            rows = rows[np.isfinite(of_horizon.target[rows])]
            # The outer quantiles of a leaf are those of its rows: the more there are in all, the more in each.
            grown = {**fixed, "min_data_in_leaf": max(args.leaf_rows, len(rows) // 500)}
            data = lgb.Dataset(of_horizon.features[rows], of_horizon.target[rows], params=grown)
            wanted = day[np.isfinite(of_horizon.level[day])]
            if len(wanted) == 0:
                continue
            predicted = np.column_stack(
                [
                    lgb.train({**grown, "alpha": level}, data, num_boost_round=args.rounds).predict(
                        of_horizon.features[wanted]
                    )
                    for level in LEVELS
                ]
            )
            for origin, quantiles in zip(wanted, of_horizon.back(wanted, predicted)):
                yield origin, ahead, quantiles


# ---- statsforecast: one model per series, with its own prediction intervals


def statistical(make):
    """Forecasts of a statsforecast model: fitted at the first origin of a day, brought forward to the others."""

    def forecasts(trace, origins, steps, args):
        values = trace.filled()
        for day in days_of(trace, origins):
            model, context = make(trace, day[0])
            past = lambda origin: values[max(0, origin + 1 - context) : origin + 1]
            model.fit(past(day[0]))
            for origin in day:
                made = model.forward(past(origin), h=max(steps), level=[80, 90, 98])
                columns = (made["lo-80"], made["mean"], made["hi-80"], made["hi-90"], made["hi-98"])
                table = np.column_stack([np.asarray(column, dtype=float) for column in columns])
                for ahead in steps:
                    if np.all(np.isfinite(table[ahead - 1])):
                        yield origin, ahead, np.sort(np.maximum(0, table[ahead - 1]))

    return forecasts


def auto_ets(trace, origin):
    """Without a season: those of days have more than the 24 buckets that it can hold."""
    from statsforecast.models import AutoETS

    return AutoETS(season_length=1), 1000


def auto_theta(trace, origin):
    from statsforecast.models import AutoTheta

    # Longer histories of minutes take it a quarter of a minute for each forecast.
    return AutoTheta(season_length=trace.day), min(7 * trace.day, 3000)


def mstl(trace, origin):
    from statsforecast.models import AutoETS, MSTL

    # Longer histories take it a minute for each forecast: with series of minutes it sees three days.
    week, most = 7 * trace.day, 4320
    seasons = [trace.day, week] if 2 * week <= min(origin + 1, most) else [trace.day]
    return MSTL(season_length=seasons, trend_forecaster=AutoETS(model="ZZN")), min(3 * week, most)


METHODS = {
    "LightGBM": lightgbm,
    "AutoETS": statistical(auto_ets),
    "AutoTheta": statistical(auto_theta),
    "MSTL": statistical(mstl),
}


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("trace")
    parser.add_argument("--out", required=True)
    parser.add_argument("--first", type=int, required=True, help="first bucket to forecast")
    parser.add_argument("--end", type=int, required=True, help="one after the last")
    parser.add_argument("--steps", required=True, help="horizons in buckets, 1,3,6")
    parser.add_argument("--every", type=int, default=1, help="forecast from every so many origins")
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--leaves", type=int, default=31)
    parser.add_argument("--leaf-rows", type=int, default=20)
    parser.add_argument("--rows", type=int, default=30_000, help="most rows to learn from")
    return parser.parse_args()


def main():
    args = options()
    trace = Trace(args.trace)
    steps = [int(ahead) for ahead in args.steps.split(",")]
    origins = list(range(args.first - max(steps), args.end - min(steps), args.every))
    shown = time.monotonic()
    with open(args.out, "w") as out:
        for origin, ahead, quantiles in METHODS[args.method](trace, origins, steps, args):
            if args.first <= origin + ahead < args.end:
                q = {str(level): round(float(value), 4) for level, value in zip(LEVELS, quantiles)}
                line = {
                    "origin": trace.iso(origin),
                    "bucketS": trace.bucket_s,
                    "horizonS": ahead * trace.bucket_s,
                    "q": q,
                }
                out.write(json.dumps(line, separators=(",", ":")) + "\n")
            if time.monotonic() - shown > 5:
                shown = time.monotonic()
                done = (origin - origins[0]) / max(1, origins[-1] - origins[0])
                print(f"  {100 * done:.0f} %", file=sys.stderr, flush=True)
    # Of this process, which has one thread: others on the machine do not count.
    took = time.process_time()
    print(json.dumps({"msPerForecast": 1000 * took / len(origins)}))


if __name__ == "__main__":
    main()
