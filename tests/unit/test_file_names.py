"""Timestamps in file names: names that recorders and phones write, and ambiguous names that must give no time."""

import datetime as dt
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autobird.core.clock import FIRST_YEAR, LAST_YEAR
from autobird.dataset.file_names import parse_timestamp, parse_utc_offset

FOUR = "2023-05-12T04:00:00"


@pytest.mark.parametrize(
    ("name", "prefix", "start"),
    [
        ("SM4A_20230512_040000.wav", "SM4A", FOUR),
        ("S4A01234_20230512_040000.wav", "S4A01234", FOUR),
        ("SM4A_A_20230512_040000.wav", "SM4A", FOUR),
        ("SM3_0+1_20230512_040000.wav", "SM3", FOUR),
        ("SM3_0+1_20230512$040000.wav", "SM3", FOUR),
        ("S4U09012_20230512_040000_000.wav", "S4U09012", FOUR),
        ("2MA05678_20230512_040000.wav", "2MA05678", FOUR),
        ("20230512_040000.WAV", "", FOUR),
        ("20230512_040000T.WAV", "", FOUR),
        ("20230512_040000_SYNC.WAV", "", FOUR),
        ("5E1F2A30.WAV", "", "2020-01-15T15:05:20"),
        ("5E1F2A30T.WAV", "", "2020-01-15T15:05:20"),
        ("5E1F2A30_000.WAV", "", "2020-01-15T15:05:20"),
        ("20230512T040000Z.flac", "", FOUR),
        ("20230512T040000+0200.flac", "", FOUR),
        ("20230512T040000-0430_part2.flac", "", FOUR),
        ("8537_20210614T120000-0300_every1d6x4hrs_[+44.72053-062.80072].wav", "8537", "2021-06-14T12:00:00"),
        ("20181101_000006_REC_[-27.3866_152.8761].flac", "", "2018-11-01T00:00:06"),
        ("2023-05-12T04-00-00.wav", "", FOUR),
        ("2023-05-12T04:00:00.wav", "", FOUR),
        ("2023-05-12T04_00_00.wav", "", FOUR),
        ("2023-05-12_04-00-00.wav", "", FOUR),
        ("2023-05-12 04.00.00.wav", "", FOUR),
        ("2023_05_12_04_00_00.wav", "", FOUR),
        ("Parus_major-88-2023-05-12-birdnet-04:00:00.mp3", "", FOUR),
        ("Parus_major-88-2023-05-12-birdnet-RTSP_1-04:00:00.mp3", "", FOUR),
        ("2023-05-12-04-00_3.flac", "", FOUR),
        ("2016-01-06-13-10_6.flac", "", "2016-01-06T13:10:00"),
        ("Recording_20230512_040000.m4a", "Recording", FOUR),
        ("Recording (3) 20230512 040000.m4a", "Recording (3)", FOUR),
        ("20230512 040000.m4a", "", FOUR),
        ("WhatsApp Audio 2023-05-12 at 04.00.00.ogg", "WhatsApp Audio", FOUR),
        ("20230512040000.wav", "", FOUR),
        ("site 7-20230512-0400.wav", "site 7", FOUR),
        ("SM4A_20230512_040000 (1).wav", "SM4A", FOUR),
        ("SM4A_20230512_040000 copy.wav", "SM4A", FOUR),
        ("SM4A_20230512_040000_part2.wav", "SM4A", FOUR),
        ("SM4A_20230512_040000_12.5_17.5.wav", "SM4A", FOUR),
        ("SM4A_20230512_040000_20230512_041000.wav", "SM4A", FOUR),
        ("SM4A_20230512_040000_20.0s_25.0s.wav", "SM4A", FOUR),
        ("Plot_A_20230512_040000.wav", "Plot_A", FOUR),
    ],
)  # fmt: skip
def test_names_of_recorders_and_phones(name: str, prefix: str, start: str) -> None:
    assert parse_timestamp(name) == (prefix, dt.datetime.fromisoformat(start))


