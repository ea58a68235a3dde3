"""What was unusual about Seattle's weather? A small production flow; the value of every task is kept below ./results.

    ckpt run examples/seattle_weather.py
    ckpt run examples/seattle_weather.py --param delivery=another.csv

The data are four years of daily measurements, a file that the package vega_datasets ships.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from vega_datasets import local_data

from ckpt import Flow, Parameter, task, unmapped


@task
def read_days(delivery: str) -> pd.DataFrame:
    """One row a day, exactly as the station delivered it: it may name a unit, and means °C where it names none."""
    days = pd.read_csv(delivery, parse_dates=["date"])
    if "unit" not in days:
        days["unit"] = "C"
    return days[["date", "precipitation", "temp_max", "temp_min", "unit"]]


@task
def split_months(days: pd.DataFrame) -> list[pd.DataFrame]:
    return [month for _, month in days.groupby(days["date"].dt.strftime("%Y-%m"))]


@task
def clean(month: pd.DataFrame, fahrenheit: list[str]) -> pd.DataFrame:
    """Days with their temperatures in °C; `fahrenheit` are the units to convert, and impossible days are left out."""
    to_convert = month["unit"].isin(fahrenheit)
    cleaned = month[["date", "precipitation"]].copy()
    for name in ("temp_max", "temp_min"):
        cleaned[name] = month[name].mask(to_convert, ((month[name] - 32) / 1.8).round(1))
    possible = cleaned["temp_max"].between(-60, 60) & cleaned["temp_min"].between(-60, 60)
    return cleaned[possible].reset_index(drop=True)


@task
def summarise(month: pd.DataFrame) -> dict[str, object]:
    return {
        "month": month["date"].iloc[0].strftime("%Y-%m"),
        "high": round(float(month["temp_max"].mean()), 1),
        "rain": round(float(month["precipitation"].sum()), 1),
        "wet_days": int((month["precipitation"] > 0).sum()),
    }


@task
def monthly_table(summaries: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame(summaries).set_index("month")


@task
def yearly_rain(months: pd.DataFrame) -> dict[str, float]:
    years = months["rain"].groupby(months.index.str[:4]).sum()
    return {year: round(float(rain), 1) for year, rain in years.items()}


@task
def normals(months: pd.DataFrame) -> dict[str, float]:
    """What is normal in January, February, …: the mean of all years."""
    highs = months["high"].groupby(months.index.str[5:]).mean()
    return {month: round(float(high), 1) for month, high in highs.items()}


@task
def anomalies(months: pd.DataFrame, normal: dict[str, float]) -> dict[str, float]:
    """How much warmer than normal each month was."""
    return {month: round(high - normal[month[5:]], 1) for month, high in months["high"].items()}


@task
def extremes(months: pd.DataFrame, anomaly: dict[str, float]) -> dict[str, tuple[str, float]]:
    hottest = months["high"].idxmax()
    warmest, coldest = max(anomaly, key=anomaly.__getitem__), min(anomaly, key=anomaly.__getitem__)
    return {
        "hottest": (hottest, float(months["high"][hottest])),
        "too warm": (warmest, anomaly[warmest]),
        "too cold": (coldest, anomaly[coldest]),
    }


@task
def report(extreme: dict[str, tuple[str, float]], rain: dict[str, float]) -> str:
    wettest = max(rain, key=rain.__getitem__)
    return "\n".join(
        [
            "hottest month              {}  {:5.1f} °C on an average afternoon".format(*extreme["hottest"]),
            "too warm for the season    {}  {:+5.1f} °C against other years".format(*extreme["too warm"]),
            "too cold for the season    {}  {:+5.1f} °C against other years".format(*extreme["too cold"]),
            f"wettest year               {wettest}     {rain[wettest]:6.1f} mm",
        ]
    )


# The storage is the one line that keeps every value: an installed plugin serves file:// and is found by it.
with Flow("seattle", storage=Path("results").absolute().as_uri()) as flow:
    delivery = Parameter("delivery", local_data.seattle_weather.filepath)
    fahrenheit = Parameter("fahrenheit", ["F"])

    days = read_days(delivery)
    cleaned = clean.map(split_months(days), unmapped(fahrenheit))
    months = monthly_table(summarise.map(cleaned))
    rain = yearly_rain(months)
    anomaly = anomalies(months, normals(months))
    findings = report(extremes(months, anomaly), rain)


if __name__ == "__main__":
    print(flow.run().result[findings].result)
