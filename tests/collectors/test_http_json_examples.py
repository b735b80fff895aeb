"""JSON by HTTP: what the options refuse, how servers are asked, and the shipped configurations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from collectors.collector import CollectError
from collectors.frame import Updates
from collectors.http_json import HttpJsonCollector, HttpJsonOptions
from daemon.examples import example_text
from daemon.settings import parse as parse_settings
from tests.collectors.case import SECRET
from tests.collectors.http_json_case import HttpJsonCase
from tests.collectors.json_pages import DAQ_PAGE, ORIGIN, build, channel, one, show, shown


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "daq.json"


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({}, "flatten = true"),
            ({"values": {"a": "a..b"}}, "not a JMESPath expression"),
            ({"values": {"a": "sume(b)"}}, "no function 'sume'"),
            ({"values": {"a": "length(b, c)"}}, "takes 1 arguments, not 2"),
            ({"tables": [{"rows": "r[", "name": "{n}"}]}, "not a JMESPath expression"),
            ({"tables": [{"rows": "r", "name": "{n..}"}]}, "not a JMESPath expression"),
            ({"tables": [{"rows": "r", "name": "{n"}]}, "brace"),
            ({"values": {"a": "a"}, "time": "]"}, "not a JMESPath expression"),
            ({"values": {"a": "a"}, "timezone": "Mars/Olympus"}, "no time zone"),
            ({"values": {" ": "a"}}, "without a name"),
        ],
    )
    def test_what_cannot_work_is_an_error_at_the_start(self, page: Path, options: dict[str, Any], reason: str) -> None:
        with pytest.raises(ValidationError, match=reason):
            build(page, **options)

    def test_a_page_is_not_json(self, tmp_path: Path) -> None:
        case = HttpJsonCase(tmp_path)
        try:
            case.good()
            case.content_type = "text/html"
            with pytest.raises(CollectError, match="answers with a page"):
                list(case.build().collect())
        finally:
            case.stop()

    def test_a_server_may_be_asked_by_post_and_with_a_header_of_its_own(self, tmp_path: Path) -> None:
        asked: list[tuple[str, str, bytes]] = []

        class Recording(HttpJsonCase):
            def answer(self, handler: Any, _question: bytes) -> None:
                asked.append((handler.command, handler.headers["X-Rucio-Auth-Token"], _question))
                handler.headers["Authorization"] = f"Bearer {SECRET}"
                super().answer(handler, _question)

        case = Recording(tmp_path)
        try:
            case.good()
            options = {"url": case.url, "bearer_token": SECRET, "token_header": "X-Rucio-Auth-Token", "body": '{"q": 1}', "flatten": True}
            collector = HttpJsonCollector(ORIGIN, HttpJsonOptions.model_validate(options))
            assert "daq.survivor" in one(collector.collect()).layout
            collector.close()
        finally:
            case.stop()
        assert asked == [("POST", SECRET, b'{"q": 1}')]


def source_options(example: str, source: str) -> Any:
    return parse_settings(example_text(example), example).source[source].options


class TestExamples:
    """The shipped configurations read the documents that they are written for."""

    def test_daq_page(self, page: Path) -> None:
        show(page, DAQ_PAGE)
        options = source_options("daq", "daq-page").model_copy(update={"url": page.as_uri()})
        values = shown(one(HttpJsonCollector(ORIGIN, options).collect()))
        assert values["deadtime/total"] == 3.25
        assert values["deadtime/backpressure"] == 1.25
        assert values["ECAL/ttsState"] == 1
        assert values["fed700/backpressure"] == 12

    def test_luminosity(self, page: Path) -> None:
        show(page, {"data": [{"attributes": {"fill_number": 9000, "delivered_lumi": 20.5, "recorded_lumi": 19.5, "stable_beams": True}}]})
        options = source_options("daq", "luminosity").model_copy(update={"url": page.as_uri()})
        assert shown(one(HttpJsonCollector(ORIGIN, options).collect())) == {"delivered": 20.5, "recorded": 19.5, "stable_beams": 1.0}

    def test_fts(self, page: Path) -> None:
        link = {
            "source_se": "davs://eos.cern.ch",
            "dest_se": "davs://se.desy.de",
            "vo_name": "cms",
            "active": 12,
            "finished": 90,
            "rate": 90.0,
        }
        show(page, {"overview": {"items": [link]}, "summary": {"active": 12, "submitted": 400, "finished": 90, "failed": 10}})
        options = source_options("grid", "fts").model_copy(update={"url": page.as_uri()})
        values = shown(one(HttpJsonCollector(ORIGIN, options).collect()))
        assert values["submitted"] == 400
        assert values["davs://eos.cern.ch→davs://se.desy.de/cms/failed"] == 0  # FTS leaves out what is zero
        assert values["davs://eos.cern.ch→davs://se.desy.de/cms/efficiency"] == 90

    def test_rucio(self, page: Path) -> None:
        usage = {"source": "storage", "used": 3, "free": 1, "total": 4, "files": None, "updated_at": "Tue, 14 Nov 2023 22:13:20 UTC"}
        rses = [{"rse": name, **usage} for name in ("T1_DE_KIT", "T2_CH_CERN")]
        show(page, "\n".join(map(json.dumps, rses)))
        options = source_options("grid", "rucio-storage").model_copy(update={"url": page.as_uri()})
        (block,) = HttpJsonCollector(ORIGIN, options).collect()
        assert isinstance(block, Updates)
        assert channel(block, "T2_CH_CERN/storage/used").unit == "B"
        assert channel(block, "T2_CH_CERN/storage/used").place == "CMS/T2_CH_CERN"