@pytest.mark.parametrize(
    "name",
    [
        "XC123.mp3", "XC20210512.mp3", "XC20210512_120000.mp3", "XC202305120400.mp3", "20210512.wav", "Parus_major_12345678.wav", "Parus_major_20230512.wav",
        "60123456.wav", "12345678.wav", "5E1F2A3.WAV", "5E1F2A300.WAV", "5e1f2a30-8a4c-4c1e-9d2b-000000000000.wav", "FE1F2A30.WAV",
        "2E1F2A30.WAV", "DEADBEEF.wav", "230512_0400.wav", "230512_040000.wav", "120523_040000.wav", "12052023_040000.wav",
        "20231312_040000.wav", "20230532_040000.wav", "20230512_250000.wav", "20230512_046000.wav", "20230229_040000.wav",
        "19691231_235959.wav", f"{LAST_YEAR + 1}0101_000000.wav", "20230512_12_34.wav", "20230512_123456789.wav", "120230512_040000.wav",
        "20230512_1.wav", "2023-05-12.wav", "2023-05-12_3.wav", "1-187207-A.ogg", "21100_36_48.wav", "ML203012151.mp3", "file000000.wav", "",
    ],
)  # fmt: skip
def test_ambiguous_names_give_no_time(name: str) -> None:
    assert parse_timestamp(name) is None


times = st.datetimes(dt.datetime(FIRST_YEAR, 1, 1), dt.datetime(LAST_YEAR, 12, 31)).map(
    lambda time: time.replace(microsecond=0)
)
prefixes = st.text(string.ascii_letters, min_size=2, max_size=8)


@pytest.mark.parametrize(
    ("name", "offset"),
    [
        ("20230512T040000Z.flac", "+00:00"), ("20230512T040000+0200.flac", "+02:00"), ("20230512T040000-0430_part2.flac", "-04:30"),
        ("2023-05-12T04:00:00+05:45.wav", "+05:45"), ("8537_20210614T120000-0300_[+44.72053-062.80072].wav", "-03:00"),
        ("5E1F2A30.WAV", "+00:00"),  # Unix time
        ("20230512_040000.WAV", ""), ("20230512T040000.wav", ""), ("20230512_040000-0410.wav", ""), ("20230512T040000-0410.wav", ""),
        ("20230512_040000-0400.wav", ""),  # perhaps the end of the recording
        ("20230512T040000+0200a.wav", ""), ("20230512T040000+9900.wav", ""), ("XC123.mp3", ""), ("", ""),
    ],
)  # fmt: skip
def test_a_utc_offset_is_read_only_where_the_name_states_it(name: str, offset: str) -> None:
    assert parse_utc_offset(name) == offset


@given(prefixes, times, st.sampled_from(["%Y%m%d_%H%M%S", "%Y%m%dT%H%M%SZ", "%Y-%m-%dT%H-%M-%S", "%Y-%m-%d %H:%M:%S"]))
def test_every_time_is_read_in_every_format_and_with_any_suffix(
    prefix: str, start: dt.datetime, time_format: str
) -> None:
    for suffix in (".wav", "_000.wav", " (1).wav", "_part2.WAV", "_0_5.flac"):
        assert parse_timestamp(f"{prefix}_{start.strftime(time_format)}{suffix}") == (prefix, start)


@given(st.text(max_size=40))
def test_no_name_raises(name: str) -> None:
    parse_timestamp(name)


@given(times.filter(lambda time: time.year >= 2016))
def test_hexadecimal_times_with_a_letter_are_read(start: dt.datetime) -> None:
    digits = f"{round((start - dt.datetime(1970, 1, 1)).total_seconds()):08X}"
    expected = None if digits.isdecimal() else ("", start)
    assert parse_timestamp(f"{digits}.WAV") == expected
