"""Snapshots of one fault each: what must be found, as condition and place below CMS, and conditions that must not be."""

from __future__ import annotations

from tests.detectors.daq_snapshots import (
    HELD_UP,
    Values,
    blocked,
    healthy,
    pushed_back,
    stopped,
)

CASES: dict[str, tuple[Values, set[tuple[str, str]], set[str]]] = {
    # name: snapshot, what must be found, conditions that must not be
    "partition out of sync": (
        blocked("TIBTID", "OUT_OF_SYNC", fed__103__ttsState="OUT_OF_SYNC"),
        {("partition_problem", "TRACKER/TIBTID"), ("no_rate", "DAQ")},
        {"fed_stuck", "unidentified"},
    ),
    "partition in error whose FEDs are not monitored": (blocked("BPIXP", "ERROR"), {("partition_problem", "PIXEL/BPIXP")}, {"fed_stuck"}),
    "stuck FED": (
        blocked("TIBTID", "WARNING", partition__TIBTID__ttsState="WARNING", fed__101__ttsState="WARNING"),
        {("fed_stuck", "TRACKER/TIBTID/FED 101"), ("no_rate", "DAQ")},
        {"fed_stuck_due_to_daq", "partition_problem", "unidentified"},
    ),
    "stuck pseudo-FED": (
        blocked("BPIXP", "BUSY", fed__11200__ttsState="BUSY"),
        {("fed_stuck", "PIXEL/BPIXP/FED 11200")},
        {"unidentified"},
    ),
    "FED behind a pseudo-FED stopped sending": (
        blocked("BPIXP", "BUSY", fed__11200__ttsState="BUSY", fed__1201__eventCounter=4000),
        {("fed_stuck", "PIXEL/BPIXP/FED 1201")},
        {"unidentified"},
    ),
    "FED that is pushed back is not stuck by itself": (
        pushed_back("102", "ru_a", fed__101__ttsState="BUSY"),
        {("fed_stuck_due_to_daq", "DAQ/RU ru_a")},
        {"fed_stuck"},
    ),
    "disconnected FED": (
        blocked("TIBTID", "DISCONNECTED", partition__TIBTID__ttsState="DISCONNECTED", fed__102__ttsState="DISCONNECTED"),
        {("fed_disconnected", "TRACKER/TIBTID/FED 102")},
        {"fmm_problem", "pi_problem", "pi_disconnected"},
    ),
    "disconnected FMM": (
        blocked("TIBTID", "DISCONNECTED", partition__TIBTID__ttsState="DISCONNECTED"),
        {("fmm_problem", "TRACKER/TIBTID")},
        {"fed_disconnected", "pi_problem"},
    ),
    "partition interface that loses the FMM": (
        blocked("TIBTID", "DISCONNECTED", partition__TIBTID__ttsState="BUSY", fed__102__ttsState="BUSY"),
        {("pi_problem", "TRACKER/TIBTID")},
        {"fed_stuck", "fmm_problem", "pi_disconnected"},
    ),
    "µTCA partition disconnected": (
        blocked("MUTF", "DISCONNECTED"),
        {("pi_disconnected", "TRG/MUTF")},
        {"pi_problem", "fed_disconnected"},
    ),
    "out of sequence, FED named by the unit": (
        pushed_back("1386", "ru_c", **HELD_UP, ru__ru_b__stateName="SyncLoss", ru__ru_b__errorFed=1202),
        {("out_of_sequence_data", "PIXEL/BPIXP/FED 1202"), ("fed_stuck_due_to_daq", "DAQ/RU ru_c")},
        {"ru_waiting_for_other", "ru_waiting_for_fed", "fed_stuck", "unidentified"},
    ),
    "out of sequence, FED only counted": (
        stopped(ru__ru_b__stateName="SyncLoss", fed__1200__ruFedOutOfSync=3),
        {("out_of_sequence_data", "PIXEL/BPIXP/FED 1200")},
        {"unidentified"},
    ),
    "out of sequence, no FED known": (
        stopped(ru__ru_b__stateName="SyncLoss"),
        {("out_of_sequence_data", "DAQ/RU ru_b")},
        {"unidentified"},
    ),
    "corrupted data": (
        stopped(
            global__levelZeroState="Error",
            global__daqState="Error",
            ru__ru_a__stateName="Failed",
            fed__101__ruFedDataCorruption=1,
        ),
        {("corrupted_data", "TRACKER/TIBTID/FED 101"), ("ru_failed", "DAQ/RU ru_a"), ("no_rate", "DAQ")},
        {"unidentified", "out_of_sequence_data"},
    ),
    "waiting for a FED of the same builder": (
        pushed_back("102", "ru_a", ru__ru_a__requests=1500, fed__103__ruFedWithoutFragments=1, fed__103__eventCounter=4000),
        {("ru_waiting_for_fed", "TRACKER/TIBTID/FED 103")},
        {"ru_stuck", "link_problem", "ferol_fifo_stuck", "fed_stuck", "ru_waiting_for_other"},
    ),
    "waiting for a FED elsewhere": (
        pushed_back("1386", "ru_c", **HELD_UP, fed__1200__eventCounter=0),
        {("ru_waiting_for_other", "PIXEL/BPIXP/FED 1200")},
        {"ru_stuck", "ru_waiting_for_fed", "ferol_fifo_stuck"},
    ),
    "FIFO of a FEROL": (
        pushed_back("1386", "ru_c", **HELD_UP, fed__1200__ruFedWithoutFragments=1),
        {("ferol_fifo_stuck", "PIXEL/BPIXP/FED 1200")},
        {"ru_stuck", "ru_waiting_for_fed", "ru_waiting_for_other"},
    ),
    "link": (
        blocked("BPIXP", "BUSY", fed__11200__ttsState="BUSY", fed__1200__percentBackpressure=100, fed__1200__ruFedWithoutFragments=1),
        {("link_problem", "PIXEL/BPIXP/FED 1200")},
        {"fed_stuck", "ru_waiting_for_fed"},
    ),
    "stuck readout unit": (
        pushed_back("1386", "ru_c", ru__ru_c__requests=36, ru__ru_c__fragmentsInRU=253),
        {("ru_stuck", "DAQ/RU ru_c"), ("backpressure_from_ferol", "DAQ/RU ru_c")},
        {"ru_waiting_for_fed", "backpressure_event_building"},
    ),
    "crashed filter units": (
        pushed_back(
            "102",
            "ru_a",
            global__evm___requests=0,
            global__fb___sumRequests=0,
            bu_summary__n_Enabled=0,
            bu_summary__n_Blocked=70,
            bu_summary__numFUsCrashed=900,
        ),
        {("hlt_problem", "HLT"), ("backpressure_from_hlt", "HLT")},
        {"unidentified"},
    ),
    "builder units that wait for fragments are no farm problem": (
        pushed_back("1386", "ru_c", global__evm___requests=0, bu_summary__n_Enabled=1, bu_summary__n_Mist=69),
        {("no_rate", "DAQ")},
        {"backpressure_from_hlt", "hlt_problem"},
    ),
    "no event building to speak of while nothing is built": (
        pushed_back("1386", "ru_c", global__evm___requests=0),
        {("fed_stuck_due_to_daq", "DAQ/RU ru_c")},
        {"backpressure_event_building"},
    ),
    "no FIFO to blame while another FED of the unit is late": (
        pushed_back("1386", "ru_c", **HELD_UP, fed__1200__ruFedWithoutFragments=1, fed__1201__eventCounter=4999),
        {("no_rate", "DAQ")},
        {"ferol_fifo_stuck"},
    ),
    "nothing explains it": (stopped(global__levelZeroState="Error"), {("unidentified", "DAQ"), ("no_rate", "DAQ")}, set()),
    "dead time of a FED": (
        healthy(fed__101__percentWarning=4, fed__101__percentBusy=3),
        {("fed_deadtime", "TRACKER/TIBTID/FED 101")},
        {"fed_deadtime_due_to_daq", "no_rate"},
    ),
    "dead time of a FED that is pushed back": (
        healthy(fed__101__percentBusy=7, fed__101__percentBackpressure=5),
        {("fed_deadtime_due_to_daq", "DAQ/RU ru_a")},
        {"fed_deadtime"},
    ),
    "dead time of a partition": (healthy(partition__TIBTID__percentBusy=6), {("partition_deadtime", "TRACKER/TIBTID")}, {"fed_deadtime"}),
    "resonant triggers": (healthy(global__deadTimes___retri=1.5), {("deadtime_from_retri", "TRG")}, set()),
    "back-pressure on a µTCA FED": (
        healthy(fed__1386__percentBackpressure=30, global__deadTimes___tts=12),
        {("upgraded_fed_backpressured", "DAQ/RU ru_c")},
        {"fed_deadtime"},
    ),
    "back-pressure from event building": (
        healthy(global__evm___requests=2, fed__1386__percentBackpressure=30, ru__ru_c__fragmentsInRU=256),
        {("backpressure_event_building", "DAQ/RU ru_c")},
        {"backpressure_from_ferol", "backpressure_from_hlt"},
    ),
    "back-pressure from the FEROL": (
        healthy(fed__1386__percentBackpressure=30, ru__ru_c__requests=15),
        {("backpressure_from_ferol", "DAQ/RU ru_c")},
        {"backpressure_event_building"},
    ),
    "back-pressure from the farm": (
        healthy(global__evm___requests=20, bu_summary__n_Enabled=40, bu_summary__n_Blocked=30),
        {("backpressure_from_hlt", "HLT")},
        {"hlt_problem", "backpressure_event_building"},
    ),
    "rate too high": (healthy(global__fb___rate=106_000), {("rate_too_high", "TRG")}, {"tcds_input_rate_high"}),
    "many triggers": (
        healthy(global__tcds___sup_trg_rate_total=45_000),
        {("tcds_input_rate_high", "TRG")},
        {"tcds_input_rate_very_high"},
    ),
    "far too many triggers": (
        healthy(global__tcds___sup_trg_rate_total=4e7),
        {("tcds_input_rate_high", "TRG"), ("tcds_input_rate_very_high", "TRG")},
        set(),
    ),
    "high output of the farm": (
        healthy(global__bu___fuOutputBandwidthInMB=5_000),
        {("hlt_output_bandwidth_high", "HLT")},
        {"hlt_output_bandwidth_extreme"},
    ),
    "extreme output of the farm": (
        healthy(global__bu___fuOutputBandwidthInMB=7_000),
        {("hlt_output_bandwidth_high", "HLT"), ("hlt_output_bandwidth_extreme", "HLT")},
        set(),
    ),
    "cloud jobs in stable beams": (healthy(bu_summary__numFUsCloud=1_000), {("cloud_mode_wrong", "HLT")}, set()),
}
