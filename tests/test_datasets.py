"""The shipped sets say what they are, and follow the laws they are known for as closely as they claim."""

import re
import tomllib
from importlib import resources

import numpy as np
import pytest

from nbsr import UsageError, datasets

# name -> (what the law predicts, from the columns; the column it predicts; largest relative deviation)
LAWS = {
    "planets": (lambda d: d.distance**1.5, "period", 0.001),
    "kepler": (lambda d: 365.25 * d.distance**1.5, "period", 0.011),
    "boyle": (lambda d: 1405 / d.volume, "pressure", 0.02),
    "hubble": (lambda d: 454 * d.distance, "velocity", None),
    "balmer": (lambda d: 364.5 * d.n**2 / (d.n**2 - 4), "wavelength", 3e-4),
    "cmb": (
        lambda d: 39.7289 * d.wavenumber**3 / np.expm1(1.438777 * d.wavenumber / 2.725),
        "intensity",
        None,
    ),
    "filament": (lambda d: 0.7689 * d.temperature**3.86, "energy", 0.03),
    "ohm": (lambda d: 7285 / (20.25 + d.length), "deflection", 0.02),
    "rumford": (lambda d: 60 + 70 * np.exp(-0.0094155 * d.time), "temperature", 0.025),
    "mercury": (lambda d: np.exp(18.274 - 7306.65 / (d.temperature + 273.15)), "pressure", 0.2),
    "forbes": (lambda d: np.exp(-0.97087 + 0.0206224 * d.boiling_point), "pressure", 0.035),
    "enzyme": (lambda d: 212.7 * d.concentration / (0.0641 + d.concentration), "rate", None),
    "ptolemy": (lambda d: 0.825 * d.incidence - 0.0025 * d.incidence**2, "refraction", 1e-12),
    "galileo": (lambda d: 47.0 * np.sqrt(d.height), "distance", 0.03),
    "mammals": (lambda d: 8.4 * d.body**0.752, "brain", None),
    "running": (lambda d: 0.0585 * d.distance**1.1, "time", 0.15),
}


def test_every_set_is_tested_here_and_every_file_described():
    files = {path.name for path in resources.files("nbsr.datasets").iterdir() if path.name.endswith(".csv")}
    assert files == {f"{name}.csv" for name in datasets.names()}
    assert set(LAWS) == set(datasets.names())


@pytest.mark.parametrize("name", LAWS)
def test_a_set_follows_its_law(name):
    law, column, deviation = LAWS[name]
    data = datasets.load(name)
    predicted, measured = law(data), data[column]
    share = 1 - ((measured - predicted) ** 2).sum() / ((measured - measured.mean()) ** 2).sum()
    assert share > {"hubble": 0.4, "mammals": 0.4, "enzyme": 0.7, "rumford": 0.85, "forbes": 0.97}.get(
        name, 0.98
    )
    if deviation is not None:
        assert (abs(measured / predicted - 1) < deviation).all()


@pytest.mark.parametrize("name", LAWS)
def test_a_set_says_what_it_is(name):
    data = datasets.load(name)
    assert data.attrs["name"] == name
    assert all(data.attrs[key] for key in ("title", "law", "noise", "source"))
    assert re.search(r"\b1[5-9]\d\d\b|\b20\d\d\b|J2000|160", data.attrs["source"])
    numeric = set(data.select_dtypes("number").columns)
    assert set(data.attrs["units"]) == numeric
    assert data.attrs["source"] in datasets.describe(name)
    assert data.attrs["title"] in datasets.describe()


def test_the_background_agrees_with_planck_within_its_uncertainties():
    data = datasets.load("cmb")
    deviation = (data.intensity - LAWS["cmb"][0](data)) / data.uncertainty
    assert (deviation**2).sum() < 1.5 * len(data)


def test_a_loaded_set_is_the_callers_own():
    data = datasets.load("boyle")
    data.attrs["units"]["volume"] = "litre"
    data["volume"] = 0
    again = datasets.load("boyle")
    assert again.attrs["units"]["volume"] != "litre" and (again.volume > 0).all()


@pytest.mark.parametrize("name, hint", [("planet", "Did you mean 'planets'?"), ("../boyle", "boyle")])
def test_an_unknown_set_is_a_slip_with_a_hint(name, hint):
    with pytest.raises(UsageError, match=re.escape(hint)):
        datasets.load(name)


def test_the_catalogue_is_plain_toml():
    text = resources.files("nbsr.datasets").joinpath("catalogue.toml").read_text(encoding="utf-8")
    assert list(tomllib.loads(text)) == datasets.names()
