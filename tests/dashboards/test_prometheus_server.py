"""The servers that other tests rely on: they do what the tests ask of them."""

from __future__ import annotations

import pytest

from tests.prometheus_server import AlertmanagerServer, StartPrometheus

pytestmark = pytest.mark.prometheus


def test_prometheus_scrapes_what_it_is_given(start_prometheus: StartPrometheus, alertmanager: AlertmanagerServer) -> None:
    prometheus = start_prometheus({"alertmanager": alertmanager.address}, interval_s=0.2)
    (up,) = prometheus.until("up == 1")
    assert up.labels["job"] == "alertmanager"
    assert prometheus.query("scalar(up) + 1")[0].value == 2.0


def test_a_silence_holds_what_it_names_and_ends(alertmanager: AlertmanagerServer) -> None:
    alertmanager.request("POST", "/api/v2/alerts", [{"labels": {"alertname": "a"}}, {"labels": {"alertname": "b"}}])
    silence = alertmanager.silence({"alertname": "a"})
    assert {alert["labels"]["alertname"] for alert in alertmanager.alerts()} == {"a", "b"}
    assert alertmanager.alerts(alertname="a")[0]["status"]["silencedBy"] == [silence]
    assert alertmanager.alerts(alertname="b")[0]["status"]["silencedBy"] == []
    alertmanager.expire(silence)
    assert alertmanager.silences()[0]["status"]["state"] == "expired"


def test_alertmanager_keeps_silences_over_a_restart(alertmanager: AlertmanagerServer) -> None:
    silence = alertmanager.silence({"alertname": "a"})
    alertmanager.stop()
    alertmanager.start()
    assert [found["id"] for found in alertmanager.silences()] == [silence]
