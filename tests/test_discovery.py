"""What printers say of themselves, in the dialects of discovery, and what is made of it."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailstore.directory.records import Language
from printerbridge.discovery import device_id, speech, txt
from printerbridge.discovery.proposal import Heard, proposals
from printerbridge.discovery.speech import Speech

LASERJET = b"MFG:Hewlett-Packard;CMD:PJL,MLC,PCL,PCLXL,POSTSCRIPT;MDL:HP LaserJet 4250;CLS:PRINTER;SN:CNBXX01234;"
BEST_FIRST = [Language(word) for word in ("postscript", "postscript2", "pdf", "pclxl", "pcl", "pwg", "text")]


def spoken(said: Speech) -> list[str]:
    return [language.value for language in said.languages]


# -- languages


@pytest.mark.parametrize(
    ("commands", "languages", "pjl", "others"),
    [
        ("PJL,MLC,PCL,PCLXL,POSTSCRIPT", ["postscript", "pclxl", "pcl"], True, {"MLC"}),
        ("PostScript Level 2 Emulation,PCL 5e", ["postscript2", "pcl"], False, set()),
        ("POSTSCRIPT2,POSTSCRIPT3", ["postscript"], False, set()),  # what speaks level 3 speaks level 2
        ("BR-Script3,PCL6,PDF1.7", ["postscript", "pdf", "pclxl"], False, set()),
        ("BR-Script2", ["postscript2"], False, set()),
        ("KPDL,PCL5c,PWGRaster,URF,TXT01", ["postscript", "pcl", "pwg"], False, {"URF", "TXT01"}),
        ("PS PCL5 PJL", ["postscript", "pcl"], True, set()),  # blanks for commas
        ("PCL3GUI,LIDIL,ZjStream", [], False, {"PCL3GUI", "LIDIL", "ZjStream"}),  # the driver's own
        ("HBPL\x1b[2J\x00", [], False, {"HBPL[2J"}),
        ("PostScript Level 1", [], False, {"PostScript Level 1"}),
        ("", [], False, set()),
    ],
)
def test_command_sets(commands: str, languages: list[str], pjl: bool, others: set[str]) -> None:
    said = speech.by_commands(commands.split(","))
    assert (spoken(said), said.pjl, set(said.others)) == (languages, pjl, others)


@pytest.mark.parametrize(
    ("formats", "languages", "others"),
    [
        ("application/octet-stream,image/pwg-raster,image/urf", ["pwg"], {"application/octet-stream", "image/urf"}),
        ("application/vnd.hp-PCL, application/vnd.hp-PCLXL ,application/postscript", ["postscript", "pclxl", "pcl"],
         set()),
        ("application/pdf;version=1.7,text/plain;charset=utf-8", ["pdf", "text"], set()),
        (",,;,", [], set()),
    ],
)  # fmt: skip
def test_lists_of_media_types(formats: str, languages: list[str], others: set[str]) -> None:
    said = speech.by_formats(formats)
    assert (spoken(said), set(said.others)) == (languages, others)


def test_interpreters_of_the_printer_mib() -> None:
    said = speech.by_interpreters([(5, ""), (3, "5e"), (47, "3.0"), (6, "2"), (54, "1.4"), (37, ""), (-1, "x")])
    assert (spoken(said), said.pjl) == (["postscript2", "pdf", "pclxl", "pcl"], True)
    assert spoken(speech.by_interpreters([(6, " 3 ")])) == ["postscript"]
    assert spoken(speech.by_interpreters([(6, "1")])) == []


@given(st.text(), st.lists(st.tuples(st.integers(), st.text())))
def test_no_name_is_too_odd(text: str, rows: list[tuple[int, str]]) -> None:
    for said in (speech.by_commands(text.split(",")), speech.by_formats(text), speech.by_interpreters(rows)):
        assert set(said.languages) <= set(Language)
        assert all(other.isprintable() and 0 < len(other) <= 40 for other in said.others)
        assert len(said.others) <= 64 * 8


# -- device IDs


@pytest.mark.parametrize(
    "octets",
    [
        LASERJET,
        (len(LASERJET) + 2).to_bytes(2, "big") + LASERJET,
        (len(LASERJET) + 2).to_bytes(2, "little") + LASERJET,
        LASERJET.replace(b";", b"\n"),
        LASERJET.replace(b";", b";\r\n"),
        LASERJET.replace(b";", b" "),
        LASERJET.replace(b"MFG", b"Manufacturer").replace(b"CMD", b"command  set").replace(b"MDL", b"model"),
        LASERJET.lower().replace(b"hp laserjet", b"HP LaserJet").replace(b"cnbxx", b"CNBXX"),
        LASERJET[:-1] + b"\0\0\0garbage",
        LASERJET + b"MDL:Another;SN:;",
        LASERJET.replace(b"MDL", b"DES"),
        LASERJET.replace(b"HP LaserJet", b"LaserJet"),
        LASERJET.replace(b"HP LaserJet", b"Hewlett-Packard LaserJet"),
    ],
)
def test_device_ids_however_they_are_written(octets: bytes) -> None:
    told = device_id.parse(octets)
    assert (told.model, told.serial) == ("HP LaserJet 4250", "CNBXX01234")
    assert (spoken(told.speech), told.speech.pjl) == (["postscript", "pclxl", "pcl"], True)


def test_device_ids_of_others() -> None:
    assert device_id.parse(b"") == device_id.DeviceId()
    assert device_id.parse(b"MFG:Tektronix;") == device_id.DeviceId(model="Tektronix")
    assert device_id.parse("MFG:Müller;MDL:Drucker 1;".encode("latin-1")).model == "Müller Drucker 1"
    assert device_id.parse("MFG:Müller;MDL:Drucker 1;".encode()).model == "Müller Drucker 1"
    assert device_id.parse(b"MDL:\x1b]0;owned\x07;").model == "]0"
    assert len(device_id.parse(b"MDL:" + b"x" * 9000).model) == 127


SAID = st.one_of(
    st.binary(max_size=300),
    st.lists(st.sampled_from([LASERJET, b"MFG:", b";", b"\n", b" MDL:", b":", b"\0\x30", b"CMD:PS"])).map(b"".join),
)  # fmt: skip


@given(SAID)
@example(b"MFG:" * 2000)
@example(b" \t" * 3000)
def test_no_device_id_is_too_odd(octets: bytes) -> None:
    told = device_id.parse(octets)
    for text in (told.model, told.serial):
        assert len(text) <= 127
        assert text.isprintable()


# -- TXT records


def record(*strings: bytes) -> bytes:
    return b"".join(bytes([len(string)]) + string for string in strings)


def test_txt_records() -> None:
    # As the raw service of a PAPPL printer has them, and a LaserJet.
    told = txt.told(
        record(
            b"txtvers=1", b"ty=Label Printer 5XL", b"note=Second floor", b"pdl=image/pwg-raster,image/urf", b"Color=F",
            b"Duplex=F", b"priority=0",
        )
    )  # fmt: skip
    assert (told.model, told.location, told.color, told.duplex) == ("Label Printer 5XL", "Second floor", False, False)
    assert spoken(told.speech) == ["pwg"]
    told = txt.told(
        record(b"PRODUCT=(HP LaserJet 4250)", b"usb_MFG=Hewlett-Packard", b"usb_MDL=LaserJet 4250", b"usb_CMD=PJL,PCL",
               b"COLOR=T", b"duplex=T", b"color=F", b"pdl=application/postscript")
    )  # fmt: skip
    assert (told.model, told.color, told.duplex) == ("HP LaserJet 4250", True, True)  # the first of two counts
    assert (spoken(told.speech), told.speech.pjl) == (["postscript", "pcl"], True)
    assert txt.told(record(b"product=(Phaser 360)")).model == "Phaser 360"
    assert txt.told(b"") == txt.told(b"\0") == txt.Told()


def test_txt_strings_that_are_none() -> None:
    assert txt.parse(record(b"=x", b"Duplex", b"k\xc3\xa9y=x", b"", b"a=b=c", b"bin=\xff\x00")) == {
        "duplex": "",
        "a": "b=c",
        "bin": "\N{REPLACEMENT CHARACTER}\0",
    }
    assert txt.parse(b"\xffty=cut") == {"ty": "cut"}
    assert len(txt.parse(b"".join(record(b"k%d" % number) for number in range(200)))) == 64


@given(
    st.one_of(st.binary(max_size=400), st.lists(st.binary(max_size=60), max_size=10).map(lambda them: record(*them)))
)
def test_no_txt_record_is_too_odd(octets: bytes) -> None:
    told = txt.told(octets)
    for text in (told.model, told.location, told.serial):
        assert len(text) <= 127
        assert text.isprintable()


# -- proposals


def test_what_was_heard_of_one_printer_is_joined() -> None:
    raw = Heard(address="192.0.2.7", way="dns-sd", port=9101, host="phaser", model="Phaser 360", color=False,
                speech=speech.by_formats("application/postscript"))  # fmt: skip
    ipp = Heard(address="192.0.2.7", way="dns-sd", model="Other", location="Second floor", color=True, over_ipp=True,
                speech=speech.by_formats("application/pdf,image/urf"))  # fmt: skip
    asked = Heard(address="192.0.2.7", way="snmp", model="Tektronix Phaser 360", serial="X1", netmask="255.255.255.0",
                  speech=speech.by_interpreters([(6, "2"), (5, "")]))  # fmt: skip
    (found,) = proposals([ipp, asked, raw])
    json.dumps(found)
    assert (found["address"], found["port"], found["port_told"]) == ("192.0.2.7", 9101, True)
    assert (found["model"], found["location"], found["serial"]) == ("Phaser 360", "Second floor", "X1")
    assert (found["color"], found["duplex"], found["pjl"]) == (False, None, True)
    assert (found["languages"], found["other_languages"]) == (["postscript2"], [])
    assert found["found_by"] == ["dns-sd", "snmp"]
    assert found["netmask"] == "255.255.255.0"


def test_languages_of_another_door_count_only_where_the_raw_port_tells_none() -> None:
    ipp = Heard(address="192.0.2.7", way="dns-sd", over_ipp=True,
                speech=speech.by_formats("application/pdf,image/pwg-raster,application/vnd.hp-pcl"))  # fmt: skip
    (found,) = proposals([Heard(address="192.0.2.7", way="dns-sd", port=9100), ipp])
    assert found["languages"] == ["pcl"]


def test_a_printer_without_a_raw_port_is_none_of_ours() -> None:
    ipp = Heard(address="192.0.2.7", way="dns-sd", over_ipp=True)
    asked = Heard(address="192.0.2.10", way="snmp")
    raw = Heard(address="192.0.2.9", way="dns-sd", port=9100)
    found = proposals([ipp, asked, raw])
    assert [(one["address"], one["port"], one["port_told"]) for one in found] == [
        ("192.0.2.9", 9100, True),
        ("192.0.2.10", 9100, False),  # where SNMP does not tell its ports
    ]


def test_best_languages_first() -> None:
    every = Speech(said=frozenset(Language))
    assert list(every.languages) == BEST_FIRST
    assert re.fullmatch(r"[a-z0-9]+", every.languages[0])
